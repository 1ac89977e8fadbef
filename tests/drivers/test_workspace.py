"""The workspace: its geometry is the robot's, no target leads out of it, and joints are only ever slowed."""

from pathlib import Path

import numpy as np
import pytest
from pretend_arm import CONTRACT, PretendArm

from mivla_drivers.contract import load_contract, parse_contract
from mivla_drivers.control.driver import Driver
from mivla_drivers.control.safety_gate import SafetyGate
from mivla_drivers.control.workspace.braking import BrakingPath
from mivla_drivers.control.workspace.clearance import Clearance
from mivla_drivers.control.workspace.exact import ExactClearance
from mivla_drivers.control.workspace.fuzz import Fuzz
from mivla_drivers.control.workspace.limiter import AIM_M, DEEPER_M, WorkspaceLimiter, workspace_limiter
from mivla_drivers.control.workspace.segments import nearest_between
from mivla_drivers.control.workspace.shape import CollisionShape
from mivla_drivers.control.workspace.tree import LinkTree
from mivla_drivers.errors import CommandRefused, ContractError
from mivla_drivers.kinematics import Kinematics
from mivla_drivers.simulation.tasks import load_task, task_names

TOY = load_contract(Path(__file__).parents[2] / "examples" / "toy_robot")
ROBOTS = {"one arm": CONTRACT, "two arms": TOY}
JOINT2, JOINT3, JOINT5, GRIPPER = 1, 2, 4, 6

PYBULLET_MARGIN_M = 1.1e-3  # around its cylinders


def period(contract):
    return 1.0 / contract.control_rate_hz


def with_workspace(contract, workspace):
    """`contract` with another workspace, given as YAML."""
    head, _, rest = contract.text.partition("workspace:")
    _, _, tail = rest.partition("\ncontrol_rate_hz")
    text = f"{head}workspace: {workspace}\n\ncontrol_rate_hz{tail}"
    return parse_contract(text, contract.urdf, where="test")


def random_poses(contract, count, seed=0):
    return np.random.default_rng(seed).uniform(
        contract.limits.lower, contract.limits.upper, (count, contract.size)
    )


class Driven:
    """A gate with a workspace, and all that it commanded."""

    def __init__(self, contract=CONTRACT, start=None, reduced=False):
        self.contract = contract
        self.workspace = WorkspaceLimiter(contract, period(contract))
        self.workspace.set_reduced(reduced)
        self.gate = SafetyGate(contract.limits, period(contract), workspace=self.workspace)
        self.gate.restart(contract.home if start is None else start)
        self.path = [self.gate.position]

    def follow(self, target, seconds):
        """Ask for `target` (n,), or for None, for some time; poses from the very first on, (T, n)."""
        for _ in range(round(seconds / period(self.contract))):
            self.path.append(self.gate.step(target, self.path[-1]))
        return np.array(self.path)

    def distances(self):
        return self.workspace.distances(np.array(self.path))

    def tool_speeds(self):
        tips = self.workspace.tips(np.array(self.path))
        return np.linalg.norm(np.diff(tips, axis=1), axis=2) / period(self.contract)

    def velocities(self):
        return np.diff(np.array(self.path), axis=0) / period(self.contract)


def pose(**joints):
    target = CONTRACT.home.copy()
    for name, value in joints.items():
        target[CONTRACT.joints.index(name)] = value
    return target


THROUGH_TABLE = pose(joint2=2.4, joint3=-0.9)
INTO_BASE = pose(joint2=2.2, joint3=-0.2, joint5=0.9)


