"""`mivla trials` from start to table against a fake PiPER, which reaches sub-tasks by the clock."""

from __future__ import annotations

import argparse
import contextlib
import csv
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest

from mivla_bringup import cli
from mivla_bringup.commands import trials
from mivla_bringup.commands.trials import settings
from mivla_bringup.launcher.plan import Plan, ProcessSpec
from mivla_bringup.run_folder import claimed_folder
from mivla_bringup.trials import operated_robot, session
from mivla_bringup.trials.metrics import Trial
from mivla_bringup.trials.provenance import digest_of_file
from mivla_bringup.trials.results import TrialResults
from mivla_drivers.contract import load_contract

pytestmark = pytest.mark.paced

SUBTASKS = ("grasped", "lifted", "over_the_pad", "placed")
FAKE = str(Path(__file__).with_name("fake_piper.py"))
SETTINGS = (
    "judged_by",
    "task",
    "robot",
    "robot_sha256",
    "policy",
    "policy_sha256",
    "mode",
    "seed",
    "trials",
    "time_limit_s",
)
POLICY = Path(__file__).parents[2] / "models" / "piper_move_bottle"
# `mivla` in a process of its own, whose bringup is the fake PiPER
FAKED = f"""
import sys
from mivla_bringup import cli
from mivla_bringup.commands import trials
from mivla_bringup.launcher.plan import Plan, ProcessSpec
mood, *words = sys.argv[1:]
trials.plan_launch = lambda *_: Plan((ProcessSpec("fake", (sys.executable, {FAKE!r}, mood)),), ())
sys.exit(cli.main(["trials", "--policy", {str(POLICY)!r}, *words]))
"""


@pytest.fixture
def run_trials(tmp_path, monkeypatch, capsys):
    """Runs `mivla trials` with a fake PiPER of a mood; exit code, folder of results, stdout and stderr."""

    def run(mood: str, *words: str):
        spec = ProcessSpec("fake", (sys.executable, FAKE, mood))
        monkeypatch.setattr(trials, "plan_launch", lambda *_: Plan((spec,), ()))
        out = tmp_path / "out"
        code = cli.main(["trials", "--policy", str(POLICY), "--out", str(out), *words])
        left = [p for p in psutil.Process().children(recursive=True) if FAKE in " ".join(p.cmdline())]
        assert left == []
        return code, out, capsys.readouterr()

    # What the command sets is for its own process; here that is the whole test run.
    for name in ("ROS_DOMAIN_ID", *trials.network.ros_environment()):
        monkeypatch.setenv(name, os.environ.get(name, "77"))
    return run


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_successful_trials_are_measured_filmed_and_stored(run_trials):
    code, out, printed = run_trials("able", "--trials", "2", "--seed", "50")
    assert code == 0
    assert [row["seed"] for row in rows(out)] == ["50", "51"]
    assert [row["success"] for row in rows(out)] == ["1", "1"]
    assert all(1.8 < float(row["time_s"]) < 4.0 for row in rows(out))
    assert sorted(file.name for file in out.glob("*.webm")) == [
        "trial_000_seed_50_success.webm",
        "trial_001_seed_51_success.webm",
    ]
    found = summary(out)
    assert (found["complete"], found["n"], found["success_rate"], found["completeness"]) == (
        True,
        2,
        1.0,
        1.0,
    )
    assert (found["seed"], found["mode"], found["trials"], found["left_out"]) == (50, "easy", 2, [])
    digest = subprocess.run(
        ["sha256sum", POLICY / "model.safetensors"], capture_output=True, text=True, check=True
    )
    assert found["policy_sha256"] == digest.stdout.split()[0]
    assert {"python", "numpy", "pybullet"} <= found["versions"][0].keys()
    assert "100.0 %" in printed.out
    assert "trial 2/2  seed 51" in printed.out
    assert "so far 1 of 1: 100 % (21 to 100 %), 1 left, about " in printed.out
    assert [(row["overruns"], row["late_p99_ms"], row["overloaded"]) for row in rows(out)] == [
        ("0", "0.500", "0")
    ] * 2
    assert (found["timing"]["period_max_ms"], found["overloaded"]) == (6.0, [])
    assert "MACHINE TOO SLOW" not in printed.out


