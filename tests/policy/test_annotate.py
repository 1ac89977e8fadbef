"""Whole data sets get the other embodiment's actions: one shard a file, resumed, the same on every engine."""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_files import write_egodex, write_robotwin
from mutual_data import brightness_tokens, letter_tokens, tiny_config

from mivla_bringup.commands import annotate as command
from mivla_drivers.contract import load_contract
from mivla_drivers.errors import DataError
from mivla_policy.data import annotation
from mivla_policy.data.annotate import Workers, annotate_all
from mivla_policy.data.annotation import (
    Annotation,
    Demonstrations,
    annotated,
    fingerprint,
    read_shard,
    write_shard,
)
from mivla_policy.data.annotation_cost import EGODEX_HOURS, Cost
from mivla_policy.data.encode_mutual import annotated_tracks
from mivla_policy.data.imitation import ImitatingArm, annotate
from mivla_policy.data.mutual_frames import MutualFrames, encode_tracks

PROCESSES = Workers(engine="processes")


@pytest.fixture
def egodex(tmp_path):
    """Two demonstrations and a file that is none."""
    folder = tmp_path / "egodex"
    for number in range(2):
        write_egodex(folder, steps=8, number=number, seed=number)
    (folder / "part1" / "fold_towel" / "2.hdf5").write_bytes(b"torn off")
    return Demonstrations("egodex", folder)


def run(demonstrations, shards, workers=PROCESSES):
    *_, (summary, _) = annotate_all(demonstrations, shards, workers)
    return summary


