"""Mutual imitation: what is encoded, what the loss counts (Eq. 5 to 7), and what each ablation arm leaves out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mutual_data import brightness_tokens, letter_tokens, tiny_config, tracks, write_frames
from rounding import FLOAT32
from small_models import plain_statistics

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import DataError
from mivla_policy.action_space import HUMAN, LEFT_ARM
from mivla_policy.benchmarks.decoder_speed import randomised
from mivla_policy.checkpoint import load_policy_folder, save_policy
from mivla_policy.data.images import JpegImage
from mivla_policy.data.mutual_frames import (
    FROM_HUMAN,
    FROM_ROBOT,
    MutualFrames,
    encode_tracks,
    statistics_of,
)
from mivla_policy.model.mivla import Mivla
from mivla_policy.training.mutual import (
    OBJECTIVES,
    MutualConfig,
    MutualObjective,
    MutualSampler,
    slot_weights,
)
from mivla_policy.training.pretrain_mutual import arguments_parser, main, pretrain

RECIPE = {"batch_size": 8, "precision": "float32", "warmup_steps": 1, "log_every": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_frames(tmp_path_factory.mktemp("mutual"))


@pytest.fixture(scope="module")
def frames(folder):
    return MutualFrames.load(folder)


def batch_of(frames, config, share=(0, 1)):
    """A share of step 3's batch, as it is trained on."""
    return MutualSampler(frames, plain_statistics(), config, share).batch(3).to(torch.device("cpu"))


class TestFrames:
    def test_every_frame_says_whose_it_is_and_what_is_known(self, frames):
        assert len(frames) == 22
        assert (frames.source[:11] == FROM_HUMAN).all()
        assert (frames.source[11:] == FROM_ROBOT).all()
        assert frames.action_mask.sum(axis=1).min() == 76
        assert frames.state_mask[0, HUMAN].all()
        assert not frames.state_mask[0, 48:].any()
        assert not frames.state_mask[11, HUMAN].any()

    def test_a_view_that_the_demonstration_lacks_is_zero(self, frames):
        """EgoDex has no wrist camera; its first frame is black, the later ones are not."""
        assert frames.image_tokens.shape == (22, 98, 112)
        assert frames.image_tokens[5, :49].min() > 0
        assert not frames.image_tokens[:11, 49:].any()
        assert frames.image_tokens[11:, 49:].min() > 0

    def test_each_instruction_is_tokenised_once_without_padding(self, frames):
        assert [len(text) for text in frames.language] == [len("fold the towel"), len("use the hammer")]
        assert frames.instruction.tolist() == [0] * 11 + [1] * 11

    def test_statistics_are_those_of_frames_that_know_the_slot(self, frames):
        statistics = statistics_of(frames)
        own = frames.state[frames.state_mask[:, 0], 0]
        assert statistics.state_mean[0] == pytest.approx(own.mean(), abs=1e-6)
        both = frames.actions[:, :, LEFT_ARM.start]
        assert statistics.action_mean[LEFT_ARM.start] == pytest.approx(both.mean(), abs=1e-6)
        assert statistics.action_std[LEFT_ARM.start] == pytest.approx(both.std(), abs=1e-5)

    def test_frames_of_a_run_that_was_stopped_are_refused(self, folder, tmp_path):
        human, _ = tracks(tmp_path)

        def stopped():
            yield human, 1
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            encode_tracks(stopped(), tiny_config(), brightness_tokens, letter_tokens, tmp_path / "out")
        with pytest.raises(DataError, match=r"frames\.json"):
            MutualFrames.load(tmp_path / "out")

    def test_a_demonstration_with_an_image_that_does_not_decode_is_named_and_left_out(
        self, frames, tmp_path, caplog
    ):
        human, robot = tracks(tmp_path)
        torn = JpegImage(b"\xff\xd8 torn \xff\xd9", source="frame 4")
        front = [*robot.images["front"][:4], torn, *robot.images["front"][5:]]
        broken = replace(robot, images={**robot.images, "front": front}, instruction="never seen")
        found = [(human, 2), (broken, 1), (robot, 1)]
        encode_tracks(found, tiny_config(), brightness_tokens, letter_tokens, tmp_path / "out")
        rest = MutualFrames.load(tmp_path / "out")
        assert (rest.actions == frames.actions).all()
        assert (rest.image_tokens == frames.image_tokens).all()
        assert (rest.instruction.tolist(), len(rest.language)) == (frames.instruction.tolist(), 2)
        assert f"skipped {broken.source}: frame 4: expected a JPEG" in caplog.text
        assert caplog.messages[-1].endswith("2 demonstrations encoded, 1 skipped")

    def test_a_request_that_fails_before_the_first_frame_leaves_the_old_ones(self, tmp_path):
        folder = write_frames(tmp_path)
        with pytest.raises(DataError, match="got none"):
            encode_tracks([], tiny_config(), brightness_tokens, letter_tokens, folder)
        assert len(MutualFrames.load(folder)) == 22

    def test_a_truncated_file_is_named(self, tmp_path):
        folder = write_frames(tmp_path)
        path = folder / "actions.bin"
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(DataError, match=r"actions\.bin: expected \d+ bytes, found \d+"):
            MutualFrames.load(folder)


