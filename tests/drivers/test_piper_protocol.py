"""PiPER's frames: what we write the vendor's parser reads, and what the vendor writes we read."""

import can
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from piper_sdk.kinematics.piper_fk import C_PiperForwardKinematics
from piper_sdk.piper_msgs.msg_v2 import (
    ArmMsgGripperCtrl,
    ArmMsgJointCtrl,
    ArmMsgJointMitCtrl,
    ArmMsgMotionCtrl_2,
    ArmMsgMotorAngleLimitMaxSpdSet,
    ArmMsgType,
    PiperMessage,
)
from piper_sdk.protocol.protocol_v2 import C_PiperParserV2

from mivla_drivers.robots.piper import protocol
from mivla_drivers.transport.can_hub import FRAME
from mivla_drivers.transport.emulated_can import unpack_frame

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
ANGLES = st.floats(-3.2, 3.2)
FLAGS = arrays(bool, 6)


def numbers(size, bound):
    return arrays(float, size, elements=st.floats(-bound, bound))


def read_by_sdk(packed):
    """What the SDK's parser makes of packed frames."""
    result = PiperMessage()
    for fields in FRAME.iter_unpack(packed):
        assert C_PiperParserV2().DecodeMessage(unpack_frame(*fields, timestamp=1.0, channel="bus"), result)
    return result


def written_by_sdk(kind, **parts):
    """Data of the frame that the SDK's parser writes."""
    message, frame = PiperMessage(type_=kind), can.Message()
    for name, part in parts.items():
        setattr(message, name, part)
    assert C_PiperParserV2().EncodeMessage(message, frame)
    return bytes(frame.data)


@UNHURRIED
@given(
    position=numbers(7, 3.2),
    velocity=numbers(7, 30.0),
    effort=numbers(7, 20.0),
    pose=numbers(6, 3.0),
    lost=FLAGS,
    beyond=FLAGS,
)
def test_the_sdk_reads_back_fast_feedback(position, velocity, effort, pose, lost, beyond):
    status = protocol.ArmStatus(1, 4, 1, True, lost, beyond)
    heard = read_by_sdk(protocol.encode_fast_feedback(status, pose, position, velocity, effort, 0xC0))
    joints = [getattr(heard.arm_joint_feedback, f"joint_{j}") for j in range(1, 7)]
    assert np.deg2rad(np.array(joints) / 1000) == pytest.approx(position[:6], abs=1e-5)
    assert heard.gripper_feedback.grippers_angle / 1e6 == pytest.approx(position[6], abs=1e-6)
    assert heard.gripper_feedback.grippers_effort / 1000 == pytest.approx(effort[6], abs=6e-4)
    assert heard.gripper_feedback.foc_status.driver_enable_status
    assert heard.gripper_feedback.foc_status.homing_status
    end = heard.arm_end_pose
    assert np.array([end.X_axis, end.Y_axis, end.Z_axis]) / 1e6 == pytest.approx(pose[:3], abs=1e-6)
    turned = np.deg2rad(np.array([end.RX_axis, end.RY_axis, end.RZ_axis]) / 1000)
    assert turned == pytest.approx(pose[3:], abs=1e-5)
    for j in range(6):
        motor = getattr(heard, f"arm_high_spd_feedback_{j + 1}")
        assert motor.motor_speed / 1000 == pytest.approx(velocity[j], abs=6e-4)
        assert motor.cal_effort() / 1000 == pytest.approx(effort[j], abs=6e-4)


@UNHURRIED
@given(lost=FLAGS, beyond=FLAGS, condition=st.integers(0, 15), mode=st.sampled_from([0, 1, 2]))
def test_the_sdk_reads_back_status_and_error_bits(lost, beyond, condition, mode):
    status = protocol.ArmStatus(mode, condition, 1, False, lost, beyond)
    zeros = np.zeros(7)
    heard = read_by_sdk(
        protocol.encode_fast_feedback(status, zeros[:6], zeros, zeros, zeros, 0)
    ).arm_status_msgs
    assert (heard.ctrl_mode, heard.arm_status, heard.mode_feed, heard.motion_status) == (
        mode,
        condition,
        1,
        0,
    )
    errors = heard.err_status
    assert [getattr(errors, f"communication_status_joint_{j}") for j in range(1, 7)] == lost.tolist()
    assert [getattr(errors, f"joint_{j}_angle_limit") for j in range(1, 7)] == beyond.tolist()


@UNHURRIED
@given(bits=st.lists(st.integers(0, 255), min_size=6, max_size=6), temperature=st.integers(-20, 120))
def test_the_sdk_reads_back_slow_feedback(bits, temperature):
    heard = read_by_sdk(protocol.encode_slow_feedback(bits, voltage=23.7, temperature=temperature))
    for j, byte in enumerate(bits):
        motor = getattr(heard, f"arm_low_spd_feedback_{j + 1}")
        assert (motor.vol, motor.foc_temp, motor.motor_temp) == (237, temperature, temperature)
        assert motor.foc_status_code == byte
        assert motor.foc_status.driver_enable_status == bool(byte & protocol.MOTOR_ENABLED)


@UNHURRIED
@given(value=st.floats(-1e12, 1e12))
def test_a_value_that_does_not_fit_its_field_is_clipped_not_wrapped(value):
    status = protocol.ArmStatus(1, 0, 1, False, np.zeros(6, bool), np.zeros(6, bool))
    same = np.full(7, value)
    heard = read_by_sdk(protocol.encode_fast_feedback(status, same[:6], same, same, same, 0))
    for read in (heard.arm_joint_feedback.joint_1, heard.arm_high_spd_feedback_1.motor_speed):
        assert read == 0 or np.sign(read) == np.sign(value)


