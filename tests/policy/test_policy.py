"""The policy: observation in, joint targets out; bad input and bad output refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import plain_statistics, small_config, small_model, with_camera

from mivla_drivers.contract import load_contract, parse_contract
from mivla_drivers.errors import ContractError, DataError
from mivla_drivers.observation import Observation
from mivla_drivers.policy import PolicyError
from mivla_policy.benchmarks.random_weights import randomised
from mivla_policy.checkpoint import save_policy
from mivla_policy.model.mivla import Mivla
from mivla_policy.policies.mivla import MivlaPolicy, load_mivla

PIPER, ALOHA = load_contract("piper"), load_contract("aloha_agilex")


class CountingLanguage:
    """Random tokens an instruction; remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, instructions):
        self.asked += instructions
        rng = np.random.default_rng(len(instructions[0]))
        return rng.normal(size=(1, 5, 384)).astype(np.float32), np.ones((1, 5), dtype=bool)


def mean_colours(images):
    """An image tokeniser whose tokens hold each image's mean."""
    mean = images.mean(axis=(1, 2, 3), dtype=np.float32) / 255
    return np.broadcast_to(mean[:, None, None], (len(images), 49, 112)).copy()


def make_policy(model=None, statistics=None, contract=PIPER, seed=0):
    language = CountingLanguage()
    policy = MivlaPolicy(
        model or small_model(), contract, statistics or plain_statistics(), mean_colours, language, seed
    )
    return policy, language


@pytest.fixture
def observation():
    rng = np.random.default_rng(0)
    images = {c.view: rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in PIPER.cameras}
    return Observation(images, PIPER.home, "move the bottle onto the pad", 12.0)


def test_a_chunk_is_16_targets_of_7_joints(observation):
    policy, _ = make_policy()
    chunk = policy.infer(observation)
    assert chunk.positions.shape == (16, 7)
    assert chunk.positions.dtype == np.float64
    assert chunk.end_effectors is None


def test_a_chunk_is_stamped_with_its_observation_and_due_from_one_policy_period_later(observation):
    chunk = make_policy()[0].infer(observation)
    assert (chunk.stamp, chunk.source) == (observation.stamp, "policy")
    assert chunk.times == pytest.approx(np.arange(1, 17) / PIPER.policy_rate_hz)


def test_the_last_inference_is_timed(observation):
    policy, _ = make_policy()
    assert policy.timing == {}
    policy.infer(observation)
    assert policy.timing.keys() == {"encode_ms", "denoise_ms"}
    assert min(policy.timing.values()) > 0


def test_a_seed_decides_the_noise(observation):
    first = make_policy(seed=1)[0].infer(observation).positions
    same = make_policy(seed=1)[0].infer(observation).positions
    other = make_policy(seed=2)[0].infer(observation).positions
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_reset_starts_the_noise_again(observation):
    policy, _ = make_policy(seed=1)
    first = policy.infer(observation).positions
    second = policy.infer(observation).positions
    policy.reset(1)
    again = policy.infer(observation).positions
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, again)


def test_an_instruction_is_tokenised_once(observation):
    policy, language = make_policy()
    for text in ("go", "go", "stop", "stop"):
        policy.infer(replace(observation, instruction=text))
    assert language.asked == ["go", "stop"]


@pytest.mark.parametrize("view", ["front", "left_wrist"])
def test_every_view_matters(observation, view):
    black = replace(observation, images={**observation.images, view: np.zeros((160, 160, 3), np.uint8)})
    seen = make_policy()[0].infer(observation).positions
    unseen = make_policy()[0].infer(black).positions
    assert not np.allclose(seen, unseen)


def test_actions_are_given_in_radians_and_metres(observation):
    statistics = replace(plain_statistics(), action_mean=np.arange(76.0), action_std=np.full(76, 1e-9))
    positions = make_policy(statistics=statistics)[0].infer(observation).positions
    np.testing.assert_allclose(positions, np.tile(np.arange(48.0, 55.0), (16, 1)), atol=1e-6)


def test_the_state_is_normalised(observation):
    shifted = replace(plain_statistics(), state_mean=np.full(76, 5.0))
    plain = make_policy()[0].infer(observation).positions
    other = make_policy(statistics=shifted)[0].infer(observation).positions
    assert not np.allclose(plain, other)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_actions_that_are_no_numbers_are_refused(observation, value):
    model = small_model()
    with torch.no_grad():
        model.decoder.last.output.bias[50] = value
    with pytest.raises(PolicyError, match=r"policy: joint\d at step 0: expected a finite number, got"):
        make_policy(model)[0].infer(observation)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((120, 160, 3), np.uint8), r"\(120, 160, 3\) uint8"),
        (np.zeros((160, 160), np.uint8), r"\(160, 160\) uint8"),
        (np.zeros((160, 160, 4), np.uint8), r"\(160, 160, 4\) uint8"),
        (np.zeros((160, 160, 3), np.float32), r"\(160, 160, 3\) float32"),
    ],
)
def test_an_image_of_the_wrong_size_or_type_is_refused(observation, image, got):
    wrong = replace(observation, images={**observation.images, "front": image})
    with pytest.raises(DataError, match=rf"image front: expected \(160, 160, 3\) uint8 .* got {got}"):
        make_policy()[0].infer(wrong)