def test_a_trial_ends_at_its_time_limit_and_tells_what_driver_log_and_machine_had_against_it(run_trials):
    code, out, printed = run_trials("hungry", "--trials", "1", "--time-limit", "1.5")
    assert code == 0
    (row,) = rows(out)
    assert (row["success"], row["completeness"], row["time_s"]) == ("0", "0.2500", "1.500")
    assert (row["starved"], row["refused"], row["warnings"]) == ("3", "6", "3")
    assert summary(out)["starved"] == 3
    assert "3 times the policy ran out of chunks, 6 chunks refused, 3 warnings logged" in printed.out
    assert [file.name for file in out.glob("*.webm")] == ["trial_000_seed_1000_failure.webm"]
    # The fake's machine did not keep up, which stands wherever results do.
    assert (row["overruns"], row["overloaded"]) == ("300", "1")
    assert summary(out)["overloaded"] == [{"trial": 0, "reasons": ["300 overruns of the control loop"]}]
    assert printed.out.count("MACHINE TOO SLOW") == 2  # below the trial, and below the table


@pytest.mark.parametrize(
    ("mood", "words", "expected"),
    [
        ("mortal", [], ["fake-1 (exit code 9)", "the world has ended"]),
        ("mute", [], ["policy: silent for"]),
        ("stubborn", [], ["driver/home: refused", "the motors have no power"]),
        ("able", ["--mode", "hard"], ["simulator/reset: seed 1000, mode hard: no hard mode here"]),
    ],
)
def test_a_broken_bringup_is_an_error_and_a_try_that_is_left_out(
    run_trials, monkeypatch, mood, words, expected
):
    monkeypatch.setattr(operated_robot, "HOME_S", 1.0)
    monkeypatch.setattr(session, "POLICY_SILENCE_S", 1.0)
    code, out, printed = run_trials(mood, "--trials", "1", *words)
    assert code == 2
    assert sorted(files(out)) == ["launch.log", "summary.json"]
    found = summary(out)
    assert (found["complete"], found["n"], found["success_rate"]) == (False, 0, None)
    ((left),) = found["left_out"]
    assert (left["trial"], left["seed"]) == (0, 1000)
    assert "INCOMPLETE: 0 of 1 trials" in printed.out
    for text in expected:
        assert text in printed.err


# Results are never written over


@pytest.mark.parametrize("kept", ["trials.csv", "trial_007.webm", "summary.json"])
def test_a_folder_with_results_is_refused_before_anything_is_started_or_changed(run_trials, tmp_path, kept):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / kept).write_text("precious")
    code, out, printed = run_trials("able", "--trials", "1")
    assert (code, printed.out) == (2, "")
    assert files(out) == {kept: b"precious"}
    assert f"holds results ({kept}), which are never overwritten" in printed.err
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--robot", "none"], "none: expected a robot of"),
        (["--robot", "my.yaml"], "my.yaml: expected a robot of"),
        (["--robot", "aloha_agilex"], "aloha_agilex"),
        (["--policy", "magic:wand"], "policy magic:wand: expected a backend of"),
        (["--policy", "/no/such"], "/no/such: expected a policy's folder or one of"),
        (["--task", "fly"], "fly"),
        (["--mode", "odd"], "odd"),
        (["--resume"], "expected what a run left in"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line_and_makes_no_folder(run_trials, words, expected):
    code, out, printed = run_trials("able", *words)
    assert (code, printed.out) == (2, "")
    assert not out.exists()
    assert expected in printed.err
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--trials", "0"],
        ["--trials", "2.5"],
        ["--seed", "1.5"],
        ["--seed", "-1"],
        ["--time-limit", "-3"],
        ["--time-limit", "inf"],
    ],
)
def test_a_value_that_no_trial_could_have_is_refused(run_trials, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        run_trials("able", *words)
    assert end.value.code == 2
    assert words[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda p: (p / "model.safetensors").write_bytes(b"half"), "expected a whole safetensors file"),
        (lambda p: (p / "config.json").write_text("{"), "config.json: expected JSON"),
        (
            lambda p: (p / "robot.yaml").write_text(
                (p / "robot.yaml").read_text().replace("joint6", "joint9")
            ),
            "joint",
        ),
    ],
)
def test_a_policy_that_cannot_be_read_or_is_of_another_robot_is_refused(
    run_trials, tmp_path, spoil, expected
):
    policy = shutil.copytree(POLICY, tmp_path / "policy")
    spoil(policy)
    code, out, printed = run_trials("able", "--policy", str(policy))
    assert (code, printed.out) == (2, "")
    assert not out.exists()
    assert expected in printed.err