class TestGeometry:
    @pytest.mark.parametrize("contract", ROBOTS.values(), ids=ROBOTS.keys())
    def test_a_pair_is_never_said_to_be_further_apart_than_its_true_shapes(self, contract):
        workspace = WorkspaceLimiter(contract, period(contract))
        poses = random_poses(contract, 60)
        found = workspace.distances(poses)
        fields = [f"self_collision_pairs[{i}]" for i in range(len(contract.workspace.self_collision_pairs))]
        rows = {field: [] for field in fields}
        for bound, row in zip(workspace.bounds, found, strict=True):
            if bound.field.startswith("self"):
                rows.setdefault(bound.text, []).append(row)
        by_pair = np.array([np.min(rows[text], axis=0) for text in dict.fromkeys(rows) if rows[text]])
        with ExactClearance(contract) as exact:
            for i, one in enumerate(poses):
                exact.place(one)
                true = exact.pairs()
                apart = true > 0  # how deep shapes overlap is another measure
                assert (by_pair[:, i] <= true + 2 * PYBULLET_MARGIN_M)[apart].all()
                assert (by_pair[:, i] >= true - 0.06)[apart].all()

    def test_the_height_of_a_link_above_the_table_is_exact(self):
        workspace = WorkspaceLimiter(CONTRACT, period(CONTRACT))
        poses = random_poses(CONTRACT, 60)
        tables = [i for i, bound in enumerate(workspace.bounds) if bound.field == "table_height_m"]
        found = workspace.distances(poses)
        with ExactClearance(CONTRACT) as exact:
            for i, one in enumerate(poses):
                exact.place(one)
                links = [workspace.bounds[row].text.split()[0] for row in tables]
                for link in set(links):
                    lowest = min(
                        found[row, i] for row, other in zip(tables, links, strict=True) if other == link
                    )
                    assert lowest == pytest.approx(exact.table(link), abs=PYBULLET_MARGIN_M)

    @pytest.mark.parametrize("contract", ROBOTS.values(), ids=ROBOTS.keys())
    def test_gradients_are_those_of_the_distances(self, contract):
        tree = LinkTree(contract, "test")
        clearance = Clearance(contract, contract.workspace, tree, "test")
        every, step = np.arange(len(clearance.bounds)), 1e-6
        (here,) = random_poses(contract, 1, seed=3)
        found = clearance.distances(tree.frames(here[None]), every)
        around = np.concatenate([here + step * np.eye(contract.size), here - step * np.eye(contract.size)])
        values = clearance.distances(tree.frames(around), every).values
        expected = (values[:, : contract.size] - values[:, contract.size :]) / (2 * step)
        gradients = np.array([clearance.gradient(found, row, 0) for row in every])
        assert gradients == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("contract", ROBOTS.values(), ids=ROBOTS.keys())
    def test_no_distance_changes_faster_than_its_levers_say(self, contract):
        workspace = WorkspaceLimiter(contract, period(contract))
        poses = random_poses(contract, 300, seed=5)
        poses[1::2] = poses[::2] + 0.3 * (poses[1::2] - poses[::2])
        change = np.abs(np.diff(workspace.distances(poses), axis=1))
        levers = np.array([bound.lever for bound in workspace.bounds])
        assert (change <= levers @ np.abs(np.diff(poses, axis=0)).T + 1e-9).all()

    @pytest.mark.parametrize(
        "shape",
        [
            CollisionShape.box("box", np.eye(4), np.array([0.04, 0.1, 0.055])),
            CollisionShape.box("plate", np.eye(4), np.array([0.3, 0.2, 0.01])),
            CollisionShape.round("cylinder", np.eye(4), 0.03, 0.2, flat=True),
            CollisionShape.round("disc", np.eye(4), 0.05, 0.01, flat=True),
            CollisionShape.round("capsule", np.eye(4), 0.03, 0.2, flat=False),
            CollisionShape.round("sphere", np.eye(4), 0.05, 0.0, flat=False),
        ],
        ids=lambda shape: shape.link,
    )
    def test_a_capsule_holds_its_whole_shape(self, shape):
        rng = np.random.default_rng(0)
        inside = rng.uniform(-1, 1, (4000, 3)) * shape.half
        ball = rng.normal(size=(4000, 3)) * shape.round_axes
        ball *= shape.radius / np.maximum(np.linalg.norm(ball, axis=1, keepdims=True), 1e-12)
        points = inside + ball
        (start, end), radius = shape.capsule()
        along = np.clip((points - start) @ (end - start) / max((end - start) @ (end - start), 1e-12), 0, 1)
        assert np.linalg.norm(points - start - along[:, None] * (end - start), axis=1).max() <= radius + 1e-12
        assert np.linalg.norm(points, axis=1).max() <= shape.reach + 1e-12

    def test_two_links_that_pass_each_other_between_two_looks_are_seen(self):
        before, after = np.array([[[-0.03, 0.08, 0.0]]]), np.array([[[0.03, 0.08, 0.0]]])
        assert nearest_between(before, after)[0, 0] == pytest.approx([0.0, 0.08, 0.0], abs=1e-9)
        assert nearest_between(after, 2 * after)[0, 0] == pytest.approx(after[0, 0])

    def test_a_braking_path_is_the_gate_s_own(self):
        braking = BrakingPath(CONTRACT.limits.acceleration, period(CONTRACT))
        gate = SafetyGate(CONTRACT.limits, period(CONTRACT))
        gate.restart(CONTRACT.home)
        for _ in range(37):
            gate.step(CONTRACT.home + 0.4, CONTRACT.home)
        before = gate.position - gate.velocity * period(CONTRACT)
        moved = braking.moved(gate.velocity, np.arange(80.0))
        assert before + moved[0] == pytest.approx(gate.position)
        for one in moved[1:]:
            assert gate.step(None, CONTRACT.home) == pytest.approx(before + one, abs=1e-12)
        assert not gate.velocity.any()

    def test_a_braking_path_tells_its_speed(self):
        braking = BrakingPath(CONTRACT.limits.acceleration, period(CONTRACT))
        velocity = np.array([1.5, -0.7, 0.031, 0.0, -2.0, 0.4, 0.1])
        for periods in (0.0, 3.0, 20.0, 200.0):
            moved = braking.moved(velocity, np.array([periods]))[0]
            assert braking.velocity(moved, periods) == pytest.approx(velocity)