def shards_in(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


class TestAnnotate:
    def test_each_file_gets_one_shard_and_a_broken_one_is_named(self, egodex, tmp_path):
        summary = run(egodex, tmp_path / "shards")
        assert shards_in(tmp_path / "shards") == [
            "part1/fold_towel/0.hdf5.npz",
            "part1/fold_towel/1.hdf5.npz",
        ]
        assert (summary.written, summary.kept, summary.frames) == (2, 0, 16)
        assert [Path(path).name for path in summary.skipped] == ["2.hdf5"]

    def test_a_second_run_makes_only_what_is_missing_or_torn(self, egodex, tmp_path):
        shards = tmp_path / "shards"
        run(egodex, shards)
        first, second = (shards / "part1" / "fold_towel" / f"{number}.hdf5.npz" for number in range(2))
        untouched, content = first.stat().st_mtime_ns, second.read_bytes()
        second.write_bytes(content[: len(content) // 2])
        summary = run(egodex, shards)
        assert (summary.kept, summary.written) == (1, 1)
        assert first.stat().st_mtime_ns == untouched
        assert read_shard(second).known.any()

    def test_another_robot_or_file_makes_the_shard_anew(self, egodex, tmp_path):
        run(egodex, tmp_path / "shards")
        write_egodex(egodex.folder, steps=9, number=0)
        assert run(egodex, tmp_path / "shards").written == 1

    def test_what_is_read_back_is_what_imitation_gives(self, egodex, tmp_path):
        run(egodex, tmp_path / "shards")
        arm = ImitatingArm(load_contract("piper"))
        for track, plain in zip(annotated(egodex, tmp_path / "shards"), egodex.reader(), strict=True):
            both = annotate(plain, arm)
            assert (track.mask == both.mask).all()
            assert track.targets == pytest.approx(both.targets, abs=1e-5)

    def test_robots_are_imitated_with_the_same_command(self, tmp_path):
        write_robotwin(tmp_path / "robotwin")
        words = ["robotwin", str(tmp_path / "robotwin"), "--engine", "processes", "--workers", "1"]
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        assert command.run(parser.parse_args([*words, "--out", str(tmp_path / "shards")])) == 0
        (track,) = annotated(Demonstrations("robotwin", tmp_path / "robotwin"), tmp_path / "shards")
        assert track.mask.all()

    def test_a_demonstration_without_a_shard_is_skipped_by_name(self, egodex, tmp_path, caplog):
        run(egodex, tmp_path / "shards")
        (tmp_path / "shards" / "part1" / "fold_towel" / "0.hdf5.npz").unlink()
        assert len(list(annotated(egodex, tmp_path / "shards"))) == 1
        assert "expected a whole annotation shard" in caplog.text

    def test_annotated_data_sets_become_frames_of_both_embodiments(self, egodex, tmp_path):
        write_robotwin(tmp_path / "robotwin")
        data = [
            ("egodex", egodex.folder, tmp_path / "e"),
            ("robotwin", tmp_path / "robotwin", tmp_path / "r"),
        ]
        for kind, folder, shards in data:
            run(Demonstrations(kind, folder), shards)
        tracks = annotated_tracks(data, "piper")
        encode_tracks(tracks, tiny_config(), brightness_tokens, letter_tokens, tmp_path / "frames")
        frames = MutualFrames.load(tmp_path / "frames")
        assert frames.demonstrations == 3
        assert frames.source.tolist() == [1] * 14 + [0] * 5

    @pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="requirements/annotate.txt")
    def test_ray_gives_the_same_shards_and_listens_on_loopback_only(self, egodex, tmp_path):
        run(egodex, tmp_path / "alone")
        done = subprocess.run(
            [sys.executable, "-c", RAY_SCRIPT, str(egodex.folder), str(tmp_path / "ray")],
            capture_output=True,
            text=True,
            timeout=110,
            env={**os.environ, "RAY_worker_niceness": "0"},  # or others' work would keep its workers waiting
        )
        assert done.returncode == 0, done.stderr[-3000:]
        written, *addresses = done.stdout.splitlines()[-1].split()
        assert written == "2"
        assert set(addresses) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
        assert len(addresses) > 0
        assert shards_in(tmp_path / "ray") == shards_in(tmp_path / "alone")
        for shard in shards_in(tmp_path / "ray"):
            one, other = read_shard(tmp_path / "ray" / shard), read_shard(tmp_path / "alone" / shard)
            assert (one.values == other.values).all()


RAY_SCRIPT = """
import sys
from pathlib import Path
import psutil
from mivla_policy.data import annotation
from mivla_policy.data.annotate import Workers, annotate_all
from mivla_policy.data.annotation import Demonstrations

heard = set()
for summary, _ in annotate_all(Demonstrations("egodex", Path(sys.argv[1])), Path(sys.argv[2]), Workers()):
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            heard |= {c.laddr.ip for c in process.net_connections("inet")}
        except psutil.NoSuchProcess:
            continue  # it ended between the two calls
print(summary.written, *heard)
"""


class TestShards:
    def test_only_imitated_slots_are_stored(self, tmp_path):
        known = np.zeros((5, 76), dtype=bool)
        known[:, 48:55] = True
        known[2, 50] = False
        values = np.where(known, np.arange(76.0), 0.0)
        write_shard(tmp_path / "a.npz", Annotation(values, known), "test")
        read = read_shard(tmp_path / "a.npz", "test")
        assert (read.known == known).all()
        assert read.values == pytest.approx(values)
        with np.load(tmp_path / "a.npz") as stored:
            assert stored["values"].shape == (5, 7)

    def test_a_shard_made_from_something_else_is_refused(self, tmp_path):
        write_shard(tmp_path / "a.npz", Annotation(np.zeros((2, 76)), np.zeros((2, 76), bool)), "this")
        with pytest.raises(DataError, match="made from that, found this"):
            read_shard(tmp_path / "a.npz", "that")

    def test_a_file_and_a_robot_make_the_fingerprint(self, egodex):
        path = egodex.reader().paths[0]
        assert '"robot": "piper"' in fingerprint(path, load_contract("piper"))

    def test_an_annotation_of_an_older_way_to_imitate_is_made_again(self, egodex, tmp_path, monkeypatch):
        shards = tmp_path / "shards"
        run(egodex, shards)
        monkeypatch.setattr(annotation, "IMITATION_VERSION", annotation.IMITATION_VERSION + 1)
        assert run(egodex, shards).written == len(shards_in(shards))

    def test_an_annotation_of_another_length_is_refused(self, egodex):
        track = next(iter(egodex.reader()))
        with pytest.raises(DataError, match="expected an annotation of 8 frames, found 2"):
            Annotation(np.zeros((2, 76)), np.zeros((2, 76), bool)).added_to(track)


class TestCommand:
    def test_skipped_files_are_all_listed_and_the_first_are_named(
        self, egodex, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.setattr(command, "MOST_REASONS", 1)
        torn = [egodex.folder / "part1" / "fold_towel" / f"{number}.hdf5" for number in (2, 3)]
        torn[1].write_bytes(b"torn off, too")
        words = ["egodex", str(egodex.folder), "--out", str(tmp_path / "shards")]
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        args = parser.parse_args([*words, "--engine", "processes", "--workers", "1"])
        assert command.run(args) == 1
        said = capsys.readouterr().err
        assert f"{torn[0]}: " in said
        assert "and 1 more" in said
        listed = tmp_path / "shards" / "skipped.txt"
        assert f"{listed}: every file that was skipped" in said
        assert [line.split(": ")[0] for line in listed.read_text().splitlines()] == [*map(str, torn)]
        for path in torn:
            path.unlink()
        assert command.run(args) == 0
        assert not listed.exists()

    def test_the_estimate_scales_what_was_measured(self, egodex, capsys):
        cost = Cost(frames=3000, seconds=30.0, shard_bytes=300_000, measured_on="test")
        assert cost.core_hours() == pytest.approx(EGODEX_HOURS * 30 / 100)
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        assert command.run(parser.parse_args(["egodex", str(egodex.folder), "--estimate"])) == 0
        assert "829 h of EgoDex at 30 Hz" in capsys.readouterr().out

    def test_without_ray_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(DataError, match=r"requirements/annotate\.txt, or choose --engine processes"):
            Workers()
