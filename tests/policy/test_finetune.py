"""Fine-tuning on recordings: the encoders go along, and what is left of one run is not taken for another's."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from dataset_files import write_recording
from safetensors.torch import load_file
from small_encoders import encoded_config, write_encoders
from small_models import plain_statistics, with_camera

from mivla_drivers.contract import load_contract, parse_contract
from mivla_drivers.errors import ContractError, DataError
from mivla_drivers.observation import Observation
from mivla_policy.benchmarks.random_weights import randomised
from mivla_policy.checkpoint import load_policy_folder, save_policy
from mivla_policy.model.config import mivla_small
from mivla_policy.model.mivla import Mivla
from mivla_policy.policies.mivla import load_mivla
from mivla_policy.training import runs
from mivla_policy.training.encoders import carry_encoders
from mivla_policy.training.runs import finetune, language_tokens
from mivla_policy.training.train import FrameSampler, TrainConfig

PIPER = load_contract("piper")
RECIPE = TrainConfig(steps=3, batch_size=2, save_every=2)


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
    folder, draws = tmp_path_factory.mktemp("stopped"), []
    base = policy(folder / "base", encoders)

    def interrupted(self, size, rng, original=FrameSampler.batch):
        draws.append(size)
        if len(draws) > 2:
            raise KeyboardInterrupt
        return original(self, size, rng)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrameSampler, "batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            finetune(recordings, base, folder / "out", RECIPE, "cpu")
    assert (folder / "out" / "resume.pt").is_file()
    return base, folder / "out"


def test_another_base_does_not_go_on_from_what_is_left(stopped, encoders, recordings, tmp_path):
    _, out = stopped
    other = policy(tmp_path / "other", encoders, seed=1)
    left = (out / "resume.pt").read_bytes()
    with pytest.raises(DataError, match=r"resume.pt: expected what this run left, with \{'base': .*delete"):
        finetune(recordings, other, out, RECIPE, "cpu")
    assert (out / "resume.pt").read_bytes() == left


def test_other_recordings_or_another_recipe_do_not_go_on_from_what_is_left(stopped, tmp_path):
    base, out = stopped
    write_recording(tmp_path, seconds=0.8)
    longer = TrainConfig(steps=4, batch_size=2)
    with pytest.raises(
        DataError, match=r"with \{'data': '\w+', 'steps': 4\}, found \{'data': '\w+', 'steps': 3"
    ):
        finetune(tmp_path, base, out, longer, "cpu")


def test_a_stopped_run_goes_on_and_its_policy_can_be_loaded(stopped, recordings):
    base, out = stopped
    assert finetune(recordings, base, out, RECIPE, "cpu").episodes == 1
    assert not (out / "resume.pt").exists()
    images = {c.view: np.zeros((c.height, c.width, 3), dtype=np.uint8) for c in PIPER.cameras}
    positions = load_mivla(out).infer(Observation(images, PIPER.home, "move it", 0.0)).positions
    assert positions.shape == (16, 7)
    card = (out / "README.md").read_text()
    assert f"--data {recordings} --base {base}" in card
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
    finetune(recordings, base, tmp_path / "two", RECIPE, "cpu")
    summary = finetune(three_cameras, base, tmp_path / "three", RECIPE, "cpu")
    assert (summary.views, summary.unused_views) == (("front", "left_wrist"), ("right_wrist",))
    assert "images of right_wrist not used" in (tmp_path / "three" / "README.md").read_text()
    two, three = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "three"))
    assert all(torch.equal(two[name], three[name]) for name in two)


def test_a_policy_can_learn_to_look_through_another_camera(encoders, three_cameras, tmp_path):
    base, views = policy(tmp_path / "base", encoders), ("front", "left_wrist", "right_wrist")
    summary = finetune(three_cameras, base, tmp_path / "out", RECIPE, "cpu", views)
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
        finetune(another_robot, base, tmp_path / "out", RECIPE, "cpu")


def test_a_base_of_another_robot_gives_its_weights_and_not_its_statistics(
    encoders, another_robot, recordings, tmp_path
):
    base = policy(tmp_path / "base", encoders)
    finetune(another_robot, base, tmp_path / "other", RECIPE, "cpu", transfer=True)
    other = load_policy_folder(tmp_path / "other")
    assert other.contract.robot == "other"
    assert not np.allclose(other.statistics.state_mean[48:55], 0.0)
    assert "--transfer" in (tmp_path / "other" / "README.md").read_text()
    finetune(recordings, base, tmp_path / "same", RECIPE, "cpu", transfer=True)
    assert load_policy_folder(tmp_path / "same").statistics.state_mean.tolist() == [0.0] * 76


def test_a_view_that_the_recordings_lack_is_refused(encoders, recordings, tmp_path):
    base = policy(tmp_path / "base", encoders)
    with pytest.raises(ContractError, match=r"cameras: expected views \['front', 'ceiling'\], found"):
        finetune(recordings, base, tmp_path / "out", RECIPE, "cpu", ("front", "ceiling"))


def test_pre_training_from_a_base_of_other_views_is_refused_before_anything_is_generated(tmp_path):
    save_policy(tmp_path / "base", Mivla(mivla_small(("front",))), PIPER, plain_statistics())
    with pytest.raises(
        ContractError, match=r"views: expected \['front', 'left_wrist'\], as piper has cameras"
    ):
        runs.pretrain("piper", tmp_path / "data", 1, tmp_path / "out", RECIPE, "cpu", 1, tmp_path / "base")
    assert not (tmp_path / "data").exists()


def test_the_base_is_not_overwritten(tmp_path):
    with pytest.raises(DataError, match="expected another folder than the base's"):
        finetune(tmp_path, tmp_path, tmp_path / "x" / "..", RECIPE, "cpu")


def test_a_base_without_its_encoders_is_refused_before_anything_is_read(tmp_path):
    config = encoded_config()
    save_policy(tmp_path, Mivla(config), PIPER, plain_statistics())
    with pytest.raises(DataError, match="expected the dinov2 encoder"):
        finetune(tmp_path / "no recordings", tmp_path, tmp_path / "out", RECIPE, "cpu")


def test_instructions_are_encoded_on_the_device_of_the_run(monkeypatch, tmp_path):
    asked = []

    def tokeniser(*arguments):
        asked.append(arguments)
        return lambda texts: (np.zeros((1, 3, 384), np.float32), np.array([[True, True, False]]))

    monkeypatch.setattr(runs, "language_tokeniser", tokeniser)
    config = encoded_config()
    assert language_tokens(config, ["fold it"], tmp_path, "cuda")["fold it"].shape == (2, 384)
    assert asked == [(config, tmp_path, "cuda", torch.float32)]


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_learning_rate_that_cannot_train_is_refused_before_anything_is_read(rate):
    with pytest.raises(DataError, match=f"learning_rate: expected a number above 0, got {rate}"):
        TrainConfig(steps=1, learning_rate=rate)
