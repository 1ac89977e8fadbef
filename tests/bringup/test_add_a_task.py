"""docs/add-a-task.md, followed literally in an empty folder: its file, its commands, its trials in lockstep."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mivla_bringup import cli
from mivla_drivers.contract import load_contract
from mivla_policy.data.task_demonstrations import task_episodes

PAGE = (Path(__file__).parents[2] / "docs" / "add-a-task.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "stack_blocks.py").write_text(blocks("python")[0])
        yield folder


def test_a_task_fits_in_a_file_of_200_lines():
    assert blocks("python")[0].count("\n") < 200


def test_the_expert_is_shown(folder, capsys):
    for line, trials in zip(blocks("sh")[0].splitlines(), (2, 1), strict=True):
        assert cli.main(shlex.split(line)[1:]) == 0
        printed = capsys.readouterr().out
        assert printed.count("✓ grasped  ✓ lifted  ✓ stacked  success") == trials, printed
        assert "scripted expert, stack_blocks, " in printed
    videos = sorted(path.name for path in (folder / "build/expert").glob("*/*.webm"))
    assert videos == [
        "expert_000_seed_0_easy_success.webm",
        "expert_000_seed_2_hard_success.webm",
        "expert_001_seed_1_easy_success.webm",
    ]


def test_demonstrations_are_recorded(folder):
    words = shlex.split(blocks("sh")[1])[1:]
    assert cli.main([*words, "--workers", "1"]) == 0
    episodes = list(task_episodes(folder / "data/stack_blocks"))
    assert episodes
    assert len(list((folder / "data/stack_blocks/stack_blocks").glob("*.npz"))) == len(episodes)
    size = load_contract("piper").size
    for episode in episodes:
        assert episode.instruction == "Stack the blue block on the green one."
        assert episode.commands.shape == (len(episode.joints), 16, size)


def test_trials_run_in_lockstep(folder, capsys):
    exec(compile(blocks("python")[1], "add-a-task.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("True" in line and "'stacked': True" in line for line in lines), lines