def test_without_out_each_run_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    now = time.time()
    first = trials.dated_folder(trials.RUNS, now)
    first.mkdir(parents=True)
    second = trials.dated_folder(trials.RUNS, now)
    assert (first.parent, first != second, second.exists()) == (Path("build/trials"), True, False)


# A run goes on


def test_a_run_that_was_stopped_goes_on_with_the_trials_that_are_missing(run_trials, tmp_path):
    begin(tmp_path / "out", trials=1, done=1, seed=50, time_limit=20.0)
    (tmp_path / "out" / "trial_000_seed_50_success.webm").write_bytes(b"a video")
    kept = files(tmp_path / "out")
    code, out, _ = run_trials("able", "--resume", "--trials", "2")
    assert code == 0
    assert [(row["trial"], row["seed"]) for row in rows(out)] == [("0", "50"), ("1", "51")]
    assert files(out)["trial_000_seed_50_success.webm"] == kept["trial_000_seed_50_success.webm"]
    found = summary(out)
    assert (found["complete"], found["n"], found["time_limit_s"]) == (True, 2, 20.0)
    assert len(found["commands"]) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--mode", "hard"], "mode easy, not hard"),
        (["--seed", "7"], "seed 1000, not 7"),
        (["--time-limit", "3"], "time_limit_s 1.0, not 3.0"),
        (["--trials", "1"], "holds 2 trials, more than --trials 1"),
    ],
)
def test_a_run_does_not_go_on_with_other_settings(run_trials, tmp_path, words, expected):
    begin(tmp_path / "out", trials=2, done=2)
    before = files(tmp_path / "out")
    code, out, printed = run_trials("able", "--resume", *words)
    assert code == 2
    assert expected in printed.err
    assert files(out) == before


def test_a_run_does_not_go_on_with_another_policy(run_trials, tmp_path):
    begin(tmp_path / "out", trials=2, done=1)
    policy = shutil.copytree(POLICY.with_name("mivla_small"), tmp_path / "policy")
    code, _, printed = run_trials("able", "--resume", "--policy", str(policy))
    assert code == 2
    assert "policy_sha256" in printed.err


def test_resuming_a_complete_run_shows_its_table_and_starts_nothing(run_trials, tmp_path):
    begin(tmp_path / "out", trials=2, done=2)
    before = files(tmp_path / "out")
    code, out, printed = run_trials("able", "--resume")
    assert code == 0
    assert "trials, 2 successful" in printed.out
    assert "starting" not in printed.out
    assert files(out) == before


def begin(out: Path, trials: int, done: int, seed: int = 1000, time_limit: float = 1.0) -> None:
    """A run of `trials` of which `done` have results, all of them successes."""
    words = {
        "robot": "piper",
        "task": "move_bottle_onto_pad",
        "mode": "easy",
        "seed": seed,
        "time_limit": time_limit,
    }
    args = argparse.Namespace(**words, policy=str(POLICY), trials=trials)
    out.mkdir()
    digest = digest_of_file(POLICY / "model.safetensors")
    results = TrialResults(out, settings(args, load_contract("piper"), digest))
    for number in range(done):
        results.add(Trial(number, seed + number, True, 0.5, dict.fromkeys(SUBTASKS, True)))


def test_a_try_whose_run_was_killed_is_told_as_left_out(tmp_path):
    begin(tmp_path / "out", trials=2, done=1)
    path = tmp_path / "out" / "summary.json"
    document = summary(tmp_path / "out")
    path.write_text(json.dumps({**document, "running": {"trial": 1, "seed": 1001}}))
    results = TrialResults(tmp_path / "out", {name: document[name] for name in SETTINGS})
    results.resume()
    assert results.left_out == [{"trial": 1, "seed": 1001, "reason": "the run was killed"}]


