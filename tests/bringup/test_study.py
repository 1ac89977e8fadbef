"""Studies: what they compare, what they keep, how they count; a tiny one runs to its end and goes on after a kill."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import pytest

from mivla_bringup.cli import main
from mivla_bringup.studies import experiments
from mivla_bringup.studies.data import StudyData
from mivla_bringup.studies.plan import PRETRAININGS, STUDIES, Experiment, Scale
from mivla_bringup.studies.report import draw, markdown, tabulate
from mivla_bringup.studies.results import Row, bootstrapped, rate_of, read_rows, write_rows
from mivla_bringup.studies.run import StudyRun
from mivla_drivers.errors import DataError
from mivla_drivers.simulation.tasks import DEFAULT_TASK, load_task
from mivla_policy.checkpoint import load_policy_folder
from mivla_policy.data.choices import FROM_HUMAN, FROM_ROBOT, OBJECTIVES
from mivla_policy.data.dataset import Dataset

pytestmark = pytest.mark.paced

TINY = Scale(
    hand_episodes=1,
    robot_episodes=1,
    pretrain_steps=2,
    finetune_steps=2,
    batch_size=4,
    seeds=1,
    trials=1,
    time_limit_s=0.3,
)


def row(pretraining="scratch", shots=30, seed=0, condition="seen", trial=0, success=1) -> Row:
    return Row(pretraining, shots, seed, condition, trial, 4_000_000 + trial, success, 0.5, 7.25)


TWO = (("scratch", 10), ("h2r", 10))


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Command line of two policies of the ablation at a scale that says nothing; no work is done yet."""
    out = tmp_path_factory.mktemp("study")
    words = [
        word
        for field in dataclasses.fields(TINY)
        for word in (f"--{field.name.replace('_', '-')}", str(getattr(TINY, field.name)))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mivla_bringup.studies.data.BLOCK", 1)  # one demonstration instead of ten, to save time
        StudyData(out / "data", TINY).demonstrate(seed=0, block=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STUDIES, "ablation", dataclasses.replace(STUDIES["ablation"], policies=TWO))
        yield ["study", "ablation", "--out", str(out), *words]


@pytest.fixture(scope="module")
def killed(words):
    """Folder of the study, killed while it pre-trained; its processes; and when its data were made, by file."""
    out = Path(words[words.index("--out") + 1])
    process = get_context("fork").Process(target=main, args=([*words, "--workers", "2"],))
    process.start()
    until(lambda: (out / "pretrained").exists(), process.is_alive)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return out, workers, made_at(out / "data")


@pytest.fixture(scope="module")
def study(words, killed):
    """The killed study, run to its end."""
    out, _, _ = killed
    assert main([*words, "--workers", "1"]) == 0
    return out


def made_at(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition, goes_on=lambda: True):
    end = time.monotonic() + 120
    while not condition():
        assert goes_on()
        assert time.monotonic() < end
        time.sleep(0.005)


class TestPlan:
    def test_the_ablation_compares_the_paper_s_four_pretrainings_on_all_demonstrations(self):
        found = STUDIES["ablation"].experiments(seeds=3)
        assert {(experiment.pretraining, experiment.shots) for experiment in found} == {
            (name, 30) for name in PRETRAININGS
        }
        assert sorted(experiment.seed for experiment in found if experiment.pretraining == "h2r") == [0, 1, 2]

    def test_few_shot_crosses_them_with_10_20_and_30_demonstrations(self):
        assert len(set(STUDIES["few-shot"].policies)) == 12

    def test_generalisation_tries_every_condition(self):
        beyond = set(load_task(DEFAULT_TASK).conditions) - {"easy", "hard"}
        assert set(STUDIES["generalisation"].conditions) == beyond

    def test_studies_share_policies(self):
        shared = set(STUDIES["few-shot"].policies)
        assert set(STUDIES["ablation"].policies) <= shared
        assert set(STUDIES["generalisation"].policies) <= shared

    def test_every_pretraining_has_an_objective_of_the_trainer(self):
        assert {objective for objective in PRETRAININGS.values() if objective} <= set(OBJECTIVES)

    def test_at_least_three_seeds_are_the_default(self):
        assert Scale().seeds >= 3

    def test_a_scale_of_nothing_is_refused(self):
        with pytest.raises(DataError, match="trials: expected a number above 0, got 0"):
            Scale(trials=0)

    @pytest.mark.parametrize(
        ("task", "message"),
        [
            ("fly_to_the_moon", "expected a task of .*lift_can"),
            ("lift_can", "lift_can: expected conditions .*seen"),
        ],
    )
    def test_a_task_that_cannot_be_studied_is_refused_before_anything_is_made(
        self, tmp_path, capsys, task, message
    ):
        out = tmp_path / "study"
        assert main(["study", "ablation", "--task", task, "--out", str(out)]) == 2
        assert re.search(message, capsys.readouterr().err)
        assert not out.exists()

    def test_a_folder_of_a_study_that_could_not_name_its_task_goes_on(self, tmp_path):
        scale = dataclasses.asdict(TINY)
        del scale["task"]
        (tmp_path / "scale.json").write_text(json.dumps(scale))
        StudyRun(STUDIES["ablation"], TINY, tmp_path, workers=1)
        with pytest.raises(DataError, match="expected the scale"):
            StudyRun(STUDIES["ablation"], dataclasses.replace(TINY, seeds=2), tmp_path, workers=1)

    def test_kinds_of_pretraining_are_equal_in_steps_or_in_passes(self):
        with pytest.raises(DataError, match=r"equal: expected one of \('steps', 'passes'\), got 'time'"):
            Scale(equal="time")


class TestResults:
    def test_rows_come_back_from_their_file(self, tmp_path):
        rows = [row(trial=i, success=i % 2) for i in range(4)]
        write_rows(tmp_path / "rows.csv", rows)
        assert read_rows(tmp_path / "rows.csv") == rows

    def test_a_rate_pools_the_trials_and_keeps_the_seeds_apart(self):
        rate = rate_of(
            [row(seed=seed, trial=i, success=int(i < seed)) for seed in range(3) for i in range(4)]
        )
        assert rate.rate == pytest.approx(0.25)
        assert rate.by_seed == (0.0, 0.25, 0.5)
        assert rate.trials == 12
        low, high = rate.interval
        assert 0 < low < 0.25 < high < 1

    def test_seeds_that_lie_apart_widen_the_interval_over_seeds(self):
        alike, apart = bootstrapped([[0, 1] * 10] * 5), bootstrapped([[0] * 20, [1] * 20] * 2 + [[0, 1] * 10])
        assert alike[0] < 0.5 < alike[1]
        assert alike[0] == pytest.approx(0.4, abs=0.02)  # 0.5 - 1.96 * sqrt(0.25 / 100)
        assert alike[1] == pytest.approx(0.6, abs=0.02)
        assert apart[1] - apart[0] > 2 * (alike[1] - alike[0])

    def test_files_of_before_trials_ended_early_still_read(self, tmp_path):
        write_rows(tmp_path / "rows.csv", [row()])
        text = (tmp_path / "rows.csv").read_text()
        old = "\n".join(line.rpartition(",")[0] for line in text.splitlines())
        (tmp_path / "rows.csv").write_text(old + "\n")
        assert read_rows(tmp_path / "rows.csv") == [row()]

    def test_a_table_has_a_line_a_pretraining_and_a_column_a_number_of_shots(self):
        rows = [row(name, shots) for name in PRETRAININGS for shots in (10, 20, 30)]
        table = tabulate(STUDIES["few-shot"], rows)
        assert len(table) == 12
        assert ("h2r+r2h", "20 shots") in table
        text = markdown(STUDIES["few-shot"], rows)
        assert "| | 10 shots | 20 shots | 30 shots |" in text
        assert "| scratch | 100 % (21 to 100), 100 to 100 [100] C 50 % |" in text

    def test_the_picture_is_drawn_where_a_line_lacks_a_column(self, tmp_path):
        rows = [row("scratch", 10), row("h2r", 10), row("h2r", 20, success=0)]
        draw(STUDIES["few-shot"], rows, tmp_path / "picture.png")
        assert (tmp_path / "picture.png").stat().st_size > 5000


class TestRun:
    def test_a_killed_study_takes_its_processes_with_it(self, killed):
        _, workers, _ = killed
        assert workers
        until(lambda: not any(map(runs, workers)))

    def test_started_again_it_goes_on_where_it_was_killed(self, killed, study):
        out, _, data = killed
        # What was being written at the kill is no part of it.
        whole = {path: made for path, made in data.items() if path.suffix != ".part"}
        assert whole.items() <= made_at(out / "data").items()
        assert read_rows(study / "ablation.csv")

    def test_it_ends_with_rows_a_table_and_a_picture(self, study):
        rows = read_rows(study / "ablation.csv")
        assert [(r.pretraining, r.shots) for r in rows if r.condition == "seen"] == list(TWO)
        assert {r.condition for r in rows} == {"seen", "unseen_scenes"}
        assert all(r.time_s >= TINY.time_limit_s and not r.success for r in rows)
        assert "| h2r |" in (study / "ablation.md").read_text()
        assert (study / "ablation.png").is_file()

    def test_a_second_run_makes_nothing_again(self, study, monkeypatch):
        in_this_process = (
            "mivla_bringup.studies.run.ProcessPoolExecutor",
            lambda count, *_: ThreadPoolExecutor(count),
        )
        monkeypatch.setattr(*in_this_process)
        kept = made_at(study / "policies")
        again = dataclasses.replace(STUDIES["ablation"], policies=TWO)
        list(StudyRun(again, TINY, study, 1).run())
        assert kept
        assert kept == made_at(study / "policies")

    def test_another_scale_in_the_same_folder_is_refused(self, study):
        with pytest.raises(DataError, match="choose another folder"):
            StudyRun(STUDIES["ablation"], dataclasses.replace(TINY, trials=2), study, 1)

    def test_pretraining_data_holds_both_embodiments_with_both_one_s_actions(self, study):
        data = StudyData(study / "data", TINY).pretraining_data()
        for source in (FROM_ROBOT, FROM_HUMAN):
            ((first, end),) = data.of([source])
            known = np.stack([data.sample(number, 16).mask for number in range(first, end)])
            assert known[:, :48].any()
            assert known[:, 48:].any()

    def test_with_equal_passes_more_samples_take_more_steps(self, study):
        data = StudyData(study / "data", TINY).pretraining_data()
        ((first, end),) = data.of([FROM_HUMAN])
        people = int(end - first)
        equal = dataclasses.replace(TINY, pretrain_steps=people, equal="passes")
        steps = {objective: experiments.pretrain_steps(equal, data, objective) for objective in OBJECTIVES}
        assert steps["human_only"] == steps["h2r"] == people
        assert steps["h2r+r2h"] == len(data)
        assert experiments.pretrain_steps(TINY, data, "h2r+r2h") == TINY.pretrain_steps

    def test_a_number_of_demonstrations_between_two_blocks_is_refused(self, study):
        data = StudyData(study / "data", TINY)
        assert len(Dataset(data.demonstrations(0, 10))) > 20
        with pytest.raises(DataError, match="expected a multiple of 10 up to 30, got 15"):
            data.demonstrations(0, 15)

    def test_all_policies_have_the_same_statistics(self, study):
        expected = StudyData(study / "data", TINY).pretraining_data().statistics()
        for name, shots in TWO:
            found = load_policy_folder(study / "policies" / f"{name}_{shots}shots_seed0").statistics
            assert np.allclose(found.action_std, expected.action_std)

    def test_fine_tuning_starts_from_the_pretrained_weights(self, study, tmp_path):
        base = study / "pretrained" / "h2r_seed0"
        still = StudyData(study / "data", dataclasses.replace(TINY, learning_rate=1e-12))
        experiments.finetune_experiment(still, base, tmp_path / "policy", Experiment("h2r", 10, 0))
        before, after = load_policy_folder(base).model, load_policy_folder(tmp_path / "policy").model
        for (name, a), b in zip(before.state_dict().items(), after.state_dict().values(), strict=True):
            assert np.allclose(a, b, atol=2e-3), name

    def test_the_scale_is_written_beside_the_results(self, study):
        assert Scale(**json.loads((study / "scale.json").read_text())) == TINY

    def test_demonstrations_ask_for_the_bottle(self, study):
        data = Dataset(StudyData(study / "data", TINY).demonstrations(0, 10))
        assert data.sentences == ["Move the bottle onto the pad."]
