"""Mutual imitation: what is encoded, what the loss counts (Eq. 5 to 7), and what each ablation arm leaves out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from dataset_files import write_robotwin
from hypothesis import given, settings
from hypothesis import strategies as st
from mutual_data import PIPER, annotated, tiny_config, with_quick_tokenisers, write_sets
from rounding import FLOAT32
from small_models import plain_statistics

from mivla_drivers.errors import DataError
from mivla_policy.action_space import HUMAN, LEFT_ARM, LEFT_END_EFFECTOR
from mivla_policy.benchmarks.decoder_speed import randomised
from mivla_policy.checkpoint import load_policy_folder, save_policy
from mivla_policy.data.choices import FROM_HUMAN, FROM_ROBOT, OBJECTIVES
from mivla_policy.data.dataset import Dataset
from mivla_policy.data.sentences import SentenceTokens
from mivla_policy.model.mivla import Mivla
from mivla_policy.training.batches import Batches
from mivla_policy.training.config import Machine, Recipe, Run
from mivla_policy.training.encoding import StepEncoder, prepare_sentences, sentences_folder
from mivla_policy.training.objective import Objective, slot_weights
from mivla_policy.training.pretrain import pretrain

RECIPE = Recipe(steps=1, batch_size=8, warmup_steps=1, cache_tokens=0, augment=0.0, objective="h2r+r2h")


class Brightness(torch.nn.Module):
    def forward(self, images):
        return (images.mean(dim=(1, 2, 3)) / 255)[:, None, None].expand(-1, 49, 112)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return write_sets(tmp_path_factory.mktemp("mutual"))


@pytest.fixture(autouse=True)
def quick_tokenisers(monkeypatch):
    with_quick_tokenisers(monkeypatch)
    monkeypatch.setattr("mivla_policy.training.encoding.image_encoder", lambda *_: Brightness())


@pytest.fixture
def data(sets):
    return Dataset(sets)


def batches_of(data, share=(0, 1), statistics=None, **changes):
    """Batches of `data`."""
    config = tiny_config()
    prepare_sentences(data, config, None, "cpu")
    sentences = SentenceTokens(data.sentences, sentences_folder(data, config, None), config.language_width)
    by_robot = statistics or dict.fromkeys(data.robots, plain_statistics())
    return Batches(data, config, replace(RECIPE, **changes), by_robot, sentences, None, share)


def share_of(data, share=(0, 1), **changes):
    """A share of step 3's batch, and the model's inputs."""
    batch = batches_of(data, share, **changes)[3]
    return StepEncoder(Brightness())(batch), batch


def loss_of(model, inputs, batch):
    return model(inputs, batch.noise, batch.t, batch.weights)


def run(sets, out, machine=None, base=None, **changes):
    machine = machine or Machine(log_every=1)
    done = Run("pretrain", out, replace(RECIPE, **changes), machine)
    summary = pretrain(done, sets, tiny_config(), PIPER, base=base)
    rows = (out / "train_log.csv").read_text().splitlines()[1:]
    return summary, [float(row.split(",")[1]) for row in rows]


class TestBatches:
    def test_every_sample_says_whose_it_is_and_what_is_known(self, data):
        source = data.demonstrations["source"]
        assert source.tolist() == [FROM_HUMAN, FROM_ROBOT]
        inputs, batch = share_of(data)
        human = ~batch.state_mask[:, 48]
        assert 0 < human.sum() < 8
        assert batch.state_mask[human][:, HUMAN].all()
        assert not batch.state_mask[~human][:, HUMAN].any()
        assert inputs.action_mask.all()

    def test_a_view_that_the_demonstration_lacks_is_zero(self, data):
        """EgoDex has no wrist camera."""
        inputs, batch = share_of(data)
        human = ~batch.state_mask[:, 48]
        assert not batch.seen[human, 1].any()
        assert not inputs.image_tokens[human][:, 49:].any()
        assert inputs.image_tokens[~human][:, 49:].min() > 0

    def test_statistics_are_those_of_frames_that_know_the_slot(self, data):
        statistics = data.statistics()
        samples = [data.sample(i, 1) for i in range(len(data))]
        own = np.array([s.state[0] for s in samples if s.state_mask[0]])
        assert len(own) == 11
        assert statistics.state_mean[0] == pytest.approx(own.mean(), abs=0.02)
        both = np.array([s.actions[0, LEFT_ARM.start] for s in samples])
        assert statistics.action_mean[LEFT_ARM.start] == pytest.approx(both.mean(), abs=0.1)

    def test_each_robots_joints_are_normalised_by_its_own(self, sets, tmp_path):
        write_robotwin(tmp_path / "raw", steps=12, seed=7)
        annotated("robotwin", tmp_path / "raw", tmp_path / "others", robot="arx5")
        data = Dataset([*sets, tmp_path / "others"])
        alone = {"piper": Dataset(sets).statistics(), "arx5": Dataset([tmp_path / "others"]).statistics()}
        joint, found = LEFT_ARM.start + 2, data.statistics_by_robot()
        assert found.keys() == alone.keys()
        for name, statistics in found.items():
            assert statistics.state_mean[joint] == alone[name].state_mean[joint]
            assert statistics.action_std[joint] == alone[name].action_std[joint]
            for common in (0, LEFT_END_EFFECTOR.start):
                assert statistics.state_mean[common] == data.statistics().state_mean[common]

        batches = batches_of(data, statistics=found, batch_size=32)
        batch = batches[3]
        for row, number in enumerate(batches.drawn(3)):
            sample = data.sample(int(number), 1)
            if sample.state_mask[joint]:
                own = alone[data.robots[sample.place.shard]]
                expected = (sample.state[joint] - own.state_mean[joint]) / own.state_std[joint]
                assert float(batch.state[row, joint]) == pytest.approx(expected, rel=1e-4)

    def test_a_robot_that_the_data_have_not_is_refused(self, data):
        with pytest.raises(DataError, match="expected demonstrations of arx5, found piper"):
            data.require_robots({"arx5"}, only=False)

    def test_shares_of_several_processes_are_the_whole_batch(self, data):
        _, whole = share_of(data)
        parts = [share_of(data, (rank, 4))[1] for rank in range(4)]
        for name in ("images", "noise", "t", "weights", "actions", "augmentation"):
            joined = torch.stack([getattr(part, name) for part in parts], dim=1).flatten(0, 1)
            assert torch.equal(joined, getattr(whole, name)), name

    def test_a_batch_that_leaves_a_process_without_a_sample_is_refused(self, data):
        with pytest.raises(DataError, match="expected at least a sample for each of 9 processes, got 8"):
            share_of(data, (0, 9))


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
    def test_it_is_l_r2h_plus_l_h2r(self, data):
        """Written out as in the paper, term by term."""
        model = randomised(Mivla(tiny_config()), spread=0.2)
        inputs, batch = share_of(data)
        loss = loss_of(Objective(model), inputs, batch)
        actions, noise, t = batch.actions, batch.noise, batch.t[:, None, None]
        chunk = t * actions + (1 - t) * noise
        velocity = model.velocity(inputs, chunk, model.encode(inputs), model.decoder.modulate(batch.t))
        error = (velocity - (actions - noise)) ** 2
        human = ~batch.state_mask[:, 48]
        l_h2r = error[human][..., HUMAN].mean() + error[human][..., 48:].mean()
        l_r2h = error[~human][..., 48:].mean() + error[~human][..., HUMAN].mean()
        assert 0 < human.sum() < len(human)
        assert loss.item() == pytest.approx((l_r2h + l_h2r).item(), rel=FLOAT32)

    def test_slots_that_the_objective_leaves_out_are_not_even_seen(self, data):
        inputs, batch = share_of(data, objective="human_only")
        assert batch.state_mask[:, HUMAN].all()  # no robot sample is drawn
        assert not inputs.action_mask[:, 48:].any()
        model = Objective(randomised(Mivla(tiny_config()), spread=0.2))
        before = loss_of(model, inputs, batch).item()
        inputs.actions[..., 48:] += 100.0
        assert loss_of(model, inputs, batch).item() == before

    def test_shares_of_several_processes_add_up(self, data):
        model = Objective(randomised(Mivla(tiny_config()), spread=0.2))
        whole = loss_of(model, *share_of(data)).item()
        parts = [loss_of(model, *share_of(data, (rank, 4))).item() for rank in range(4)]
        assert sum(parts) == pytest.approx(whole, rel=FLOAT32)


class TestPretraining:
    def test_a_policy_does_not_write_over_the_one_it_starts_from(self, sets, tmp_path):
        run(sets, tmp_path)
        with pytest.raises(DataError, match="expected another folder than the base's"):
            run(sets, tmp_path, base=tmp_path, steps=2)

    def test_robot_data_alone_cannot_teach_what_people_do(self, sets, tmp_path):
        with pytest.raises(DataError, match="expected human demonstrations"):
            run(sets[1:], tmp_path, objective="h2r")

    def test_data_of_which_nothing_can_be_used_are_refused_before_training(self, tmp_path):
        write_robotwin(tmp_path / "robots", endpose=False)
        assert annotated("robotwin", tmp_path / "robots", tmp_path / "set", imitate=False).skipped
        with pytest.raises(
            DataError, match=r"expected samples to learn from .* 1 demonstrations were skipped"
        ):
            run([tmp_path / "set"], tmp_path / "out", objective="robot_only")

    def test_bfloat16_computes_while_weights_stay_float32(self, sets, tmp_path):
        _, rounded = run(sets, tmp_path / "bf16", steps=4, learning_rate=3e-3, precision="bf16")
        _, exact = run(sets, tmp_path / "exact", steps=4, learning_rate=3e-3, precision="float32")
        assert rounded == pytest.approx(exact, rel=0.02)
        assert rounded != exact

    def test_the_result_is_a_policy_that_can_be_fine_tuned(self, sets, data, tmp_path):
        run(sets, tmp_path)
        checkpoint = load_policy_folder(tmp_path)
        assert checkpoint.model.config == tiny_config()
        assert checkpoint.extra["training"]["objective"] == "h2r+r2h"
        assert checkpoint.statistics.action_mean == pytest.approx(data.statistics().action_mean)
        assert all(torch.isfinite(p).all() for p in checkpoint.model.parameters())

    def test_its_card_says_what_it_learned_from_and_what_it_went_on_from(self, sets, tmp_path):
        first, second = tmp_path / "first", tmp_path / "second"
        run(sets, first)
        run(sets, second, base=first, steps=2)
        card = (second / "README.md").read_text()
        assert "1 demonstrations by people, 1 by robots: 2 episodes, 22 samples" in card
        assert "It went on from a policy made so:" in card
        assert "averaging" not in card
        assert (second / "loss.png").is_file()

    def test_a_card_of_a_policy_that_went_on_from_an_imported_one_says_so(self, sets, tmp_path):
        base = tmp_path / "imported"
        save_policy(base, Mivla(tiny_config()), PIPER, plain_statistics(), {"source": "H-RDT"})
        run(sets, tmp_path / "out", base=base)
        assert "not trained here: {'source': 'H-RDT'}" in (tmp_path / "out" / "README.md").read_text()