class TestTable:
    def test_a_target_below_the_table_is_followed_down_to_it_and_held_there_at_rest(self):
        driven = Driven()
        driven.follow(THROUGH_TABLE, 4.0)
        lowest = (driven.distances()[:, -1] - driven.workspace.margins).min()
        assert 0 <= lowest <= 3 * AIM_M
        assert np.abs(driven.velocities()[-100:]).max() < 1e-3

    def test_it_says_which_link_is_held_by_what(self):
        driven = Driven()
        driven.follow(THROUGH_TABLE, 4.0)
        assert driven.workspace.holds_back
        assert "finger is at the table" in driven.workspace.reason
        driven.follow(CONTRACT.home, 1.0)
        assert driven.workspace.reason == ""

    def test_the_way_down_ends_as_smoothly_as_joints_can_brake(self):
        driven = Driven()
        driven.follow(THROUGH_TABLE, 4.0)
        changes = np.abs(np.diff(driven.velocities(), axis=0)) / period(CONTRACT)
        assert (changes <= CONTRACT.limits.acceleration + 1e-6).all()
        # It does not hammer at the table: no joint turns round once it is slowed.
        speeds = driven.velocities()[:, JOINT2]
        assert (np.diff(np.sign(np.where(np.abs(speeds) < 1e-3, 0.0, speeds))) != 0).sum() <= 4

    def test_pushed_down_and_forward_it_slides_forward_at_its_height(self):
        kinematics = Kinematics(CONTRACT)
        down = kinematics.forward(CONTRACT.home)
        down[:3, :3] = np.array([[-1.0, 0, 0], [0, 1, 0], [0, 0, -1]])
        ways = []
        start = CONTRACT.home
        for x in np.linspace(0.25, 0.38, 60):
            down[:3, 3] = [x, 0.0, 0.04]
            start = kinematics.inverse(down, start).joints
            low = down.copy()
            low[2, 3] = -0.03  # the fingers reach 28 mm below the grip: 13 mm into the table
            ways.append(kinematics.inverse(low, start).joints)
        driven = Driven(start=np.where(np.arange(7) == GRIPPER, 0.0, ways[0] + 0.0))
        driven.gate.restart(kinematics.inverse(_at(down, 0.25, 0.05), ways[0]).joints)
        driven.path = [driven.gate.position]
        for way in ways:
            driven.follow(way, 0.05)
        driven.follow(ways[-1], 0.5)
        tips = driven.workspace.tips(np.array(driven.path))[0]
        table = min(driven.distances()[:, -1])
        assert tips[-1, 0] > 0.36  # it was asked for 0.38
        assert driven.distances().min() >= CONTRACT.workspace.table_margin_m - 1e-3
        assert table <= CONTRACT.workspace.table_margin_m + 0.01

    def test_far_from_everything_a_command_is_what_it_is_without_a_workspace(self):
        driven, alone = Driven(), SafetyGate(CONTRACT.limits, period(CONTRACT))
        alone.restart(CONTRACT.home)
        target = pose(joint1=1.2, joint2=1.1, joint4=-0.8)
        path = driven.follow(target, 2.0)
        assert path[1:] == pytest.approx(
            np.array([alone.step(target, CONTRACT.home) for _ in path[1:]]), abs=0
        )