masks = st.lists(
    st.tuples(st.sampled_from([FROM_ROBOT, FROM_HUMAN]), st.integers(0, 76), st.integers(0, 76)),
    min_size=1,
    max_size=6,
)


class TestSlotWeights:
    @given(masks, st.sampled_from(sorted(OBJECTIVES)))
    @settings(max_examples=60, deadline=None)
    def test_each_term_is_a_mean_over_its_samples(self, rows, objective):
        source = np.array([row[0] for row in rows], dtype=np.uint8)
        mask = np.array([[start <= slot < end for slot in range(76)] for _, start, end in rows])
        weights = slot_weights(source, mask, objective)
        assert not weights[~mask].any()
        total = 0.0
        for embodiment, part in OBJECTIVES[objective]:
            slots = slice(0, 48) if part == "hand" else slice(48, 76)
            term = weights[source == embodiment, slots]
            sums = term.sum(axis=1)
            known = sums > 0
            assert sums[known] == pytest.approx(1 / max(1, known.sum()), rel=FLOAT32)
            total += float(known.any())
        assert weights.sum() == pytest.approx(total, rel=FLOAT32)

    @pytest.mark.parametrize(
        ("objective", "counted"),
        [
            ("human_only", {"human hand"}),
            ("h2r", {"human hand", "human robot"}),
            ("h2r+r2h", {"human hand", "human robot", "robot hand", "robot robot"}),
        ],
    )
    def test_the_arms_of_table_3(self, objective, counted):
        weights = slot_weights(np.array([FROM_ROBOT, FROM_HUMAN]), np.ones((2, 76), bool), objective)
        names = {
            f"{who} {what}"
            for row, who in enumerate(("robot", "human"))
            for what, slots in (("hand", slice(0, 48)), ("robot", slice(48, 76)))
            if weights[row, slots].all()
        }
        assert names == counted


class TestLoss:
    def test_it_is_l_r2h_plus_l_h2r(self, frames):
        """Written out as in the paper, term by term."""
        model = randomised(Mivla(frames.config), spread=0.2)
        batch = batch_of(frames, MutualConfig(steps=1, **RECIPE))
        loss = MutualObjective(model)(*batch)
        actions, noise, t = batch.inputs.actions, batch.noise, batch.t[:, None, None]
        known = model.encode(batch.inputs)
        velocity = model.velocity(
            batch.inputs, t * actions + (1 - t) * noise, known, model.decoder.modulate(batch.t)
        )
        error = (velocity - (actions - noise)) ** 2
        human = ~batch.inputs.state_mask[:, 48]
        l_h2r = error[human][..., HUMAN].mean() + error[human][..., 48:].mean()
        l_r2h = error[~human][..., 48:].mean() + error[~human][..., HUMAN].mean()
        assert 0 < human.sum() < len(human)
        assert loss.item() == pytest.approx((l_r2h + l_h2r).item(), rel=FLOAT32)

    def test_slots_that_the_objective_leaves_out_are_not_even_seen(self, frames):
        batch = batch_of(frames, MutualConfig(steps=1, objective="human_only", **RECIPE))
        assert batch.inputs.state_mask[:, HUMAN].all()  # no robot sample is drawn
        assert not batch.inputs.action_mask[:, 48:].any()
        model = MutualObjective(randomised(Mivla(frames.config), spread=0.2))
        before = model(*batch).item()
        batch.inputs.actions[..., 48:] += 100.0
        assert model(*batch).item() == before

    def test_shares_of_several_processes_add_up(self, frames):
        model = MutualObjective(randomised(Mivla(frames.config), spread=0.2))
        whole = batch_of(frames, MutualConfig(steps=1, **RECIPE))
        quarter = MutualConfig(steps=1, **{**RECIPE, "batch_size": 2})
        parts = [batch_of(frames, quarter, (rank, 4)) for rank in range(4)]
        assert sum(model(*part).item() for part in parts) == pytest.approx(model(*whole).item(), rel=FLOAT32)


