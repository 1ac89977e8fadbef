"""The lockstep loop: when chunks arrive, which ones count, and what a policy is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from two_pipers import write_folder

from mivla_drivers.bullet import pybullet
from mivla_drivers.contract import load_contract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.errors import MivlaError
from mivla_drivers.simulation.expert import JointPlan
from mivla_drivers.simulation.lockstep import EarlyEnd, FollowPlan, FollowPolicy, Lockstep
from mivla_drivers.simulation.tasks import load_task

PIPER = load_contract("piper")
TASK = load_task("lift_block")
PERIOD_S = 1.0 / PIPER.policy_rate_hz


class Turning:
    """A policy that wants joint 1 at the next of `angles` [rad], the last one for ever."""

    timing: Mapping[str, float] = {}

    def __init__(self, angles, views=(), horizon=16):
        self.views, self._angles, self._horizon = views, list(angles), horizon
        self.seeds, self.observations = [], []

    def reset(self, seed):
        self.seeds.append(seed)

    def infer(self, observation, committed_prefix=None):
        self.observations.append(observation)
        target = PIPER.home.copy()
        target[0] = self._angles[min(len(self.observations), len(self._angles)) - 1]
        times = PERIOD_S * np.arange(1, self._horizon + 1)
        return ActionChunk(np.tile(target, (self._horizon, 1)), times, observation.stamp, "policy")


@pytest.fixture
def lockstep():
    with Lockstep(PIPER, TASK) as lockstep:
        lockstep.reset(TASK.sample_scene(0, "easy"))
        yield lockstep


def follow(lockstep, policy, **options):
    return FollowPolicy(policy, PIPER, lockstep.world.step_s, "turn", **options)


def joint1(lockstep):
    return lockstep.world.read().position[0]


class TestDelay:
    def test_nothing_moves_before_the_first_chunk_arrives(self, lockstep):
        lockstep.run(follow(lockstep, Turning([0.5]), delay_s=0.5), 0.5)
        assert joint1(lockstep) == pytest.approx(0.0, abs=0.002)

    @pytest.mark.parametrize("delay_s", [0.1, 0.8, 1.2])
    def test_chunks_arrive_even_when_the_delay_is_longer_than_the_time_between_observations(
        self, lockstep, delay_s
    ):
        controller = follow(lockstep, Turning([0.5]), replan_steps=8, delay_s=delay_s)
        lockstep.run(controller, delay_s + 1.5)
        assert joint1(lockstep) == pytest.approx(0.5, abs=0.02)
        assert controller.refused == 0

    def test_a_chunk_that_was_overtaken_by_a_newer_one_is_refused(self, lockstep):
        delays = iter([1.0, 0.1, 9.0, 9.0])
        controller = follow(lockstep, Turning([-0.5, 0.5]), replan_steps=8, delay_s=lambda: next(delays))
        lockstep.run(controller, 0.8)
        assert joint1(lockstep) == pytest.approx(0.0, abs=0.002)
        lockstep.run(controller, 2.2)
        assert controller.refused == 1
        assert joint1(lockstep) == pytest.approx(0.5, abs=0.02)

    def test_a_chunk_with_nothing_left_to_play_is_refused(self, lockstep):
        controller = follow(lockstep, Turning([0.5], horizon=4), replan_steps=8, delay_s=0.6)
        lockstep.run(controller, 2.0)
        assert controller.refused > 0
        assert joint1(lockstep) == pytest.approx(0.0, abs=0.002)


class TestObservation:
    def test_a_policy_sees_its_own_views_the_scene_s_sentence_and_simulated_time(self):
        policy = Turning([0.0], views=("front",))
        scene = TASK.sample_scene(3, "easy")
        with Lockstep(PIPER, TASK) as lockstep:
            lockstep.run_policy(policy, scene, seed=11, time_limit_s=1.0, replan_steps=5)
        assert policy.seeds == [11]
        assert [o.stamp for o in policy.observations] == pytest.approx([0.0, 0.5], abs=0.006)
        for observation in policy.observations:
            assert list(observation.images) == ["front"]
            assert observation.images["front"].shape == (160, 160, 3)
            assert observation.instruction == scene.instruction
            assert observation.joints == pytest.approx(PIPER.home, abs=0.02)


class TestEnd:
    def test_a_trial_ends_at_the_limit_with_what_was_done(self, lockstep):
        result = lockstep.run(follow(lockstep, Turning([0.0])), 0.35)
        assert result.time_s == pytest.approx(0.4, abs=0.006)
        assert (result.success, result.completeness) == (False, 0.0)
        assert list(result.subtasks) == ["grasped", "lifted", "held"]

    def test_it_ends_at_once_when_the_task_is_done(self, lockstep):
        scene = TASK.sample_scene(0, "easy")
        plan = TASK.expert(PIPER).plan(scene, PIPER.home, np.random.default_rng(0))
        result = lockstep.run(FollowPlan(plan), 60.0)
        assert result.success
        assert result.completeness == 1.0
        assert result.time_s < plan.duration_s + 1.0

    def test_observers_are_called_every_policy_period(self, lockstep):
        times = []
        still = JointPlan(np.array([0.0, 1.0]), np.tile(PIPER.home, (2, 1)))
        lockstep.run(FollowPlan(still), 0.95, observe=lambda world: times.append(world.time_s))
        assert times == pytest.approx(PERIOD_S * np.arange(10), abs=0.006)


class TestTwoArms:
    @pytest.mark.parametrize(
        ("name", "seed", "side"), [("push_block_to_pad", 0, "left"), ("push_block_to_pad", 2, "right")]
    )
    def test_the_arm_that_reaches_does_the_task_and_the_other_one_stays_home(
        self, two_pipers, name, seed, side
    ):
        task = load_task(name)
        scene = task.sample_scene(seed, "easy")
        plan = task.expert(two_pipers).plan(scene, two_pipers.home, np.random.default_rng(seed))
        moves = np.abs(plan.positions - two_pipers.home).max(axis=0) > 1e-9
        arm = two_pipers.arm(side)
        assert set(np.flatnonzero(moves)) <= {*arm.joint_indices.tolist(), arm.gripper_index}
        with Lockstep(two_pipers, task) as lockstep:
            lockstep.reset(scene)
            assert lockstep.run(FollowPlan(plan), plan.duration_s + 0.5).success

    def test_a_scene_that_neither_arm_reaches_is_refused(self, two_pipers):
        scene = TASK.sample_scene(0, "easy")
        far = replace(scene, object=replace(scene.object, position=(0.3, 2.0)))
        with pytest.raises(MivlaError, match=r"expected to reach \[.*\] m, got within"):
            TASK.expert(two_pipers).plan(far, two_pipers.home, np.random.default_rng(0))


@pytest.fixture(scope="module")
def two_pipers(tmp_path_factory):
    return load_contract(write_folder(tmp_path_factory.mktemp("robot") / "two_pipers"))


BOTTLE = load_task("move_bottle_onto_pad")


class TestEarlyEnd:
    """A trial that can no longer succeed need not be simulated to its end."""

    @pytest.mark.parametrize("place", [(0.9, 0.0, 0.06), (0.3, 0.6, -0.4)])
    def test_a_bottle_beyond_the_arm_or_below_the_table_is_lost(self, place):
        with Lockstep(PIPER, BOTTLE) as lockstep:
            lockstep.reset(BOTTLE.scene(0, "easy"))
            assert not BOTTLE.lost(lockstep.world)
            world = lockstep.world
            pybullet.resetBasePositionAndOrientation(
                world.bodies["bottle"], place, (0, 0, 0, 1), physicsClientId=world.client
            )
            result = lockstep.run(follow(lockstep, Turning([0.5])), 5.0, early=EarlyEnd())
            assert (result.ended_by, result.success) == ("lost", False)
            assert result.time_s == pytest.approx(0.1, abs=0.01)

    def test_a_robot_that_no_longer_moves_ends_its_trial(self, lockstep):
        early = EarlyEnd(still_s=1.0)
        result = lockstep.run(follow(lockstep, Turning([0.2])), 20.0, early=early)
        assert result.ended_by == "still"
        assert 1.2 < result.time_s < 4.0
        assert joint1(lockstep) == pytest.approx(0.2, abs=0.02)

    def test_one_that_moves_slowly_goes_on(self, lockstep):
        plan = JointPlan(np.array([0.0, 4.0]), np.stack([PIPER.home, PIPER.home + 0.2 * (np.arange(7) == 0)]))
        result = lockstep.run(FollowPlan(plan), 4.0, early=EarlyEnd(still_s=1.0))
        assert result.ended_by == "time"

    def test_nothing_ends_early_unless_it_is_asked_for(self, lockstep):
        result = lockstep.run(follow(lockstep, Turning([0.0])), 6.0)
        assert (result.ended_by, result.time_s) == ("time", pytest.approx(6.0, abs=0.11))