def _at(frame, x, z):
    moved = frame.copy()
    moved[:3, 3] = [x, 0.0, z]
    return moved


class TestSelfCollision:
    def test_a_target_through_its_own_base_is_held_before_it(self):
        driven = Driven()
        driven.follow(INTO_BASE, 4.0)
        short = driven.distances() - driven.workspace.margins[:, None]
        assert short.min() >= 0
        assert np.abs(driven.velocities()[-100:]).max() < 1e-3
        assert "is near" in driven.workspace.reason

    def test_two_arms_that_are_sent_into_each_other_stop_apart(self):
        target = TOY.home.copy()
        target[[0, 1, 2]] = [-1.5, 1.2, 1.0]
        target[[7, 8, 9]] = [1.5, 1.2, 1.0]
        driven = Driven(TOY)
        driven.follow(target, 4.0)
        with ExactClearance(TOY) as exact:
            exact.place(driven.path[-1])
            nearest = exact.pairs().min()
        assert TOY.workspace.margin_m - 1e-3 <= nearest < 0.1

    def test_the_folded_rest_pose_can_be_left_and_taken_again(self):
        rest = pose(joint2=0.0, joint3=0.0, joint5=0.0)
        driven = Driven(start=rest)
        assert driven.follow(CONTRACT.home, 4.0)[-1] == pytest.approx(CONTRACT.home, abs=1e-3)
        assert driven.follow(rest, 4.0)[-1] == pytest.approx(rest, abs=1e-3)


class TestForbiddenStart:
    def test_it_goes_no_deeper_and_comes_out(self):
        contract = with_workspace(CONTRACT, "{table_height_m: 0.0}")
        below = Kinematics(contract).inverse(_at(_pointing_down(contract), 0.3, 0.0), contract.home).joints
        driven = Driven(contract, start=below)
        start = driven.distances()[:, 0]
        assert start.min() < 0
        deeper = below.copy()
        deeper[JOINT2] += 0.5
        driven.follow(deeper, 1.0)
        allowed = np.minimum(start, driven.workspace.margins)[:, None] - DEEPER_M
        assert (driven.distances() >= allowed - 1e-6).all()
        driven.follow(contract.home, 3.0)
        assert driven.path[-1] == pytest.approx(contract.home, abs=1e-3)

    def test_a_motion_that_keeps_its_depth_is_not_slowed(self):
        fallen = np.array(
            [0.0, 0.0, 0.0, 0.0, 0.878, 0.0, 0.038]
        )  # a limp simulated arm lies with its hand in its base
        driven = Driven(start=fallen)
        assert driven.distances().min() < -0.01
        driven.follow(fallen + np.array([1.0, 0, 0, 0, 0, 0, 0]), 1.0)
        assert driven.path[-1][0] > 0.9

    def test_once_out_it_does_not_go_in_again(self):
        contract = with_workspace(CONTRACT, "{table_height_m: 0.0}")
        below = Kinematics(contract).inverse(_at(_pointing_down(contract), 0.3, 0.0), contract.home).joints
        driven = Driven(contract, start=below)
        driven.follow(contract.home, 3.0)
        out = len(driven.path)
        driven.follow(below, 3.0)
        assert (driven.distances()[:, out:] - driven.workspace.margins[:, None]).min() >= -1e-9


def _pointing_down(contract):
    frame = Kinematics(contract).forward(contract.home)
    frame[:3, :3] = np.array([[-1.0, 0, 0], [0, 1, 0], [0, 0, -1]])
    return frame


class TestBox:
    def test_an_end_effector_stays_in_its_box(self):
        contract = with_workspace(CONTRACT, "{box: {lower: [-0.5, -0.15, 0.0], upper: [0.6, 0.15, 0.6]}}")
        driven = Driven(contract)
        for joint1 in (2.0, -2.0):
            driven.follow(pose(joint1=joint1), 3.0)
            tips = driven.workspace.tips(np.array(driven.path))[0]
            assert np.abs(tips[:, 1]).max() <= 0.15 + 1e-9
            assert np.abs(tips[-1, 1]) == pytest.approx(0.15, abs=2 * AIM_M)
        assert driven.workspace.reason == "gripper_center is at the box's lower y"


