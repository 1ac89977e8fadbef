"""The scripted expert behind the policy interface, player and safety gate."""

from __future__ import annotations

import numpy as np
import pytest

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import DataError
from mivla_drivers.observation import Observation
from mivla_drivers.simulation.lockstep import Lockstep
from mivla_drivers.simulation.tasks import load_task
from mivla_policy.policies.scripted import ScriptedPolicy, load

PIPER = load_contract("piper")


@pytest.mark.parametrize("name", ["move_bottle_onto_pad", "touch_button"])
def test_it_does_its_task_in_lockstep_without_looking(name):
    task = load_task(name)
    with Lockstep(PIPER, task) as lockstep:
        policy = ScriptedPolicy(PIPER, task, lambda: lockstep.world.scene)
        results = [lockstep.run_policy(policy, task.sample_scene(seed, "hard"), seed) for seed in (3, 5)]
    assert all(result.success for result in results), results


def test_the_same_seed_gives_the_same_chunks_and_another_one_others():
    policy = load("touch_button:4:hard", PIPER)
    observation = Observation({}, PIPER.home, "", stamp=10.0)

    def chunk(seed):
        policy.reset(seed)
        return policy.infer(observation).positions

    assert np.array_equal(chunk(1), chunk(1))
    assert not np.array_equal(chunk(1), chunk(2))


def test_a_plan_goes_on_where_time_is_and_starts_again_after_a_reset():
    policy = load("touch_button:4", PIPER)
    first = policy.infer(Observation({}, PIPER.home, "", stamp=10.0))
    later = policy.infer(Observation({}, PIPER.home, "", stamp=10.5))
    assert later.positions[:11] == pytest.approx(first.positions[5:])
    assert later.stamp == 10.5
    policy.reset(0)
    assert policy.infer(Observation({}, PIPER.home, "", 99.0)).positions == pytest.approx(first.positions)


@pytest.mark.parametrize("where", ["touch_button", "touch_button:x", ""])
def test_a_scene_that_is_not_said_is_refused(where):
    with pytest.raises(DataError, match="expected TASK:SEED or TASK:SEED:CONDITION"):
        load(where, PIPER)
