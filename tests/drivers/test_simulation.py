"""The simulated cell: scenes from seeds, physics, cameras, sub-tasks, the expert."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import ContractError, DataError, MivlaError
from mivla_drivers.simulation.lockstep import FollowPlan, Lockstep
from mivla_drivers.simulation.real_time import RealTimeSimulation
from mivla_drivers.simulation.tasks import load_task
from mivla_drivers.simulation.tasks.move_bottle_onto_pad import BOTTLE_AREA, PAD_CENTRE, TASK
from mivla_drivers.simulation.world.base_scene import CLUTTER_AREAS
from mivla_drivers.simulation.world.physics import World
from mivla_drivers.simulation.world.renderer import render
from mivla_drivers.simulation.world.textures import texture

CONTRACT = load_contract("piper")
sample_scene = TASK.sample_scene


@pytest.fixture
def world():
    world = World(CONTRACT, sample_scene(0, "easy"), TASK.spawn)
    yield world
    world.close()


def settle(world: World, target: np.ndarray, seconds: float) -> None:
    world.target = target
    while world.time_s < seconds:
        world.step()


class TestScene:
    def test_the_same_seed_gives_the_same_scene(self):
        assert sample_scene(7, "hard") == sample_scene(7, "hard")
        assert sample_scene(7, "hard") != sample_scene(8, "hard")

    def test_bottle_and_pad_of_a_seed_are_where_they_are_in_both_modes(self):
        easy, hard = sample_scene(3, "easy"), sample_scene(3, "hard")
        assert (easy.bottle, easy.pad) == (hard.bottle, hard.pad)

    def test_the_bottle_stands_in_its_area_and_away_from_the_pad(self):
        for seed in range(200):
            scene = sample_scene(seed, "easy")
            for value, (low, high) in zip(scene.bottle, BOTTLE_AREA, strict=True):
                assert low <= value <= high
            assert np.hypot(*np.subtract(scene.bottle, scene.pad)) > 0.1
            assert np.abs(np.subtract(scene.pad, PAD_CENTRE)).max() <= 0.02

    def test_hard_mode_randomises_what_the_paper_lists(self):
        scenes = [sample_scene(seed, "hard") for seed in range(50)]
        assert len({scene.texture_seed for scene in scenes}) == 50
        assert len({scene.light for scene in scenes}) == 50
        assert all(scene.clutter for scene in scenes)
        heights = [scene.table_height for scene in scenes]
        assert -0.03 <= min(heights) < -0.01
        assert 0.01 < max(heights) <= 0.03

    def test_clutter_keeps_out_of_the_arm_s_way(self):
        for seed in range(100):
            for clutter in sample_scene(seed, "hard").clutter:
                x, y = clutter.position
                assert any(x0 <= x <= x1 and y0 <= y <= y1 for (x0, x1), (y0, y1) in CLUTTER_AREAS)

    def test_an_unknown_condition_is_refused(self):
        with pytest.raises(DataError, match=r"expected one of .*easy.*hard.*, got .medium."):
            sample_scene(0, "medium")


class TestWorld:
    def test_enabled_joints_reach_their_target(self, world):
        target = CONTRACT.home + np.array([0.3, 0.2, -0.2, 0.1, -0.1, 0.2, -0.02])
        settle(world, target, 2.0)
        assert np.abs(world.read().position - target).max() < 0.01

    def test_a_disabled_arm_falls(self, world):
        before = world.link_pose("gripper_center")[0][2]
        world.enabled = np.zeros(CONTRACT.size, dtype=bool)
        settle(world, CONTRACT.home, 1.0)
        assert world.link_pose("gripper_center")[0][2] < before - 0.05

    def test_no_joint_moves_faster_than_the_firmware_allows(self, world):
        world.target = CONTRACT.home + np.array([1.5, 0, 0, 0, 0, 0, 0])
        positions = []
        for _ in range(60):
            world.step()
            positions.append(world.read().position[0])
        assert np.abs(np.diff(positions)).max() / world.step_s < 3.0 * 1.2

    def test_a_contract_that_allows_more_than_a_small_arms_controller_is_followed(self):
        limits = replace(CONTRACT.limits, velocity=np.full(CONTRACT.size, 6.0))
        with closing(
            World(replace(CONTRACT, limits=limits), TASK.sample_scene(0, "easy"), TASK.spawn)
        ) as fast:
            fast.target = CONTRACT.home + np.eye(7)[0]
            start = fast.read().position[0]
            for _ in range(40):
                fast.step()
            assert fast.read().position[0] - start > 0.7  # in 0.2 s; 3 rad/s would come to 0.6 at most

    def test_the_bottle_stands_still_when_nobody_touches_it(self, world):
        before = world.pose("bottle")[0]
        settle(world, CONTRACT.home, 2.0)
        assert np.linalg.norm(world.pose("bottle")[0] - before) < 0.002

    def test_a_hundred_resets_cost_no_memory(self, world):
        import psutil

        process = psutil.Process()
        for seed in range(5):
            world.reset(sample_scene(seed, "hard"))
        before = process.memory_info().rss
        for seed in range(25):
            world.reset(sample_scene(seed, "hard"))
        assert process.memory_info().rss - before < 20e6


class TestCameras:
    def test_images_have_the_contract_s_size(self, world):
        for camera in CONTRACT.cameras:
            image = render(world, camera)
            assert image.shape == (camera.height, camera.width, 3)
            assert image.dtype == np.uint8

    def test_the_front_camera_sees_the_bottle_where_it_stands(self, world):
        front = CONTRACT.cameras[0]
        columns = []
        for y in (-0.2, 0.02):
            world.reset(replace(sample_scene(0, "easy"), bottle=(0.34, y)))
            image = render(world, front).astype(int)
            blue = (image[:, :, 2] > 120) & (image[:, :, 0] < 80)
            assert blue.sum() > 50
            columns.append(np.nonzero(blue)[1].mean())
        assert columns[1] - columns[0] > 30

    def test_a_camera_without_a_mount_is_refused(self, world):
        with pytest.raises(
            ContractError,
            match=r"cameras.front_camera.mount: expected one in the robot.s contract, found none",
        ):
            render(world, replace(CONTRACT.cameras[0], mount=None))

    def test_textures_are_drawn_from_the_seed(self):
        first, again, other = (texture(np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert (first == again).all()
        assert (first != other).any()


class TestTask:
    def test_nothing_is_done_before_anything_happened(self, world):
        progress = TASK.progress(world)
        assert not any(progress.update().values())
        assert not progress.success

    @pytest.mark.parametrize("mode", ["easy", "hard"])
    def test_the_expert_does_every_sub_task_in_order(self, mode):
        scene = sample_scene(5, mode)
        plan = TASK.expert(CONTRACT).plan(scene, CONTRACT.home, np.random.default_rng(5))
        order: list[str] = []
        with Lockstep(CONTRACT, TASK) as lockstep:
            lockstep.reset(scene)
            done = lockstep.progress.done
            lockstep.run(
                FollowPlan(plan),
                plan.duration_s + 0.3,
                observe=lambda _: order.extend(n for n in TASK.subtasks if done[n] and n not in order),
                stop_at_success=False,
            )
            assert lockstep.progress.success
        assert order == list(TASK.subtasks)

    def test_a_bottle_already_on_the_pad_is_no_success(self, world):
        scene = sample_scene(0, "easy")
        world.reset(replace(scene, bottle=scene.pad))
        progress = TASK.progress(world)
        for _ in range(5):
            settle(world, CONTRACT.home, world.time_s + 0.1)
            progress.update()
        assert not progress.success


class TestExpert:
    def test_plans_stay_within_limits_and_below_the_gate_s_speed(self):
        expert = TASK.expert(CONTRACT)
        for seed in range(10):
            scene = sample_scene(seed, "easy")
            plan = expert.plan(scene, CONTRACT.home, np.random.default_rng(seed))
            assert (plan.positions >= CONTRACT.limits.lower - 1e-9).all()
            assert (plan.positions <= CONTRACT.limits.upper + 1e-9).all()
            speed = np.abs(np.diff(plan.positions, axis=0) / np.diff(plan.times)[:, None]).max(axis=0)
            assert (speed <= CONTRACT.limits.velocity * 1.35).all()

    def test_a_scene_out_of_reach_is_refused(self):
        scene = replace(sample_scene(0, "easy"), bottle=(0.9, 0.0))
        with pytest.raises(MivlaError, match=r"expected to reach .* got within .* mm"):
            TASK.expert(CONTRACT).plan(scene, CONTRACT.home, np.random.default_rng(0))


class TestRealTime:
    def test_the_world_follows_the_clock_and_frames_fall_due_at_their_rate(self):
        simulation = RealTimeSimulation(CONTRACT, TASK, seed=0, condition="easy")
        frames = looks = 0
        for tick in range(101):
            due, looked = simulation.advance(now=100.0 + tick * 0.01)
            frames += len(due)
            looks += looked
        simulation.close()
        assert frames == pytest.approx(2 * 10, abs=2)
        assert looks == pytest.approx(10, abs=1)

    def test_time_that_the_machine_lost_is_not_made_up_in_a_jump(self):
        simulation = RealTimeSimulation(CONTRACT, TASK, seed=0, condition="easy")
        simulation.advance(now=0.0)
        simulation.plant.drive(CONTRACT.home + np.array([1.0, 0, 0, 0, 0, 0, 0]), np.ones(7, dtype=bool))
        simulation.advance(now=10.0)
        moved = simulation.plant.state().position[0]
        simulation.close()
        assert 0.0 < moved < 3.0 * 0.15
        assert simulation.lost_s == pytest.approx(9.9)

    def test_every_task_can_be_simulated_and_a_reset_forgets_what_was_done(self):
        task = load_task("touch_button")
        simulation = RealTimeSimulation(CONTRACT, task, seed=0, condition="hard")
        plan = task.expert(CONTRACT).plan(
            task.sample_scene(0, "hard"), CONTRACT.home, np.random.default_rng(0)
        )
        now = 0.0
        while now < plan.duration_s and not simulation.progress["above"]:
            simulation.plant.drive(plan.at(now), np.ones(CONTRACT.size, dtype=bool))
            simulation.advance(now)
            now += 0.05
        assert simulation.progress == {"above": True, "touched": False, "released": False}
        simulation.reset(seed=1, condition="easy")
        simulation.close()
        assert not any(simulation.progress.values())

    def test_a_reset_builds_the_scene_anew_and_leaves_the_arm_where_it_is(self):
        simulation = RealTimeSimulation(CONTRACT, TASK, seed=0, condition="easy")
        target = CONTRACT.home + np.array([0.4, 0, 0, 0, 0, 0, 0])
        simulation.plant.drive(target, np.ones(7, dtype=bool))
        for tick in range(100):
            simulation.advance(now=tick * 0.02)
        simulation.reset(seed=1, condition="hard")
        simulation.advance(now=2.0)
        position = simulation.plant.state().position[0]
        simulation.close()
        assert position == pytest.approx(0.4, abs=0.02)