class TestToolSpeed:
    def test_reduced_it_keeps_250_mm_per_second(self):
        driven = Driven(reduced=True)
        driven.follow(pose(joint1=1.5, joint2=1.5, joint3=-1.5), 3.0)
        assert 0.24 < driven.tool_speeds().max() <= 0.25 + 1e-9
        assert "the tool's speed is limited to 0.25 m/s" in driven.workspace.reason

    def test_without_it_the_tool_is_faster(self):
        driven = Driven()
        driven.follow(pose(joint1=1.5), 2.0)
        assert driven.tool_speeds().max() > 0.4

    def test_reduced_in_the_middle_of_a_motion_it_brakes_within_the_joints_limits(self):
        driven = Driven()
        driven.follow(pose(joint1=2.0), 0.6)
        assert driven.tool_speeds()[0, -1] > 0.4
        driven.workspace.set_reduced(True)
        driven.follow(pose(joint1=2.0), 1.0)
        assert driven.tool_speeds()[0, -100] <= 0.25 + 1e-9
        changes = np.abs(np.diff(driven.velocities(), axis=0)) / period(CONTRACT)
        assert (changes <= CONTRACT.limits.acceleration + 1e-6).all()

    def test_it_still_arrives(self):
        driven = Driven(reduced=True)
        assert driven.follow(pose(joint1=1.0), 4.0)[-1] == pytest.approx(pose(joint1=1.0), abs=1e-3)

    def test_a_contract_may_state_a_speed(self):
        driven = Driven(with_workspace(CONTRACT, "{tool_speed_m_s: 0.1}"))
        driven.follow(pose(joint1=1.0), 2.0)
        assert 0.09 < driven.tool_speeds().max() <= 0.1 + 1e-9

    def test_one_slow_arm_does_not_slow_the_other(self):
        target = TOY.home.copy()
        target[0], target[7] = 0.05, -1.0
        driven, alone = Driven(TOY, reduced=True), SafetyGate(TOY.limits, period(TOY))
        alone.restart(TOY.home)
        path = driven.follow(target, 0.5)
        assert path[-1][0] == pytest.approx([alone.step(target, TOY.home) for _ in path[1:]][-1][0], abs=1e-6)


class TestFuzz:
    """A short run of `python -m mivla_drivers.control.workspace.fuzz`."""

    @pytest.mark.parametrize(("robot", "steps"), [("one arm", 14_000), ("two arms", 6_000)])
    def test_hostile_targets_break_nothing(self, robot, steps):
        with Fuzz(ROBOTS[robot], seed=1) as fuzz:
            worst = fuzz.run(steps)
        assert worst.steps >= steps
        assert worst.held > 1000
        assert worst.inside > 0
        assert worst.kept, worst

    @pytest.mark.parametrize(("robot", "steps"), [("one arm", 2_000), ("two arms", 4_000)])
    def test_a_reduced_tool_keeps_its_speed_while_one_joint_after_the_other_comes_to_rest(self, robot, steps):
        """Joints may cancel each other's motion of the tool, and those that stop first let it speed up."""
        with Fuzz(ROBOTS[robot], seed=3, reduced=1.0) as fuzz:
            worst = fuzz.run(steps)
        assert worst.held > steps / 4
        assert worst.kept, worst


TASK_ROBOTS = {"tidy_umbrella_rack": "arx5"}  # the robot of a task that a PiPER does not reach


class TestTasks:
    @pytest.mark.parametrize("name", task_names())
    def test_no_shipped_expert_is_hindered(self, name):
        """The workspace changes no command of an expert's plan, in any condition."""
        task, contract = load_task(name), load_contract(TASK_ROBOTS.get(name, "piper"))
        for condition in task.conditions:
            scene = task.sample_scene(7, condition)
            plan = task.expert(contract).plan(scene, contract.home, np.random.default_rng(7))
            with_it, without = Driven(contract), SafetyGate(contract.limits, period(contract))
            without.restart(contract.home)
            for target in plan.at(np.arange(0, plan.duration_s, period(contract))):
                one = with_it.gate.step(target, target)
                assert np.array_equal(one, without.step(target, target))


