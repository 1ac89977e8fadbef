"""Fine-tuning on recordings: the encoders go along, and what is left of one run is not taken for another's."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from dataset_files import write_recording
from mutual_data import tiny_config
from safetensors.torch import load_file
from small_encoders import encoded_config, write_encoders
from small_models import plain_statistics, with_camera

from mivla_drivers.contract import load_contract, parse_contract
from mivla_drivers.dataset.compress import compress
from mivla_drivers.errors import ContractError, DataError
from mivla_drivers.observation import Observation
from mivla_policy.action_space import EndEffectors
from mivla_policy.benchmarks.random_weights import randomised
from mivla_policy.checkpoint import STATISTICS_BY_ROBOT, load_policy_folder, save_policy
from mivla_policy.data.annotate import Workers, annotate_all
from mivla_policy.data.dataset import Dataset
from mivla_policy.data.demonstrations import ITS_OWN, Demonstrations
from mivla_policy.data.recordings import read_recording
from mivla_policy.model.mivla import Mivla
from mivla_policy.normalisation import Statistics
from mivla_policy.policies.mivla import load_mivla
from mivla_policy.training.batches import Batches
from mivla_policy.training.config import Machine, Recipe, Run
from mivla_policy.training.encoders import carry_encoders
from mivla_policy.training.finetune import finetune

PIPER = load_contract("piper")
RECIPE = Recipe(steps=3, batch_size=2, objective="robot_only", cache_tokens=1)


def train(recordings, base, out, views=None, transfer=False, **changes):
    run = Run("finetune", out, replace(RECIPE, **changes), Machine(save_every=2))
    return finetune(run, [recordings], base, None, views, transfer)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    return write_encoders(tmp_path_factory.mktemp("encoders"))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_recording(folder)
    return folder


def policy(folder, encoders, seed=0):
    config = encoded_config()
    save_policy(folder, randomised(Mivla(config), seed=seed), PIPER, plain_statistics())
    carry_encoders(config, encoders, folder)
    return folder


@pytest.fixture(scope="module")
def stopped(encoders, recordings, tmp_path_factory):
    """A base, and the folder of a run from it that was stopped after its second step."""
    folder = tmp_path_factory.mktemp("stopped")
    base = policy(folder / "base", encoders)

    def interrupted(self, step, original=Batches.__getitem__):
        if step == 2:
            raise KeyboardInterrupt
        return original(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "__getitem__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recordings, base, folder / "out")
    assert [path.name for path in (folder / "out" / "checkpoints").iterdir()] == ["step_0000002"]
    return base, folder / "out"


def test_another_base_does_not_go_on_from_what_is_left(stopped, encoders, recordings, tmp_path):
    _, out = stopped
    other = policy(tmp_path / "other", encoders, seed=1)
    with pytest.raises(
        DataError, match=r"step_0000002: expected what this run left, with \{'base': .*delete"
    ):
        train(recordings, other, out)
    assert (out / "checkpoints" / "step_0000002").is_dir()


def test_other_recordings_or_another_recipe_do_not_go_on_from_what_is_left(stopped, tmp_path):
    base, out = stopped
    write_recording(tmp_path, seconds=0.8)
    with pytest.raises(DataError, match=r"with \{'batch_size': 3, 'data': '.*'\}, found \{'batch_size': 2, "):
        train(tmp_path, base, out, batch_size=3)


def test_a_stopped_run_goes_on_and_its_policy_can_be_loaded(stopped, recordings):
    base, out = stopped
    assert train(recordings, base, out).episodes == 1
    assert not (out / "checkpoints").exists()
    images = {c.view: np.zeros((c.height, c.width, 3), dtype=np.uint8) for c in PIPER.cameras}
    positions = load_mivla(out).infer(Observation(images, PIPER.home, "move it", 0.0)).positions
    assert positions.shape == (16, 7)
    card = (out / "README.md").read_text()
    assert hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest() in card


@pytest.fixture(scope="module")
def three_cameras(tmp_path_factory):
    """Recordings of a PiPER with a camera more than the base looks through."""
    folder = tmp_path_factory.mktemp("three cameras")
    write_recording(folder, contract=with_camera(PIPER, "right_wrist", first=True))
    return folder


def test_cameras_that_the_base_does_not_look_through_are_named_and_not_used(
    encoders, recordings, three_cameras, tmp_path
):
    base = policy(tmp_path / "base", encoders)
    train(recordings, base, tmp_path / "two")
    summary = train(three_cameras, base, tmp_path / "three")
    assert (summary.views, summary.unused_views) == (("front", "left_wrist"), ("right_wrist",))
    assert "images of right_wrist not used" in (tmp_path / "three" / "README.md").read_text()
    two, three = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "three"))
    assert all(torch.equal(two[name], three[name]) for name in two)


def test_a_policy_can_learn_to_look_through_another_camera(encoders, three_cameras, tmp_path):
    base, views = policy(tmp_path / "base", encoders), ("front", "left_wrist", "right_wrist")
    summary = train(three_cameras, base, tmp_path / "out", views)
    assert (summary.views, summary.unused_views) == (views, ())
    assert load_mivla(tmp_path / "out").views == views


@pytest.fixture(scope="module")
def another_robot(tmp_path_factory):
    """Recordings of a robot that is a PiPER but for its name."""
    folder = tmp_path_factory.mktemp("another robot")
    other = parse_contract(PIPER.text.replace("robot: piper", "robot: other"), PIPER.urdf, "other")
    write_recording(folder, contract=other)
    return folder


def test_recordings_of_another_robot_than_the_base_s_are_refused_unless_it_is_asked_for(
    encoders, another_robot, tmp_path
):
    base = policy(tmp_path / "base", encoders)
    with pytest.raises(
        ContractError, match=r"robot: expected piper, found other; .* another robot: --transfer"
    ):
        train(another_robot, base, tmp_path / "out")


def test_a_base_of_another_robot_gives_its_weights_and_not_its_statistics(
    encoders, another_robot, recordings, tmp_path
):
    base = policy(tmp_path / "base", encoders)
    train(another_robot, base, tmp_path / "other", transfer=True)
    other = load_policy_folder(tmp_path / "other")
    assert other.contract.robot == "other"
    assert not np.allclose(other.statistics.state_mean[48:55], 0.0)
    train(recordings, base, tmp_path / "same", transfer=True)
    assert load_policy_folder(tmp_path / "same").statistics.state_mean.tolist() == [0.0] * 76


def test_a_base_keeps_its_statistics_of_every_robot_that_it_was_trained_with(
    encoders, another_robot, tmp_path
):
    shifted = Statistics(*(np.full(76, value) for value in (0.25, 1.0, 0.0, 1.0)))
    base = policy(tmp_path / "base", encoders)
    own = load_policy_folder(base)
    about = {STATISTICS_BY_ROBOT: {"other": shifted.to_dict()}}
    save_policy(base, own.model, own.contract, own.statistics, about)
    train(another_robot, base, tmp_path / "other")
    other = load_policy_folder(tmp_path / "other")
    assert other.statistics.state_mean[48] == 0.25
    assert STATISTICS_BY_ROBOT not in other.extra["base"]


def test_a_view_that_the_recordings_lack_is_refused(encoders, recordings, tmp_path):
    base = policy(tmp_path / "base", encoders)
    with pytest.raises(ContractError, match=r"cameras: expected views \['front', 'ceiling'\], found"):
        train(recordings, base, tmp_path / "out", ("front", "ceiling"))


def test_the_base_is_not_overwritten(tmp_path):
    with pytest.raises(DataError, match="expected another folder than the base's"):
        train(tmp_path, tmp_path, tmp_path / "x" / "..")


def test_a_base_without_its_encoders_is_refused_before_anything_is_read(tmp_path):
    config = encoded_config()
    save_policy(tmp_path, Mivla(config), PIPER, plain_statistics())
    with pytest.raises(DataError, match="expected the dinov2 encoder"):
        train(tmp_path / "no recordings", tmp_path, tmp_path / "out")


def test_an_episode_that_cannot_be_used_is_named_and_the_others_are_learned_from(encoders, tmp_path):
    """A camera that lost one frame is still a camera; one that was silent for half a second is none."""
    write_recording(tmp_path / "demos", "episode-1")
    write_recording(tmp_path / "demos", "episode-2", lost_frames=("left_wrist", (4,)))
    write_recording(tmp_path / "demos", "episode-3", lost_frames=("left_wrist", (3, 4, 5, 6)))
    base = policy(tmp_path / "base", encoders)
    summary = train(tmp_path / "demos", base, tmp_path / "out")
    assert summary.episodes == 2
    ((name, reason),) = summary.skipped.items()
    assert name.endswith("episode-3")
    assert "wrist_camera/image_raw/compressed: 0.50 s without a message, 0.32 s can be bridged" in reason


def test_a_sentence_that_the_model_cannot_read_leaves_its_episode_out_by_name(
    tmp_path,
):
    write_recording(tmp_path / "demos", "episode-1")
    write_recording(tmp_path / "demos", "episode-2", instruction="a b " * 20)
    base = tmp_path / "base"
    save_policy(base, Mivla(tiny_config()), PIPER, plain_statistics())
    summary = train(tmp_path / "demos", base, tmp_path / "out")
    (reason,) = summary.skipped.values()
    assert "expected 1 to 32 tokens, got" in reason


def test_frames_of_a_faster_camera_than_the_policy_are_samples_too(encoders, tmp_path):
    document = yaml.safe_load(PIPER.text)
    for camera in document["cameras"]:
        camera["rate_hz"] = 30
    fast = parse_contract(yaml.safe_dump(document), PIPER.urdf, where="fast")
    track = read_recording(write_recording(tmp_path, contract=fast), fast, EndEffectors(fast))
    assert track.stride == 3
    assert len(track) > 25


def test_corrections_are_the_frames_at_which_a_person_had_the_robot(encoders, tmp_path):
    """The policy drives, somebody takes over for four tenths of a second, and the policy goes on."""
    taken_over = ((0.0, "policy"), (0.95, "teleop"), (1.35, "policy"))
    write_recording(tmp_path / "demos", seconds=2.0, held=taken_over)
    own = Demonstrations("recordings", tmp_path / "demos", ITS_OWN, imitate=False)
    assert [summary.skipped for summary, _ in annotate_all(own, tmp_path / "set", Workers())][-1] == {}
    every, corrections = (Dataset([tmp_path / "set"], use=use) for use in ("all", "corrections"))
    assert (len(corrections), len(every)) == (4, 18)
    assert [corrections.locate(number)[1] for number in range(4)] == [9, 10, 11, 12]
    joint2 = PIPER.action_slots[1]
    apart = [every.sample(frame, 1).actions[0, joint2] for frame in (5, 11, 16)]
    assert apart[0] == apart[2] == pytest.approx(apart[1] + 0.2, abs=1e-5)
    base = policy(tmp_path / "base", encoders)
    assert train(tmp_path / "demos", base, tmp_path / "out", use="corrections", cache_tokens=-1).samples == 4


def test_recordings_without_a_correction_are_no_corrections(encoders, recordings, tmp_path):
    base = policy(tmp_path / "base", encoders)
    with pytest.raises(DataError, match=r"expected samples to learn from \(use: corrections\), found none"):
        train(recordings, base, tmp_path / "out", use="corrections")


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_recordings_stored_as_a_video_are_learned_from(encoders, tmp_path, codec):
    compress(write_recording(tmp_path / "demos"), codec)
    base = policy(tmp_path / "base", encoders)
    assert train(tmp_path / "demos", base, tmp_path / "out").episodes == 1
