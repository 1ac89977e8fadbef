"""Writes small data sets in the layouts that the readers expect, moved by this project's own arm and hand."""

import json

import cv2
import h5py
import numpy as np
from rclpy.serialization import serialize_message
from scipy.spatial.transform import Rotation
from std_msgs.msg import String

from mivla_drivers.contract import load_contract
from mivla_drivers.kinematics import Kinematics
from mivla_drivers.recording.container import typestore
from mivla_drivers.recording.writer import EpisodeWriter, Outcome
from mivla_drivers.retargeting.benchmark import smooth_motion
from mivla_drivers.retargeting.frames import ROBOT_FROM_HUMAN, transform
from mivla_drivers.retargeting.robot_to_human import robot_to_human
from mivla_drivers.ros.conversions import compressed_image_message, joint_state_message
from mivla_policy.data.egodex import JOINTS, TIPS

RED = (250, 10, 20)


def red_image(height=48, width=64):
    return np.full((height, width, 3), RED, dtype=np.uint8)


def red_scene(height, width, step):
    """Red all over, with a shading that moves from step to step: not the same picture twice, and not of one colour."""
    shading = np.roll(np.linspace(-8, 8, width), 5 * step).round().astype(int)
    return np.clip(red_image(height, width) + shading[None, :, None], 0, 255).astype(np.uint8)


def assert_red(image):
    assert np.abs(image.astype(int) - RED).max() < 16


def write_robotwin(root, steps=6, number=3, seed=0, endpose=True):
    """`root`/beat_block_hammer/demo_clean/data/episodeN.hdf5 and its instructions; returns path and qpos (T, 14)."""
    contract = load_contract("piper")
    qpos = np.concatenate([smooth_motion(contract, steps, seed + i) for i in range(2)], axis=1)
    qpos[:, [6, 13]] /= 0.07
    folder = root / "beat_block_hammer" / "demo_clean"
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "instructions").mkdir(exist_ok=True)
    sentences = {"seen": ["hit the block", "use the hammer"], "unseen": ["beat it"]}
    (folder / "instructions" / f"episode{number}.json").write_text(json.dumps(sentences))
    path = folder / "data" / f"episode{number}.hdf5"
    jpeg = cv2.imencode(".jpg", red_image())[
        1
    ].tobytes()  # RGB given where OpenCV expects BGR, as RoboTwin does
    with h5py.File(path, "w") as file:
        for camera in ("head_camera", "left_camera", "right_camera"):
            file[f"observation/{camera}/rgb"] = np.array([jpeg] * steps, dtype=f"S{len(jpeg) + 7}")
        file["joint_action/left_arm"], file["joint_action/left_gripper"] = qpos[:, :6], qpos[:, 6]
        file["joint_action/right_arm"], file["joint_action/right_gripper"] = qpos[:, 7:13], qpos[:, 13]
        file["joint_action/vector"] = qpos
        file.create_group("endpose")
        if endpose:
            # Both grippers 0.3 m forward, which is +y in RoboTwin's world, looking there along their x axis.
            for side, x in (("left", -0.2), ("right", 0.2)):
                pose = [x, 0.3, 0.9, np.cos(np.pi / 4), 0.0, 0.0, np.sin(np.pi / 4)]
                file[f"endpose/{side}_endpose"] = np.tile(pose, (steps, 1))
    return path, qpos


def write_robotwin_main(root, steps=6, number=3, seed=0, endpose=True, instructions="json", commands=None):
    """The demonstration of `write_robotwin` as branch main writes it: `episode_000000N.hdf5`, one frame fewer.

    Args:
        instructions: "json", "array" or "none".
        commands: what stands under `action`; None has the next frame's state there, as RoboTwin's own collection.
    """
    stable, qpos = write_robotwin(root / "stable", steps, number, seed, endpose)
    folder = root / "beat_block_hammer" / "aloha_agilex" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"episode_{number:07d}.hdf5"
    sentences = ["hit the block", "use the hammer"]
    names = {
        "left_arm_joint_states": qpos[:, :6],
        "left_ee_joint_states": qpos[:, 6:7],
        "right_arm_joint_states": qpos[:, 7:13],
        "right_ee_joint_states": qpos[:, 13:],
    }
    with h5py.File(stable) as source, h5py.File(path, "w") as file:
        file.attrs["source_format"] = "RoboTwin"
        text = h5py.string_dtype("utf-8")
        file.create_dataset("data_format_version", data="v1.0", dtype=text)
        if instructions == "json":
            file.create_dataset("instructions", data=json.dumps(sentences), dtype=text)
        elif instructions == "array":
            file.create_dataset("instruction", data=sentences[0], dtype=text)
            file.create_dataset("instructions", data=np.array(sentences, dtype=object), dtype=text)
        file["additional_info/frequency"] = np.int32(15)
        if endpose:
            for side in ("left", "right"):
                names[f"{side}_ee_poses"] = source[f"endpose/{side}_endpose"][()]
        for name, values in names.items():
            file[f"state/{name}"] = values[:-1].astype(np.float32)
            file[f"action/{name}"] = values[1:].astype(np.float32)
        if commands is not None:
            for name, part in (("left_arm", slice(0, 6)), ("right_arm", slice(7, 13))):
                file[f"action/{name}_joint_states"][()] = commands[:, part]
        cameras = {
            "head_camera": "cam_head",
            "left_camera": "cam_left_wrist",
            "right_camera": "cam_right_wrist",
        }
        for old, new in cameras.items():
            file[f"vision/{new}/colors"] = source[f"observation/{old}/rgb"][:-1]
            file[f"vision/{new}/shape"] = np.array([48, 64, 3], dtype=np.int32)
    return path, qpos