class TestPretraining:
    def test_the_defaults_are_the_papers(self):
        recipe = MutualConfig(steps=1)
        assert (recipe.learning_rate, recipe.weight_decay, recipe.batch_size) == (1e-4, 0.01, 32)
        assert (recipe.precision, recipe.objective) == ("bf16", "h2r+r2h")
        assert recipe.rate(recipe.warmup_steps) == recipe.rate(10**6) == 1e-4
        args = arguments_parser().parse_args(["--frames", "f", "--out", "o", "--steps", "1"])
        assert (args.learning_rate, args.batch_size) == (1e-4, 32)

    def test_a_policy_does_not_write_over_the_one_it_starts_from(self, frames, tmp_path):
        pretrain(frames, MutualConfig(steps=1, **RECIPE), tmp_path)
        with pytest.raises(DataError, match="expected another folder than the base's"):
            pretrain(frames, MutualConfig(steps=2, **RECIPE), tmp_path, base=tmp_path)

    def test_a_gpu_that_is_not_there_is_said_so(self, folder, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setenv("LOCAL_RANK", "1")
        words = ["--frames", str(folder), "--out", str(tmp_path / "out"), "--steps", "1", "--device", "cuda"]
        assert main(words) == 2
        assert "process 1 found 1 GPUs; start fewer processes" in capsys.readouterr().err

    def test_the_loss_falls(self, frames, tmp_path):
        log = pretrain(frames, MutualConfig(steps=40, learning_rate=3e-3, **RECIPE), tmp_path).log
        assert np.mean([row[1] for row in log[-5:]]) < 0.8 * np.mean([row[1] for row in log[:5]])

    def test_robot_data_alone_cannot_teach_what_people_do(self, tmp_path):
        _, robot = tracks(tmp_path)
        encode_tracks([(robot, 1)], tiny_config(), brightness_tokens, letter_tokens, tmp_path / "frames")
        with pytest.raises(DataError, match="expected human demonstrations"):
            pretrain(
                MutualFrames.load(tmp_path / "frames"),
                MutualConfig(steps=1, objective="h2r", **RECIPE),
                tmp_path / "out",
            )

    def test_bfloat16_computes_while_weights_stay_float32(self, frames, tmp_path):
        def losses(precision, out):
            recipe = {**RECIPE, "precision": precision, "learning_rate": 3e-3}
            return [row[1] for row in pretrain(frames, MutualConfig(steps=4, **recipe), tmp_path / out).log]

        rounded, exact = losses("bf16", "bf16"), losses("float32", "exact")
        assert rounded == pytest.approx(exact, rel=0.02)
        assert rounded != exact

    def test_the_result_is_a_policy_that_can_be_fine_tuned(self, frames, tmp_path):
        pretrain(frames, MutualConfig(steps=1, **RECIPE), tmp_path)
        checkpoint = load_policy_folder(tmp_path)
        assert checkpoint.model.config == frames.config
        assert checkpoint.extra["training"]["objective"] == "h2r+r2h"
        assert checkpoint.statistics.action_mean == pytest.approx(statistics_of(frames).action_mean)
        assert all(torch.isfinite(p).all() for p in checkpoint.model.parameters())

    def test_its_card_says_what_it_learned_from_and_what_it_went_on_from(self, frames, tmp_path):
        first, second = tmp_path / "first", tmp_path / "second"
        pretrain(frames, MutualConfig(steps=1, **RECIPE), first)
        pretrain(frames, MutualConfig(steps=2, **RECIPE), second, base=first)
        card = (second / "README.md").read_text()
        assert "mutual imitation, objective h2r+r2h" in card
        assert f"2 episodes, {len(frames)} frames" in card
        assert "It went on from a policy made so:" in card
        assert "averaging" not in card
        assert (second / "loss.png").is_file()

    def test_a_card_of_a_policy_that_went_on_from_an_imported_one_says_so(self, frames, tmp_path):
        base = tmp_path / "imported"
        save_policy(
            base, Mivla(frames.config), load_contract("piper"), statistics_of(frames), {"source": "H-RDT"}
        )
        pretrain(frames, MutualConfig(steps=1, **RECIPE), tmp_path / "out", base=base)
        assert "not trained here: {'source': 'H-RDT'}" in (tmp_path / "out" / "README.md").read_text()
