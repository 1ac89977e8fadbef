"""A whole recording session without anybody: `mivla record` in a terminal, scripted keys, and a scripted leader.

python -m mivla_bringup.record.rehearsal --episodes 30 --out build/rehearsal

Three episodes are discarded, one is recorded again, the recorder is killed once in the middle of one, the disk is said
to be full in the middle of another, and the session is resumed. At the end there must be exactly as many good episodes
as were asked for, each with every command that the leader sent, and with joints that followed them.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from mivla_bringup.record.progress import good_episodes
from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.errors import MivlaError
from mivla_drivers.recording.reader import read_demonstration
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.ros import network
from mivla_drivers.ros.conversions import trajectory_message
from mivla_drivers.ros.robot_client import RobotClient
from mivla_drivers.simulation.tasks import DEFAULT_TASK, load_task

PERIOD_S = 0.02  # between two chunks of the leader
AHEAD = np.array([0.02, 0.04, 0.1, 0.2])  # steps of a chunk [s]
POWER = "Enter: the motors get power"
PROMPT = re.compile(r"episode (\d+)/(\d+), scene (\d+) (\w+): .*Enter: start")
TOLERANCE = {"rad": 0.25, "m": 0.03}  # by which joints may be from what was commanded shortly before
MOST_BEHIND_S = 0.5
ENDED_S = 0.6  # what was sent last need not be in the episode
Motion = Callable[[float], np.ndarray]


class RehearsalError(MivlaError):
    """The session did not do what it should."""


class OperatorTerminal:
    """`mivla record` on a terminal of its own, whose output is read and whose keys are pressed here."""

    def __init__(self, words: list[str], log: Path) -> None:
        self._log = log.open("ab")
        self._text = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "mivla_bringup.cli", *words])

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._terminal, key.encode())

    def read(self, seconds: float) -> bool:
        """Read what was printed, for at most so long; False once the command has ended."""
        ready, _, _ = select.select([self._terminal], [], [], seconds)
        if not ready:
            return True
        try:
            found = os.read(self._terminal, 65536)
        except OSError:
            return False
        self._log.write(found)
        self._log.flush()
        self._text += found.decode(errors="replace")
        return bool(found)

    def await_text(self, pattern: str, deadline_s: float, spin: Callable[[], None]) -> re.Match[str]:
        """Wait for a text, which is taken off with all before it.

        Raises:
            RehearsalError: it does not come, or the command ends.
        """
        deadline = time.monotonic() + deadline_s
        while (found := re.search(pattern, self._text)) is None:
            if not self.read(0.02) or time.monotonic() > deadline:
                raise RehearsalError(f"expected {pattern!r}, got {self._text[-600:]!r}")
            spin()
        self._text = self._text[found.end() :]
        return found

    def end(self, deadline_s: float) -> int:
        """The exit code, once the command has ended.

        Raises:
            RehearsalError: it goes on.
        """
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._log.close()
                os.close(self._terminal)
                return os.waitstatus_to_exitcode(status)
        raise RehearsalError(f"expected mivla record to end, got {self._text[-600:]!r}")


class Rehearsal:
    """The scripted operator and leader of one session."""

    def __init__(
        self, contract: RobotContract, words: list[str], domain: int, out: Path, wiggle: bool
    ) -> None:
        """`wiggle`: the leader only waves, in little time; else it does the task."""
        self._contract, self._words, self._out, self._wiggle = contract, words, out, wiggle
        self._client = RobotClient(contract.robot, "rehearsal")
        self._leader = self._client.node.create_publisher(JointTrajectory, "teleop/joint_trajectory", 10)
        self._client.watch.follow_joints(contract)
        self._task = load_task(words[words.index("--task") + 1])
        self.sent: list[tuple[float, np.ndarray]] = []  # stamp [s, system time] and the chunk's steps
        self.terminal: OperatorTerminal | None = None

    def start(self, resume: bool) -> None:
        """Start `mivla record`."""
        words = [*self._words, *(["--resume"] if resume else [])]
        self.terminal = OperatorTerminal(words, self._out.parent / f"{self._out.name}.log")

    def close(self) -> None:
        """Leave the ROS graph."""
        self._client.close()

    def episode(self, key: str, middle: Callable[[], None] | None = None) -> None:
        """Record one and end it with `key`; `middle` is done half way through, and may end it otherwise."""
        terminal, spin = self._terminal, self._spin
        found = terminal.await_text(f"{PROMPT.pattern}|{POWER}", 90.0, spin)
        if (
            found[1] is None
        ):  # the driver took the robot away, and an operator must be there when it gets power again
            terminal.press("\n")
            found = terminal.await_text(PROMPT.pattern, 90.0, spin)
        motion, duration_s = self._motion(int(found[3]), found[4])
        terminal.press("\n")
        terminal.await_text("RECORDING", 15.0, spin)
        self._play(motion, duration_s if middle is None else duration_s / 2)
        if middle is None:
            terminal.press(key)
        else:
            middle()

    def expect(self, pattern: str, deadline_s: float = 20.0) -> None:
        """Wait for what the session says."""
        self._terminal.await_text(pattern, deadline_s, self._spin)

    def judged_good(self) -> bool:
        """Whether the audit agrees with the success; on a machine that is too slow it is recorded again."""
        said = self._terminal.await_text(
            r"success: |NOT USABLE: [^\r]*|no success any more", 20.0, self._spin
        )[0]
        if said.startswith("success"):
            return True
        print(said, flush=True)
        self._terminal.press("r")
        self.expect("again")
        return False

    def fill_the_disk(self) -> None:
        """Let the recorder find less room than it wants."""
        self._client.set_parameters("recorder", least_free_mb=10**9)

    def free_the_disk(self) -> None:
        """Give it back."""
        self._client.set_parameters("recorder", least_free_mb=100)

    def kill_recorder(self) -> None:
        """As a power cut would, but for the files' last half second."""
        needle = str(self._out.resolve())
        for process in Path("/proc").iterdir():
            if process.name.isdecimal() and _is_recorder(process, needle):
                os.kill(int(process.name), signal.SIGKILL)
                return
        raise RehearsalError("expected a recorder to kill, found none")

    def check(self, wanted: int) -> list[str]:
        """Everything that is wrong with the episodes; empty where they are what was shown."""
        found = good_episodes(self._out)
        problems = [] if len(found) == wanted else [f"expected {wanted} good episodes, found {len(found)}"]
        seeds = [description["seed"] for _, description in found]
        if len(set(seeds)) != len(seeds):
            problems.append(f"expected each scene once, found {sorted(seeds)}")
        for folder, _ in found:
            problems += self._check_episode(folder)
        return problems

    def _check_episode(self, folder: Path) -> list[str]:
        """Each command that was sent is there, and joints and images follow it frame by frame."""
        try:
            episode = read_demonstration(folder)
        except MivlaError as error:
            return [str(error)]
        kept = {round(chunk.stamp, 4): chunk.positions for chunk in episode.chunks}
        first, last = min(kept), max(kept)
        sent = [(stamp, steps) for stamp, steps in self.sent if first <= round(stamp, 4) <= last]
        lost = [stamp for stamp, steps in sent if not np.allclose(kept.get(round(stamp, 4), np.inf), steps)]
        problems = [f"{folder.name}: {len(lost)} of {len(sent)} commands lost"] if lost else []
        for view, track in episode.cameras.items():
            times = track.times[(track.times > first + MOST_BEHIND_S) & (track.times < last)]
            limit = np.array([TOLERANCE[unit] for unit in self._contract.units])
            # The robot comes after its commands; by how much depends on the speeds that it is allowed.
            if not len(times):
                problems.append(f"{folder.name}: {view}: expected images while commands came, found none")
                continue
            away = min(
                float((np.abs(episode.joints_at(times) - episode.command_at(times - behind)) / limit).max())
                for behind in np.arange(0.0, MOST_BEHIND_S, 0.02)
            )
            if away > 1.0:
                problems.append(
                    f"{folder.name}: {view}: joints are {away:.1f} times as far from the command as they may be"
                )
        return problems

    @property
    def _terminal(self) -> OperatorTerminal:
        assert self.terminal is not None
        return self.terminal

    def _motion(self, seed: int, mode: str) -> tuple[Motion, float]:
        watch = self._client.watch
        self._client.wait_until(lambda: watch.joints is not None, 10.0, "joint_states")
        assert watch.joints is not None
        begin = watch.joints.copy()
        if self._wiggle:
            shape = np.zeros(len(begin))
            shape[0] = 0.3
            return lambda at: begin + shape * np.sin(2.0 * at), 1.5
        plan = self._task.expert(self._contract).plan(
            self._task.sample_scene(seed, mode), begin, np.random.default_rng([seed, 3])
        )
        return lambda at: plan.at(np.array([at]))[0], plan.duration_s + 0.5

    def _play(self, motion: Motion, duration_s: float) -> None:
        start, stamp0 = time.monotonic(), time.time()
        due = start
        while due < start + duration_s:
            at, stamp = due - start, stamp0 + due - start
            steps = np.array([motion(at + ahead) for ahead in AHEAD])
            chunk = ActionChunk(steps, AHEAD, stamp, "teleop")
            self._leader.publish(trajectory_message(chunk, self._contract))
            self.sent.append((stamp, steps))
            due += PERIOD_S
            while time.monotonic() < due:
                self._spin()
                self._terminal.read(0.0)

    def _spin(self) -> None:
        self._client.spin(0.001)


