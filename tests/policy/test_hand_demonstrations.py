"""Hands that do tasks in simulation, exported and read back as EgoDex."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import DataError
from mivla_drivers.retargeting.frames import transform
from mivla_drivers.simulation.human.performance import perform
from mivla_drivers.simulation.human.scene import sample_hand_scene, tabletop_task
from mivla_policy.action_space import HUMAN
from mivla_policy.data import hand_demonstrations
from mivla_policy.data.egodex import JOINTS, egodex_reader
from mivla_policy.data.hand_demonstrations import episode_path, generate, headset_world, world_poses
from mivla_policy.data.imitation import SLOTS, ImitatingArm, annotate

TASKS = ("lift_block", "push_block_to_pad", "take_can_off_pad")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hands")
    assert generate(folder, episodes=3, workers=1, tasks=TASKS) == 3
    return folder


@pytest.fixture(scope="module")
def tracks(folder):
    reader = egodex_reader(folder)
    tracks = {track.source.split("/")[-2]: track for track in reader}
    assert not reader.skipped
    return tracks


def performed(number):
    scene = sample_hand_scene(tabletop_task(TASKS[number]), number)
    return scene, perform(scene, np.random.default_rng([number, 1]))


class TestEgoDexLayout:
    def test_the_reader_uses_every_episode(self, tracks):
        assert sorted(tracks) == sorted(TASKS)

    def test_poses_and_images_go_together(self, tracks):
        for track in tracks.values():
            assert track.targets.shape == (len(track), 76)
            assert track.mask[:, HUMAN].all()
            assert len(track.images["front"]) == len(track)
            assert track.images["front"][len(track) - 1].shape == (160, 160, 3)

    def test_there_are_68_joints_and_a_camera_with_true_rotations(self, folder):
        with h5py.File(episode_path(folder, TASKS[0], 0)) as file:
            assert set(file["transforms"]) == {*JOINTS, "camera"}
            for joint in (*JOINTS, "camera"):
                rotation = file[f"transforms/{joint}"][:, :3, :3]
                assert np.abs(rotation @ rotation.swapaxes(1, 2) - np.eye(3)).max() < 1e-5
                assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-4)

    def test_the_instruction_is_the_scene_s_in_either_direction(self, tracks):
        for number, task in enumerate(TASKS):
            assert tracks[task].instruction == performed(number)[0].table.instruction
        assert "pad" in tracks["take_can_off_pad"].instruction

    def test_a_reversible_task_names_both_directions(self, folder):
        with h5py.File(episode_path(folder, "take_can_off_pad", 2)) as file:
            assert file.attrs["llm_type"] == "reversible"
            assert file.attrs["which_llm_description"] == "2"
            assert file.attrs["llm_description"] != file.attrs["llm_description2"]

    def test_the_hand_s_size_is_found_from_its_bones(self, tracks):
        for number, task in enumerate(TASKS):
            assert tracks[task].hand.length_m == pytest.approx(performed(number)[0].hand_length_m, abs=1e-5)


class TestMotion:
    def test_the_thumb_knuckle_follows_the_commanded_path(self, tracks):
        for number, task in enumerate(TASKS):
            scene, performance = performed(number)
            knuckle = headset_world(scene, performance) @ performance.joints[f"{scene.side}ThumbKnuckle"]
            assert np.abs(tracks[task].hands[scene.side].thumb_knuckle - knuckle).max() < 1e-5

    def test_the_person_is_seen_to_face_where_the_scene_says(self, tracks):
        for number, task in enumerate(TASKS):
            scene, performance = performed(number)
            human_from_robot = headset_world(scene, performance)[:3, :3]
            assert np.abs(tracks[task].robot_from_human @ human_from_robot - np.eye(3)).max() < 1e-6

    def test_the_acting_hand_is_in_the_picture(self):
        for number in range(len(TASKS)):
            scene, performance = performed(number)
            poses = world_poses(scene, performance)
            tip = transform(np.eye(3), poses[f"{scene.side}IndexFingerTip"][:, :3, 3])
            in_camera = (np.linalg.inv(poses["camera"]) @ tip)[:, :3, 3]
            pixels = in_camera @ hand_demonstrations.intrinsics(scene, 160, 160).T
            pixels = pixels[:, :2] / pixels[:, 2:]
            assert (in_camera[:, 2] > 0.1).all()
            assert ((pixels > 0) & (pixels < 160)).all(axis=1).mean() > 0.9

    def test_an_arm_that_imitates_the_hand_reaches_most_steps(self, tracks):
        arm = ImitatingArm(load_contract("piper"))
        for number, task in enumerate(TASKS):
            slots = SLOTS[performed(number)[0].side]
            assert annotate(tracks[task], arm).mask[:, slots.arm].all(axis=1).mean() > 0.9


class TestGenerate:
    def test_what_is_there_is_kept_and_what_is_missing_is_written_again_the_same(self, folder):
        kept, lost = (episode_path(folder, TASKS[i], i) for i in (0, 1))
        stamp = kept.stat().st_mtime_ns
        with h5py.File(lost) as file:
            before = file["transforms/rightHand"][()]
        lost.unlink()
        assert generate(folder, episodes=3, workers=1, tasks=TASKS) == 1
        assert kept.stat().st_mtime_ns == stamp
        with h5py.File(lost) as file:
            assert (file["transforms/rightHand"][()] == before).all()

    def test_an_unknown_task_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"'juggle': expected a task of .*lift_can"):
            generate(tmp_path, episodes=1, workers=1, tasks=("juggle",))

    def test_a_task_that_hands_cannot_do_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="move_bottle_onto_pad: expected a tabletop task"):
            generate(tmp_path, episodes=1, workers=1, tasks=("move_bottle_onto_pad",))