def write_aloha_urdf(path):
    """Two chains with the names and the links' places of aloha-agilex's URDF, and nothing else."""
    joints = (  # origin, axis
        ("0 0 0.0603", "0 0 0", "0 0 1"),
        ("0.02 0 0.0402", "0 0 0", "0 1 0"),
        ("-0.264 0 0", "-3.14159265 0 0", "0 1 0"),
        ("0.245 0 -0.056", "0 0 0", "0 1 0"),
        ("0.06575 -0.001 -0.0825", "0 0 0", "0 0 1"),
        ("0.02845 0 0.0825", "-3.14159265 0 0", "1 0 0"),
    )
    parts = ['<link name="footprint"/>']
    for prefix, y in (("fl", 0.3), ("fr", -0.307)):
        parts.append(f'<link name="{prefix}_base_link"/><joint name="{prefix}_base_joint" type="fixed">')
        parts.append(f'<origin xyz="0.233 {y} 0.7775"/><parent link="footprint"/>')
        parts.append(f'<child link="{prefix}_base_link"/></joint>')
        parents = [f"{prefix}_base_link", *(f"{prefix}_link{i}" for i in range(1, 7))]
        for i, (xyz, rpy, axis) in enumerate(joints, start=1):
            parts.append(_joint(prefix, i, parents[i - 1], "revolute", xyz, rpy, axis, "-10", "10"))
        for i, y_finger, axis in ((7, 0.0246, "0 1 0"), (8, -0.0246, "0 -1 0")):
            xyz = f"0.0736 {y_finger} 0"
            parts.append(_joint(prefix, i, f"{prefix}_link6", "prismatic", xyz, "0 0 0", axis, "0", "0.0477"))
    mesh = '<visual><geometry><mesh filename="package://nowhere/link.STL"/></geometry></visual>'
    text = "".join(parts).replace('<link name="fl_link1"/>', f'<link name="fl_link1">{mesh}</link>')
    path.write_text(f'<robot name="aloha">{text}</robot>')
    return path


def _joint(prefix, number, parent, kind, xyz, rpy, axis, lower, upper):
    name = f"{prefix}_link{number}"
    return (
        f'<link name="{name}"/><joint name="{prefix}_joint{number}" type="{kind}"><origin xyz="{xyz}" rpy="{rpy}"/>'
        f'<parent link="{parent}"/><child link="{name}"/><axis xyz="{axis}"/>'
        f'<limit lower="{lower}" upper="{upper}" effort="100" velocity="100"/></joint>'
    )


def write_egodex(root, steps=6, number=0, seed=0, attributes=None, video_steps=None):
    """`root`/part1/fold_towel/N.hdf5 and N.mp4; returns path and {side: HandMotion}.

    The hands do what PiPER's gripper does; the person faces +x of ARKit's world.
    """
    contract = load_contract("piper")
    kinematics = Kinematics(contract)
    turn = Rotation.from_euler("y", -np.pi / 2).as_matrix()
    hands = {}
    for i, side in enumerate(("left", "right")):
        joints = smooth_motion(contract, steps, seed + i)
        poses = kinematics.forward_batch(joints)
        world_from_robot = turn @ ROBOT_FROM_HUMAN.T
        hands[side] = robot_to_human(
            poses, joints[:, 6], (0.0, 0.07), side, human_from_robot=world_from_robot
        )
    folder = root / "part1" / "fold_towel"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number}.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"llm_description": "fold the towel"} if attributes is None else attributes)
        file["camera/intrinsic"] = np.eye(3, dtype=np.float32)
        for joint, pose in _joint_poses(hands, turn, steps).items():
            file[f"transforms/{joint}"] = pose.astype(np.float32)
        file["transforms/camera"] = np.tile(np.eye(4, dtype=np.float32), (steps, 1, 1))
    write_video(path.with_suffix(".mp4"), steps if video_steps is None else video_steps)
    return path, hands