def _is_recorder(process: Path, needle: str) -> bool:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return any("recorder" in word for word in words) and any(needle in word for word in words)


def rehearse(args: argparse.Namespace) -> list[str]:
    """Run the session; everything that is wrong with what it left."""
    contract = load_contract(args.robot)
    out = args.out.resolve()
    with network.claimed_domain() as domain:
        network.apply(domain)
        words = ["record", "--sim", "--robot", args.robot, "--task", args.task, "--out", str(out)]
        words += ["--episodes", str(args.episodes), "--domain", str(domain), "--images", args.images]
        rehearsal = Rehearsal(contract, words, domain, out, args.wiggle)
        try:
            rehearsal.start(resume=False)
            _perform(rehearsal, args)
        finally:
            rehearsal.close()
        return rehearsal.check(args.episodes)


def _perform(rehearsal: Rehearsal, args: argparse.Namespace) -> None:
    """What the operator does, episode after episode."""
    good = attempt = 0
    killed = full = redone = False
    discards = args.discards
    while good < args.episodes:
        attempt += 1
        if discards and attempt % 3 == 2:
            rehearsal.episode("d")
            rehearsal.expect("discarded")
            discards -= 1
        elif args.redo and not redone and attempt % 3 == 0:
            rehearsal.episode("r")
            rehearsal.expect("again")
            redone = True
        elif args.full and not full and good >= args.episodes // 2:
            rehearsal.episode("", rehearsal.fill_the_disk)
            rehearsal.expect("the disk is full", 30.0)
            rehearsal.free_the_disk()
            rehearsal._terminal.press("d")
            rehearsal.expect("discarded")
            full = True
        elif args.kill and not killed and good >= args.episodes // 2:
            rehearsal.episode("", rehearsal.kill_recorder)
            rehearsal._terminal.end(60.0)
            rehearsal.start(resume=True)
            killed = True
        else:
            rehearsal.episode("s")
            good += rehearsal.judged_good()
            print(f"{good}/{args.episodes}", flush=True)
    code = rehearsal._terminal.end(60.0)
    if code:
        raise RehearsalError(f"mivla record: expected exit code 0, got {code}")


def main(words: list[str]) -> int:
    """0 where the session left what it should."""
    parser = argparse.ArgumentParser(prog="rehearsal", description=__doc__)
    parser.add_argument("--robot", default=DEFAULT_ROBOT)
    parser.add_argument("--task", default=DEFAULT_TASK)
    parser.add_argument("--episodes", type=int, default=30)
    parser.add_argument("--discards", type=int, default=3)
    parser.add_argument("--redo", type=int, default=1)
    parser.add_argument("--kill", type=int, default=1)
    parser.add_argument("--full", type=int, default=1)
    parser.add_argument("--wiggle", action="store_true", help="the leader waves instead of doing the task")
    parser.add_argument("--images", default="jpeg", help="as of mivla record")
    parser.add_argument("--out", type=Path, required=True)
    problems = rehearse(parser.parse_args(words))
    print("\n".join(problems) or "all as it should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