def test_a_batch_holds_the_frames_of_one_period_of_the_arm():
    status = protocol.ArmStatus(1, 0, 1, False, np.zeros(6, bool), np.zeros(6, bool))
    zeros = np.zeros(7)
    fast = protocol.encode_fast_feedback(status, zeros[:6], zeros, zeros, zeros, 0)
    assert tuple(fields[0] for fields in FRAME.iter_unpack(fast)) == protocol.FAST_FEEDBACK
    slow = protocol.encode_slow_feedback([0] * 6)
    assert tuple(fields[0] for fields in FRAME.iter_unpack(slow)) == protocol.SLOW_FEEDBACK
    assert (
        200 * len(fast) // FRAME.size + 40 * len(slow) // FRAME.size == 3040
    )  # the vendor's "normal frame rate"


@UNHURRIED
@given(first=ANGLES, second=ANGLES)
def test_joint_targets_written_by_the_sdk_are_read(first, second):
    raw = [round(np.rad2deg(angle) * 1000) for angle in (first, second)]
    data = written_by_sdk(ArmMsgType.PiperMsgJointCtrl_12, arm_joint_ctrl=ArmMsgJointCtrl(*raw))
    assert protocol.decode_joint_pair(data) == pytest.approx((first, second), abs=1e-5)
    assert protocol.encode_joint_pair(first, second) == data


@UNHURRIED
@given(opening=st.floats(-0.01, 0.1), effort=st.floats(0, 5), code=st.integers(0, 3), zero=st.booleans())
def test_gripper_commands_written_by_the_sdk_are_read(opening, effort, code, zero):
    raw = ArmMsgGripperCtrl(round(opening * 1e6), round(effort * 1000), code, 0xAE if zero else 0)
    data = written_by_sdk(ArmMsgType.PiperMsgGripperCtrl, arm_gripper_ctrl=raw)
    command = protocol.decode_gripper(data)
    assert (command.opening, command.effort) == pytest.approx((opening, effort), abs=1e-3)
    assert (command.code, command.set_zero) == (code, zero)
    assert protocol.encode_gripper(command) == data


@UNHURRIED
@given(
    mode=st.sampled_from([0, 1]),
    move=st.integers(0, 5),
    speed=st.integers(0, 100),
    mit=st.sampled_from([0, 0xAD]),
)
def test_modes_written_by_the_sdk_are_read(mode, move, speed, mit):
    data = written_by_sdk(
        ArmMsgType.PiperMsgMotionCtrl_2, arm_motion_ctrl_2=ArmMsgMotionCtrl_2(mode, move, speed, mit)
    )
    assert protocol.decode_mode(data) == protocol.ModeCommand(mode, move, speed, mit)


@UNHURRIED
@given(raw=st.integers(0, 2**16 - 1), flip=st.integers(1, 15))
def test_a_mit_frame_is_read_and_one_with_a_wrong_checksum_is_not(raw, flip):
    command = ArmMsgJointMitCtrl(pos_ref=raw, vel_ref=0x7FF, kp=0x51E, kd=0x333, t_ref=0x80)
    data = written_by_sdk(ArmMsgType.PiperMsgJointMitCtrl_3, arm_joint_mit_ctrl=command)
    assert protocol.decode_mit_position(data) == pytest.approx(raw / 65535 * 25.0 - 12.5, abs=1e-9)
    assert protocol.decode_mit_position(data[:7] + bytes([data[7] ^ flip])) is None


@UNHURRIED
@given(motor=st.integers(1, 6), lower=ANGLES, upper=ANGLES, speed=st.floats(0, 3))
def test_the_sdk_reads_back_limits(motor, lower, upper, speed):
    heard = read_by_sdk(protocol.encode_angle_limit(motor, lower, upper, speed))
    limit = heard.arm_feedback_current_motor_angle_limit_max_spd
    assert limit.motor_num == motor
    assert np.deg2rad([limit.min_angle_limit / 10, limit.max_angle_limit / 10]) == pytest.approx(
        [lower, upper], abs=1e-3
    )
    assert limit.max_joint_spd / 1000 == pytest.approx(speed, abs=6e-4)
    answer = read_by_sdk(
        protocol.encode_acceleration_limit(motor, speed)
    ).arm_feedback_current_motor_max_acc_limit
    assert (answer.joint_motor_num, answer.max_joint_acc) == (motor, round(speed * 1000))


def test_a_limit_setting_leaves_alone_what_the_sdk_marks_as_unchanged():
    setting = ArmMsgMotorAngleLimitMaxSpdSet(motor_num=4, max_angle_limit=900, max_joint_spd=1500)
    data = written_by_sdk(
        ArmMsgType.PiperMsgMotorAngleLimitMaxSpdSet, arm_motor_angle_limit_max_spd_set=setting
    )
    motor, upper, lower, speed = protocol.decode_limit_setting(data)
    assert (motor, upper, lower, speed) == (4, pytest.approx(np.deg2rad(90.0)), None, 1.5)


@pytest.mark.parametrize("offset", [0, 1])
@UNHURRIED
@given(joints=arrays(float, 6, elements=ANGLES))
def test_the_flange_pose_is_the_sdks_own(offset, joints):
    x, y, z, *turned = C_PiperForwardKinematics(offset).CalFK(joints.tolist())[-1]
    ours = protocol.flange_pose(joints, offset)
    assert ours[:3] * 1000 == pytest.approx([x, y, z], abs=1e-6)
    if abs(ours[4]) < np.deg2rad(89.0):  # beyond, the SDK switches to another convention
        assert np.exp(1j * ours[3:]) == pytest.approx(np.exp(1j * np.deg2rad(turned)), abs=1e-6)