def _joint_poses(hands, turn, steps):
    poses = {joint: np.tile(np.eye(4), (steps, 1, 1)) for joint in JOINTS}
    for side, motion in hands.items():
        poses[f"{side}Hand"], poses[f"{side}ThumbKnuckle"] = motion.wrist, motion.thumb_knuckle
        for i, tip in enumerate(TIPS):
            poses[f"{side}{tip}"] = transform(np.eye(3), motion.tips[:, i])
        for i, bone in enumerate(("Metacarpal", "Knuckle", "IntermediateBase", "IntermediateTip")):
            share = (i + 1) / 5  # a straight middle finger, so that the hand's length is wrist to tip
            wrist, tip = motion.wrist[:, :3, 3], motion.tips[:, 2]
            poses[f"{side}MiddleFinger{bone}"] = transform(np.eye(3), wrist + share * (tip - wrist))
        shoulder = np.array([-0.2 if side == "left" else 0.2, 1.4, 0.0])
        poses[f"{side}Shoulder"] = np.tile(transform(turn, turn @ shoulder), (steps, 1, 1))
    return poses


def write_video(path, steps, height=48, width=64):
    """Frame i is grey of brightness 20 i, up to 240."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (width, height))
    for i in range(steps):
        video.write(np.full((height, width, 3), min(20 * i, 240), dtype=np.uint8))
    video.release()


def write_recording(
    root,
    name="episode-1",
    seconds=1.0,
    started=1000.0,
    contract=None,
    instruction="move the bottle",
    lost_frames=("", ()),
    held=(),
):
    """One PiPER episode: 100 Hz joints, the contract's cameras, a chunk of eight steps every half second.

    `lost_frames`: of a view, the frames that no message came for. `held`: who had the robot from when on [s], where
    that is told; the policy's chunks come as the others do then, and want joint2 to be elsewhere.
    """
    contract = contract or load_contract("piper")
    writer = EpisodeWriter(root / name, contract, "move_bottle", instruction, started=started)
    topics = {topic.kind if topic.kind != "camera" else topic.camera: topic.name for topic in writer.topics}

    def positions(time):
        return contract.home + 0.1 * (time - started) * (np.arange(7) == 0)

    def write(key, data, stamp):
        writer.write(topics[key], data, int((stamp + 0.002) * 1e9))

    for stamp in started + np.arange(0.0, seconds, 0.01):
        state = joint_state_message(contract, positions(stamp), np.zeros(7), np.zeros(7), stamp)
        write("joints", serialize_message(state), stamp)
    for camera in contract.cameras:
        for step, stamp in enumerate(started + np.arange(0.0, seconds, 1 / camera.rate_hz)):
            if camera.view == lost_frames[0] and step in lost_frames[1]:
                continue
            image = compressed_image_message(red_scene(camera.height, camera.width, step), stamp, camera.name)
            write(camera.name, serialize_message(image), stamp)
    for stamp in started + np.arange(0.0, seconds, 0.5):
        steps = [(k, positions(stamp + 0.1 * k)) for k in range(1, 9)]
        write("commands", _trajectory(contract.joints, stamp, steps), stamp)
        if held:
            elsewhere = [(k, target + 0.2 * (np.arange(7) == 1)) for k, target in steps]
            write("other_commands", _trajectory(contract.joints, stamp, elsewhere), stamp)
    for offset, source in held:
        write("control", serialize_message(String(data=source)), started + offset)
    writer.close(Outcome(instruction, success=True), ended=started + seconds)
    return root / name


def _trajectory(joints, stamp, steps):
    """CDR bytes as on the wire: rclpy's serialize_message leaves unused bytes behind empty arrays."""
    types = typestore().types
    stamp_type, header = types["builtin_interfaces/msg/Time"], types["std_msgs/msg/Header"]
    duration = types["builtin_interfaces/msg/Duration"]
    point = types["trajectory_msgs/msg/JointTrajectoryPoint"]
    none = np.zeros(0)
    points = [point(target, none, none, none, duration(0, k * 100_000_000)) for k, target in steps]
    seconds = int(stamp)
    time = stamp_type(seconds, round((stamp - seconds) * 1e9))
    name = "trajectory_msgs/msg/JointTrajectory"
    return bytes(typestore().serialize_cdr(types[name](header(time, ""), list(joints), points), name))
