"""docs/add-a-task.md, followed literally in an empty folder: its file, its commands, its trials in lockstep."""

from __future__ import annotations

import csv
import shlex

import pytest
from pages import Page, follow

from mivla_bringup import cli
from mivla_bringup.commands.launch import find_launch_file, parse_arguments
from mivla_bringup.launcher.plan import plan_launch
from mivla_drivers.contract import load_contract
from mivla_drivers.recording.reader import read_dataset
from mivla_policy.data.task_demonstrations import task_episodes

pytestmark = pytest.mark.paced

PAGE = Page("add-a-task.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "stack_blocks.py").write_text(PAGE.blocks("python")[0])
        yield folder


def test_a_task_fits_in_a_file_of_200_lines():
    assert PAGE.blocks("python")[0].count("\n") < 200


def test_the_expert_is_shown(folder, capsys):
    for line in PAGE.blocks("sh")[0].splitlines():
        assert cli.main(shlex.split(line)[1:]) == 0
        printed = capsys.readouterr().out
        assert printed.count("✓ grasped  ✓ lifted  ✓ stacked  success") == 1, printed
        assert "scripted expert, stack_blocks, " in printed
    videos = sorted(path.name for path in (folder / "build/expert").glob("*/*.webm"))
    assert videos == [
        "expert_000_seed_0_easy_success.webm",
        "expert_000_seed_2_hard_success.webm",
    ]


def test_demonstrations_are_recorded(folder):
    words = shlex.split(PAGE.blocks("sh")[1])[1:]
    assert cli.main([*words, "--workers", "1"]) == 0
    episodes = list(task_episodes(folder / "data/stack_blocks"))
    assert episodes
    assert len(list((folder / "data/stack_blocks/stack_blocks").glob("*.npz"))) == len(episodes)
    size = load_contract("piper").size
    for episode in episodes:
        assert episode.instruction == "Stack the blue block on the green one."
        assert episode.commands.shape == (len(episode.joints), 16, size)


def test_trials_run_in_lockstep(folder, capsys):
    exec(compile(PAGE.blocks("python")[1], "add-a-task.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("True" in line and "'stacked': True" in line for line in lines), lines


def test_it_is_launched(folder):
    words = shlex.split(PAGE.blocks("")[0])
    plan = plan_launch(find_launch_file(words[2]), parse_arguments(words[3:]))
    simulator = next(process for process in plan.processes if process.name == "simulator")
    assert 'argument.task:="stack_blocks.py"' in simulator.command


@pytest.mark.timeout(240)
def test_it_is_recorded_fine_tuned_and_tried_through_ros(folder):
    for line in PAGE.blocks("sh")[2].splitlines():
        follow(line, folder)
    (episode,) = read_dataset(folder / "data/stack_blocks_demos")
    assert episode.instruction == "Stack the blue block on the green one."
    (row,) = csv.DictReader((folder / "build/stack_blocks/trials.csv").open())
    assert row["refused"] == "0"
    assert "stacked" in "".join(row)
    assert "following policy" in (folder / "build/stack_blocks/launch.log").read_text()