def test_two_runs_do_not_write_to_one_folder(run_trials, tmp_path):
    with claimed_folder(tmp_path / "out"):
        code, _, printed = run_trials("able")
    assert code == 2
    assert "another run is writing there" in printed.err


# A run ends


def until_the_second_trial(out: Path, pid: int, seed: int = 51) -> tuple[list[psutil.Process], set[str]]:
    """Wait for it; the processes of the run, and the shared memory that they hold."""
    deadline = time.monotonic() + 60
    while not (out / "trials.csv").exists() or summary(out)["running"] != {"trial": 1, "seed": seed}:
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        assert time.monotonic() < deadline, "expected a trial to end"
        time.sleep(0.05)
    time.sleep(0.7)
    family = psutil.Process(pid).children(recursive=True)
    segments = {name for p in (pid, *(child.pid for child in family)) for name in shared_memory_of(p)}
    assert len(segments) >= 4
    return family, segments


def require_nothing_left(family: list[psutil.Process], segments: set[str]) -> None:
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert [name for name in segments if os.path.exists(name.removesuffix("_el"))] == []


def end_by_signal(number: signal.Signals, out: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FAKED, "able", "--trials", "9", "--seed", "50", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As an operator's shell starts it: a test runner in the background of another is deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    left = until_the_second_trial(out, process.pid)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number, errors
    require_nothing_left(*left)
    assert "Traceback" not in errors
    found = summary(out)
    assert (found["complete"], found["n"], len(rows(out)), found["trials"]) == (False, 1, 1, 9)
    assert found["left_out"] == [{"trial": 1, "seed": 51, "reason": signal.Signals(number).name}]
    assert "trials, 1 successful" in printed
    assert f"INCOMPLETE: 1 of 9 trials. To go on: mivla trials --resume --out {out}" in printed


def close_its_terminal(out: Path) -> None:
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", FAKED, "able", "--trials", "9", "--seed", "50", "--out", str(out)],
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # it is the session's terminal
    )
    os.close(end)
    drain = threading.Thread(target=read_all, args=(terminal,), daemon=True)
    drain.start()
    left = until_the_second_trial(out, process.pid)
    os.close(terminal)
    assert process.wait(timeout=30) == 128 + signal.SIGHUP
    require_nothing_left(*left)
    assert (summary(out)["complete"], summary(out)["n"]) == (False, 1)


def read_all(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass


def shared_memory_of(pid: int) -> set[str]:
    """The segments of Fast DDS that a process holds; its ports may be another's as soon as it ends."""
    found = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    return {name for name in found if re.fullmatch(r"/dev/shm/fastdds_[0-9a-f]{16}_el", name)}


def kill(out: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FAKED, "able", "--trials", "9", "--out", str(out)], stdout=subprocess.DEVNULL
    )
    family, segments = until_the_second_trial(out, process.pid, seed=1001)
    process.kill()
    process.wait()
    assert summary(out)["running"] == {"trial": 1, "seed": 1001}
    deadline = time.monotonic() + 30
    while any(p.is_running() for p in family) or any(os.path.exists(name) for name in segments):
        assert time.monotonic() < deadline, (family, segments)
        time.sleep(0.1)


ENDINGS = {
    "SIGINT": partial(end_by_signal, signal.SIGINT),
    "SIGTERM": partial(end_by_signal, signal.SIGTERM),
    "terminal": close_its_terminal,
    "kill": kill,
}


@pytest.fixture(scope="module")
def endings(tmp_path_factory) -> Iterator[dict[str, Future[None]]]:
    """What came of runs that were ended in four ways; all at once, since each waits most of the time."""
    with ThreadPoolExecutor(len(ENDINGS)) as pool:
        yield {name: pool.submit(end, tmp_path_factory.mktemp(name) / "out") for name, end in ENDINGS.items()}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_run_clean_and_what_was_done_is_told_and_kept(endings, name):
    endings[name].result()


def test_a_closed_terminal_ends_a_run_clean_and_what_was_done_is_kept(endings):
    endings["terminal"].result()


def test_a_killed_run_leaves_no_process_and_no_shared_memory(endings):
    endings["kill"].result()