def test_a_missing_view_is_refused(observation):
    wrong = replace(observation, images={"front": observation.images["front"]})
    with pytest.raises(DataError, match=r"expected views \['front', 'left_wrist'\], got \['front'\]"):
        make_policy()[0].infer(wrong)


@pytest.mark.parametrize("first", [True, False])
def test_cameras_that_it_was_not_trained_with_do_not_matter(observation, first):
    images = {"ceiling": np.full((480, 640, 3), 255, np.uint8), **observation.images}
    more = with_camera(PIPER, "ceiling", first)
    policy, _ = make_policy(contract=more)
    assert policy.views == ("front", "left_wrist")
    found = policy.infer(replace(observation, images=images)).positions
    np.testing.assert_array_equal(found, make_policy()[0].infer(observation).positions)


@pytest.mark.parametrize("joints", [PIPER.home[:6], np.full(7, np.nan), np.append(PIPER.home, 0.0)])
def test_joints_that_are_missing_unknown_or_not_finite_are_refused(observation, joints):
    with pytest.raises(DataError, match=r"joints: expected 7 finite numbers for \['joint1'"):
        make_policy()[0].infer(replace(observation, joints=joints))


def test_a_refused_observation_does_not_use_up_noise(observation):
    policy, _ = make_policy(seed=3)
    with pytest.raises(DataError):
        policy.infer(replace(observation, images={}))
    after = policy.infer(observation).positions
    fresh = make_policy(seed=3)[0].infer(observation).positions
    np.testing.assert_array_equal(after, fresh)


def test_a_robot_with_other_views_is_refused():
    text = PIPER.text.replace("view: left_wrist", "view: right_wrist")
    other = parse_contract(text, PIPER.urdf, "other.yaml")
    with pytest.raises(
        ContractError, match=r"expected views \['front', 'left_wrist'\].* found .*right_wrist"
    ):
        make_policy(contract=other)


class TestTwoArms:
    """A robot that observes its end effectors: no kinematics is asked."""

    @pytest.fixture
    def observation(self):
        rng = np.random.default_rng(0)
        images = {c.view: rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in ALOHA.cameras}
        pose = [0.3, 0.2, 0.9, 0.0, 0.0, 0.0, 1.0]
        return Observation(images, ALOHA.home, "lift the pot", 0.0, np.array(2 * pose))

    @staticmethod
    def policy(statistics=None):
        config = small_config(image_tokens=147)
        views = tuple(camera.view for camera in ALOHA.cameras)
        torch.manual_seed(0)
        model = randomised(Mivla(replace(config, views=views)), spread=0.2)
        return make_policy(model, statistics, contract=ALOHA)[0]

    def test_a_chunk_is_14_joints_and_both_end_effectors(self, observation):
        chunk = self.policy().infer(observation)
        assert chunk.positions.shape == (16, 14)
        assert chunk.end_effectors.shape == (16, 14)

    def test_end_effectors_come_in_radians_and_metres_by_their_slots(self, observation):
        statistics = replace(plain_statistics(), action_mean=np.arange(76.0), action_std=np.full(76, 1e-9))
        chunk = self.policy(statistics=statistics).infer(observation)
        np.testing.assert_allclose(chunk.end_effectors, np.tile(np.arange(62.0, 76.0), (16, 1)), atol=1e-6)

    def test_end_effectors_that_are_no_numbers_are_refused_by_their_slot(self, observation):
        huge = np.where(np.arange(76) == 65, np.finfo(float).max, 1.0)
        policy = self.policy(replace(plain_statistics(), action_mean=huge, action_std=huge))
        refused = pytest.raises(
            PolicyError, match=r"policy: slot 65 at step \d+: expected a finite number, got inf"
        )
        with np.errstate(over="ignore"), refused:
            policy.infer(observation)

    def test_what_was_observed_of_the_end_effectors_matters(self, observation):
        moved = replace(observation, end_effectors=observation.end_effectors + 0.1)
        assert not np.allclose(
            self.policy().infer(observation).positions, self.policy().infer(moved).positions
        )

    @pytest.mark.parametrize("found", [None, np.zeros(7), np.full(14, np.nan)])
    def test_end_effectors_that_are_missing_or_not_finite_are_refused(self, observation, found):
        with pytest.raises(DataError, match=r"end_effectors: expected 14 finite numbers.* aloha_agilex"):
            self.policy().infer(replace(observation, end_effectors=found))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_policy(tmp_path / "policy", small_model(), PIPER, plain_statistics())
    return tmp_path / "policy"


def test_a_saved_policy_runs_with_its_own_encoders(folder, observation):
    by_onnx = load_mivla(folder, PIPER).infer(observation).positions
    by_torch = load_mivla(folder, PIPER, image_encoder="torch").infer(observation).positions
    np.testing.assert_allclose(by_onnx, by_torch, atol=1e-3)


def test_a_policy_of_another_robot_does_not_load(folder):
    other = parse_contract(PIPER.text.replace("robot: piper", "robot: arx5"), PIPER.urdf, "arx5.yaml")
    with pytest.raises(ContractError, match="expected arx5, found piper"):
        load_mivla(folder, other)