class TestDriver:
    def test_a_hold_at_the_table_is_a_warning_with_its_reason(self, active):
        active.follow(4.0, joint2=2.4)
        state = active.driver.diagnostics(active.now)
        assert state.level == "warn"
        assert "following policy, slowed:" in state.message
        assert "is at the table" in state.message
        assert "is at the table" in str(state.values["workspace"])

    def test_a_joint_that_is_held_inside_a_forbidden_zone_is_told_and_left_by_an_enable(self, active):
        active.follow(4.0, joint2=1.8, joint3=-1.0)
        held = active.arm.position[1]
        active.arm.blocked = {1: held}  # while the hand goes down to the table
        active.follow(2.0, joint2=1.5, joint3=-0.6)
        active.run(2.0)
        state = active.driver.diagnostics(active.now)
        assert state.level == "error"
        assert "joint2 is blocked" in state.message
        assert "not led back to where it is held, as" in state.message
        assert "is at the table, so its motor goes on pushing" in state.message
        active.driver.enable()
        active.run(0.5)
        assert active.report.mode.value == "active"
        active.arm.blocked = {}
        active.driver.select_source("policy")
        active.follow(4.0, joint2=1.5, joint3=-1.0)
        assert active.report.target[1] == pytest.approx(1.5, abs=0.01)

    @pytest.mark.parametrize(
        ("position", "velocity"),
        [
            (
                [1.850, 1.547, -2.041, 0.619, -0.848, 1.602, 0.042],
                [1.173, 1.212, -1.212, 1.616, -1.751, -1.696, -0.130],
            ),
            (
                [0.677, 2.058, -0.480, 0.376, 0.130, -1.299, 0.045],
                [1.120, -0.660, 0.500, -0.880, -1.493, 1.493, 0.010],
            ),
        ],
    )
    def test_links_that_turn_while_they_brake_carry_the_tool_no_faster_in_between(self, position, velocity):
        """Found by fuzzing: slow enough at the ends of a braking path, 0.5 mm/s too fast within it."""
        workspace, braking = (
            WorkspaceLimiter(CONTRACT, period(CONTRACT)),
            BrakingPath(CONTRACT.limits.acceleration, period(CONTRACT)),
        )
        workspace.set_reduced(True)
        allowed = workspace.limit(np.array(position), np.array(velocity), np.array(velocity))
        path = position + braking.moved(allowed, np.arange(-1.0, braking.periods(allowed) + 1))
        steps = np.linalg.norm(np.diff(workspace.tips(path), axis=1), axis=2)
        assert steps.max() / period(CONTRACT) <= 0.25

    def test_reduced_speed_is_told_and_can_be_left(self, active):
        assert active.driver.diagnostics(active.now).values["reduced_speed"] is False
        active.driver.set_reduced(True)
        values = active.driver.diagnostics(active.now).values
        assert values["reduced_speed"] is True
        assert "tool at most 0.25 m/s" in str(values["workspace"])
        active.driver.set_reduced(False)
        assert active.driver.diagnostics(active.now).values["reduced_speed"] is False

    def test_reduced_speed_is_refused_where_nothing_says_where_the_tool_is(self):
        contract = load_contract("aloha_agilex")
        assert workspace_limiter(contract, 0.004) is None
        driver = Driver(contract, PretendArm())
        with pytest.raises(CommandRefused, match="reduced_speed: expected a urdf"):
            driver.set_reduced(True)


class TestRefusal:
    def test_a_workspace_without_a_urdf(self):
        text = load_contract("aloha_agilex").text + "\nworkspace: {table_height_m: 0.0}\n"
        with pytest.raises(ContractError, match="workspace: expected a urdf"):
            parse_contract(text, "", where="test")

    def test_a_link_that_collides_with_a_mesh(self):
        box = '<box size="0.04 0.1 0.055"/>'
        urdf = CONTRACT.urdf.replace(box, '<mesh filename="hand.stl"/>')
        assert urdf != CONTRACT.urdf
        with pytest.raises(ContractError, match=r"table_height_m: expected boxes.*'link6', found a mesh"):
            parse_contract(CONTRACT.text, urdf, where="test")

    @pytest.mark.parametrize("size", ["0.04 0.1", "0.04 0.1 nan", "0.04 0.1 1e9", "a b c"])
    def test_a_shape_of_no_size(self, size):
        urdf = CONTRACT.urdf.replace("0.04 0.1 0.055", size)
        with pytest.raises(ContractError, match="link link6: collision 1: size: expected 3 numbers up to"):
            parse_contract(CONTRACT.text, urdf, where="test")

    def test_joints_in_a_circle(self):
        urdf = CONTRACT.urdf.replace('<child link="link1"/>', '<child link="base_link"/>')
        with pytest.raises(ContractError):
            parse_contract(CONTRACT.text, urdf, where="test")
