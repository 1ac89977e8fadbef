"""The bytes of an ARX-5's motors, and its model against the SDK's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import ContractError, HardwareError
from mivla_drivers.kinematics.chain import read_chain
from mivla_drivers.robots.arx5 import commands, geometry, protocol
from mivla_drivers.robots.arx5.gravity import Gravity
from mivla_drivers.robots.arx5.hardware import Arx5Hardware
from mivla_drivers.robots.arx5.model import MODELS
from mivla_drivers.robots.arx5.motors import MitMotors
from mivla_drivers.robots.arx5.options import BackendOptions
from mivla_drivers.robots.arx5.protocol import MotorKind, Reply
from mivla_drivers.robots.arx5.resumption import Resumption
from mivla_drivers.transport import emulated_socketcan

CONTRACT = load_contract("arx5")
KINDS = st.sampled_from(list(MotorKind))


@pytest.mark.parametrize(
    ("kind", "frame", "kp", "kd", "torque_nm"),
    [  # as arx5-interface 0.1.5 sent them after set_gain(kp 50, kd 1) and a torque of 2 N.m on every joint
        (MotorKind.EC_A4310, "03326681067ff861", 50.0, 1.0, 2.0),
        (MotorKind.DM_J4310, "80837ff199333a18", 50.0, 1.0, 2.0),
        (MotorKind.DM_J4310, "8a3d7ff0280a3885", 5.0, 0.2, 0.5),
    ],
)
def test_a_command_of_the_real_sdk_is_read_as_it_was_meant(
    kind: MotorKind, frame: str, kp: float, kd: float, torque_nm: float
) -> None:
    command = protocol.decode_command(kind, bytes.fromhex(frame))
    assert command.kp == pytest.approx(kp, abs=500 / 4095)
    assert command.kd == pytest.approx(kd, abs=5 / 511)
    assert command.torque * kind.torque_scale == pytest.approx(torque_nm, abs=0.03)


@given(
    KINDS,
    st.integers(1, 8),
    st.floats(-12.5, 12.5),
    st.floats(-18, 18),
    st.floats(-18, 18),
    st.integers(0, 15),
)
def test_a_reply_survives_the_wire(
    kind: MotorKind, motor: int, position: float, speed: float, torque: float, error: int
) -> None:
    reply = Reply(motor, position, speed, torque, error, 35.0)
    read = protocol.decode_reply(*protocol.encode_reply(kind, reply))
    assert read is not None
    assert (read.motor, read.error, read.temperature) == (motor, error, 35.0)
    assert read.position == pytest.approx(position, abs=25 / 65535)
    assert read.speed == pytest.approx(speed, abs=2 * kind.speed_range / 4095)
    assert read.torque == pytest.approx(torque, abs=2 * kind.torque_range / 4095)


@given(st.integers(0, 0x7FF), st.binary(max_size=8))
def test_no_frame_makes_the_decoder_fail(can_id: int, data: bytes) -> None:
    reply = protocol.decode_reply(can_id, data)
    assert reply is None or 0 <= reply.motor <= 15


@pytest.mark.parametrize(("robot", "model"), [("arx5", "X5"), ("arx5_l5", "L5")])
def test_kinematics_and_gravity_are_the_sdks(robot: str, model: str) -> None:
    sdk = pytest.importorskip("arx5_interface")
    config = sdk.RobotConfigFactory.get_instance().get_config(model)
    limits = (config.joint_pos_min, config.joint_pos_max)
    links = (config.base_link_name, config.eef_link_name, config.gravity_vector)
    solver = sdk.Arx5Solver(config.urdf_path, 6, *limits, *links)
    contract = load_contract(robot)
    chain, gravity = read_chain(contract, contract.arms[0]), Gravity(contract, contract.parts[0])
    rng = np.random.default_rng(0)
    for _ in range(20):
        q = rng.uniform(*limits)
        place = chain.frames(q[None])[1][0, :3, 3]
        assert place == pytest.approx(solver.forward_kinematics(q)[:3], abs=1e-5)
        held = solver.inverse_dynamics(q, np.zeros(6), np.zeros(6))
        assert gravity.torque(q) == pytest.approx(held, abs=0.05)  # fingers instead of a fixed end effector
    gravity.close()


@pytest.mark.parametrize(("robot", "model"), [("arx5", "X5"), ("arx5_l5", "L5")])
def test_limits_and_motors_are_the_sdks(robot: str, model: str) -> None:
    sdk = pytest.importorskip("arx5_interface")
    config = sdk.RobotConfigFactory.get_instance().get_config(model)
    contract = load_contract(robot)
    assert contract.limits.lower[:6] == pytest.approx(config.joint_pos_min)
    assert contract.limits.upper[:6] == pytest.approx(config.joint_pos_max)
    assert MODELS[model].identifiers == (*config.motor_id, config.gripper_motor_id)
    kinds = [str(kind).rpartition(".")[2] for kind in (*config.motor_type, config.gripper_motor_type)]
    assert [kind.name for _, kind in MODELS[model].motors] == kinds


@pytest.mark.parametrize("model", ["X5", "L5"])
def test_joints_of_a_model_are_where_the_sdks_urdf_has_them(model: str) -> None:
    sdk = pytest.importorskip("arx5_interface")
    config = sdk.RobotConfigFactory.get_instance().get_config(model)
    joints = {joint.get("name"): joint for joint in ElementTree.parse(config.urdf_path).iter("joint")}
    for i in range(6):
        origin, axis = joints[f"joint{i + 1}"].find("origin"), joints[f"joint{i + 1}"].find("axis")
        assert tuple(map(float, origin.get("xyz").split())) == geometry.ORIGINS[model][i]
        assert (abs(float(origin.get("rpy").split()[0])) > 3) == geometry.TURNED[i]
        assert tuple(map(float, axis.get("xyz").split())) == geometry.AXES[i]


@pytest.mark.parametrize(("robot", "model"), [("arx5", "X5"), ("arx5_l5", "L5")])
def test_a_urdf_of_another_arm_is_refused(robot: str, model: str) -> None:
    contract = load_contract(robot)
    part = contract.parts[0]
    geometry.require_urdf(contract, part, model)
    with pytest.raises(ContractError, match=r"urdf: expected joint\d where an .. has it .* found it \d+ mm"):
        geometry.require_urdf(contract, part, "L5" if model == "X5" else "X5")


def test_an_r5_drives_as_an_l5() -> None:
    assert BackendOptions.model_validate({"model": "R5"}).model == "L5"


def test_a_command_of_the_first_joint_is_told_from_an_answer() -> None:
    sent = bytes.fromhex("03326681067ff861")  # kp 50, as above
    position = protocol.decode_command(MotorKind.EC_A4310, sent).position
    assert commands.first_joint({"model": "X5"}, 1, sent) == pytest.approx(position)
    answer = protocol.encode_reply(MotorKind.EC_A4310, Reply(1, 0.5, 0.0, 0.0, 0, 30.0))
    assert commands.first_joint({}, *answer) is None
    assert commands.first_joint({"model": "R5"}, 2, sent) is None
    assert commands.first_joint({"model": "R5"}, 1, sent) == pytest.approx(
        protocol.decode_command(MotorKind.DM_J4340, sent).position
    )


def test_a_motor_tells_its_position_when_it_is_asked() -> None:
    answer = protocol.encode_query_reply(Reply(4, -1.25, 0.0, 0.0, 2, 30.0))
    read = protocol.decode_reply(*answer)
    assert read is not None
    assert (read.motor, read.error) == (4, 2)
    assert read.position == pytest.approx(-1.25, abs=1e-5)


def test_a_urdf_with_an_axis_the_other_way_is_refused() -> None:
    contract = load_contract("arx5")
    turned = replace(contract, urdf=contract.urdf.replace('<axis xyz="0 1 0"/>', '<axis xyz="0 -1 0"/>', 1))
    with pytest.raises(ContractError, match=r"expected joint2 .* found it 0 mm and \d+ degrees from there"):
        geometry.require_urdf(turned, turned.parts[0], "X5")


def test_an_arm_without_gravity_compensation_is_not_let_go_of() -> None:
    contract = load_contract("arx5")
    contract.parts[0].options.update({"when_disabled": "free", "gravity_compensation": False})
    with pytest.raises(ContractError, match=r"when_disabled: expected damping where gravity_compensation is"):
        Arx5Hardware(contract, contract.parts[0])


def test_limits_wider_than_the_sdks_are_refused() -> None:
    contract = load_contract("arx5")
    contract.limits.upper.flags.writeable = True
    contract.limits.upper[3] = 1.7
    with pytest.raises(ContractError, match=r"joints.joint4: expected limits within the SDK's -1.6 to 1.55"):
        Arx5Hardware(contract, contract.parts[0])


def test_without_a_compiler_the_emulated_bus_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HardwareError, match="apt install gcc"):
        emulated_socketcan.library(tmp_path)


def _motors(kp: float, kd: float, feed_forward: float = 0.0) -> MitMotors:
    motors = MitMotors(np.ones(1), np.full(1, -10.0), np.full(1, 10.0))
    motors.kp[:], motors.kd[:], motors.feed_forward[:] = kp, kd, feed_forward
    motors.enabled[:] = motors.commanded[:] = True
    return motors


def _settled(motors: MitMotors, gravity: float, seconds: float = 2.0) -> float:
    position = np.zeros(1)
    for _ in range(round(seconds / 0.002)):
        position = motors.step(position, np.array([gravity]), 0.002)
    return float(position[0])


@settings(deadline=None)
@given(st.floats(5, 100), st.floats(0.5, 5))
def test_a_motor_sags_by_what_gravity_asks_over_its_stiffness(kp: float, gravity: float) -> None:
    sag = _settled(_motors(kp, kd=1.0), gravity)
    assert sag == pytest.approx(
        -(gravity - 0.12) / kp, abs=0.01 / kp + 1e-4
    )  # 0.12 N.m of friction hold it up


def test_a_motor_that_is_told_the_torque_of_gravity_does_not_sag() -> None:
    assert _settled(_motors(50.0, 1.0, feed_forward=3.0), 3.0) == 0.0


def test_a_motor_without_gains_sinks_slowly_with_damping_and_falls_without() -> None:
    assert -0.8 < _settled(_motors(0.0, 2.0), 1.0, seconds=1.0) < -0.3
    assert _settled(_motors(0.0, 0.0), 1.0, seconds=1.0) < -4.0


@settings(deadline=None)
@given(st.floats(1, 500), st.floats(0, 5), st.floats(-3, 3))
def test_no_gains_make_the_emulated_motor_overshoot(kp: float, kd: float, target: float) -> None:
    motors = _motors(kp, kd)
    motors.target[:] = target
    position = np.zeros(1)
    for _ in range(500):
        position = motors.step(position, np.zeros(1), 0.002)
        assert min(0, target) - 1e-9 <= position[0] <= max(0, target) + 1e-9


@pytest.mark.parametrize("ahead_rad", [0.01, 0.05, 0.3])
def test_commands_go_on_from_where_they_stood_within_half_of_the_speed_and_the_acceleration_limits(ahead_rad):
    limits = CONTRACT.limits
    target, stood = np.full(7, ahead_rad), np.zeros(7)
    stood[6] = ahead_rad  # the gripper is where it should be
    resumption = Resumption(stood, target, limits.velocity, now=5.0)
    times = 5.0 + np.arange(0.0, 3.0, 0.005)
    commands = np.array([resumption.command(target, now) for now in times])
    assert np.allclose(commands[0], stood)
    assert np.allclose(commands[-1], target)
    assert resumption.is_over(times[-1])
    assert np.abs(np.diff(commands, axis=0) / 0.005 / limits.velocity).max() < 0.5
    arm = slice(0, 6)
    bends = np.diff(commands[:, arm], n=2, axis=0) / 0.005**2
    assert np.abs(bends / limits.acceleration[arm]).max() < 0.6
