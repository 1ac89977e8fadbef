"""Folders of episodes: looked over, checked, trimmed, merged, deleted; nothing is lost by a damaged one."""

import json
import shutil

import numpy as np
import pytest
from moving_episodes import ASKED, CONTRACT, START, swing, write_episode

from mivla_bringup.cli import main
from mivla_drivers.contract import parse_contract
from mivla_drivers.dataset.check import check
from mivla_drivers.dataset.edit import idle_cut, merge, trim
from mivla_drivers.dataset.episodes import episode_folders
from mivla_drivers.dataset.outliers import outliers
from mivla_drivers.dataset.summary import moving_span, summarise
from mivla_drivers.errors import ContractError, DataError
from mivla_drivers.recording.layout import mcap_path
from mivla_drivers.recording.reader import read_episode


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two episodes, written once."""
    root = tmp_path_factory.mktemp("recorded")
    for i in range(2):
        write_episode(root / f"swing-{i}", started=START + 100 * i)
    return root


@pytest.fixture
def data(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / "data")


def problems(root):
    return {finding.folder.name: finding.problems for finding in check(episode_folders(root))}


def another_robot():
    text = CONTRACT.text.replace("upper: 2.6179,", "upper: 2.5,")
    return parse_contract(text, CONTRACT.urdf, where="another")


def test_a_summary_tells_rates_motion_and_rest(recorded):
    one = summarise(read_episode(recorded / "swing-0"))
    assert one.rates_hz == pytest.approx({"joints": 100.0, "front": 10.0, "left_wrist": 10.0}, rel=0.01)
    assert one.idle_begin_s == pytest.approx(1.1, abs=0.2)
    assert one.idle_end_s == pytest.approx(0.9, abs=0.2)
    assert one.path_rad == pytest.approx(1.2, rel=0.02)
    assert 0.4 < one.still_share < 0.6


def test_jerk_is_that_of_the_motion_and_not_of_the_encoders_noise(tmp_path):
    smooth = summarise(read_episode(write_episode(tmp_path / "smooth")))
    noise = np.random.default_rng(0)
    noisy = write_episode(tmp_path / "noisy", pose=lambda t: swing(t) + noise.normal(0, 2e-4, CONTRACT.size))
    # 0.3 rad (1 - cos(pi t)) for 2 of 4 s has a jerk of 0.3 pi^3 / sqrt(2) while it moves, in one of six joints.
    expected = 0.3 * np.pi**3 / np.sqrt(2) / np.sqrt(2) / np.sqrt(6)
    assert smooth.jerk == pytest.approx(expected, rel=0.35)
    assert summarise(read_episode(noisy)).jerk == pytest.approx(smooth.jerk, rel=0.35)


def test_the_one_episode_unlike_the_others_is_flagged(recorded, tmp_path):
    usual = [summarise(read_episode(recorded / f"swing-{i % 2}")) for i in range(8)]
    long = summarise(read_episode(write_episode(tmp_path / "long", seconds=9.0)))
    flagged = outliers([*usual, long])
    assert not any(flagged[:-1])
    assert any(word.startswith("length 2.3 x") for word in flagged[-1])


def test_few_episodes_have_no_outliers(recorded, tmp_path):
    long = summarise(read_episode(write_episode(tmp_path / "long", seconds=6.0)))
    usual = summarise(read_episode(recorded / "swing-0"))
    assert outliers([usual, usual, long]) == [(), (), ()]


def test_good_episodes_have_no_problem(recorded):
    assert problems(recorded) == {"swing-0": (), "swing-1": ()}


def test_a_flipped_bit_is_found_and_the_other_episode_is_still_good(data):
    path = mcap_path(data / "swing-0")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    path.write_bytes(damaged)
    found = problems(data)
    assert "broken near byte" in found["swing-0"][0]
    assert found["swing-1"] == ()
    assert main(["dataset", "check", str(data)]) == 1


def test_a_file_cut_short_is_named_by_list_which_shows_the_others(data, capsys):
    path = mcap_path(data / "swing-0")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(["dataset", "list", str(data)]) == 1
    said = capsys.readouterr().out
    assert "1 of 2 episodes readable" in said
    assert "problem: " in said
    assert "swing-0" in said


def test_an_episode_of_another_robot_is_a_problem(data):
    write_episode(data / "swing-2", contract=another_robot(), started=START + 300)
    assert "limits" in problems(data)["swing-2"][0]


def test_the_same_recording_twice_is_a_problem(data):
    shutil.copytree(data / "swing-0", data / "swing-9")
    mcap_path(data / "swing-9").with_name("swing-0_0.mcap").rename(mcap_path(data / "swing-9"))
    assert problems(data)["swing-9"] == ("the same recording as swing-0",)


def test_an_episode_without_a_message_is_named(data):
    write_episode(data / "swing-2", seconds=0.0, started=START + 300)
    assert "expected messages, found none" in problems(data)["swing-2"][0]


def test_a_picture_that_is_none_is_counted(data):
    shown = iter(range(1000))

    def sometimes(time, width, height):
        size = (height, width) if next(shown) % 10 else (height, width // 2)
        return np.full((*size, 3), 90, dtype=np.uint8)

    write_episode(data / "swing-2", shown=sometimes, started=START + 300)
    assert any("pixels" in problem for problem in problems(data)["swing-2"])


def test_an_empty_folder_is_refused(tmp_path):
    assert main(["dataset", "list", str(tmp_path)]) == 2


def test_trimming_cuts_idle_ends_and_keeps_every_message_between(recorded, tmp_path):
    whole = read_episode(recorded / "swing-0")
    begin, end = idle_cut(whole, margin_s=0.3)
    trim(whole.folder, tmp_path / "trimmed", begin, end)
    cut = read_episode(tmp_path / "trimmed")
    kept = (whole.joint_times >= begin) & (whole.joint_times <= end)
    assert np.array_equal(cut.joint_times, whole.joint_times[kept])
    assert np.array_equal(cut.joint_positions, whole.joint_positions[kept])
    assert (cut.task, cut.instruction, cut.success) == ("swing", ASKED, True)
    at = np.linspace(begin, end, 50)
    assert np.allclose(cut.command_at(at), whole.command_at(at))
    one = summarise(cut)
    assert one.idle_begin_s == pytest.approx(0.3, abs=0.11)
    assert one.length_s < summarise(whole).length_s - 1.0


def test_messages_that_were_lost_are_not_forgotten_by_trimming(data, tmp_path):
    description = json.loads((data / "swing-0" / "episode.json").read_text())
    joints = next(name for name in description["topics"] if name.endswith("joint_states"))
    description["topics"][joints]["dropped"] = 7
    description["note"] = "the gripper slipped"
    (data / "swing-0" / "episode.json").write_text(json.dumps(description))
    trim(data / "swing-0", tmp_path / "trimmed", *idle_cut(read_episode(data / "swing-0"), 0.3))
    found = json.loads((tmp_path / "trimmed" / "episode.json").read_text())
    assert found["topics"][joints]["dropped"] == 7
    assert found["note"] == "the gripper slipped"


def test_a_trimmed_episode_is_itself_a_whole_one_that_needs_no_more_trimming(data, capsys):
    assert main(["dataset", "trim", str(data), "--yes"]) == 0
    assert problems(data) == {"swing-0": (), "swing-1": ()}
    assert sorted(path.name for path in data.iterdir()) == ["swing-0", "swing-1"]
    capsys.readouterr()
    assert main(["dataset", "trim", str(data), "--yes"]) == 0
    assert capsys.readouterr().out.count("nothing to cut off") == 2


def test_trimming_into_a_new_folder_leaves_the_old_one_as_it_is(data, tmp_path):
    before = mcap_path(data / "swing-0").read_bytes()
    assert main(["dataset", "trim", str(data), "--out", str(tmp_path / "new")]) == 0
    assert mcap_path(data / "swing-0").read_bytes() == before
    assert problems(tmp_path / "new") == {"swing-0": (), "swing-1": ()}


def test_an_episode_in_which_nothing_moves_is_not_trimmed_away(data, capsys):
    write_episode(data / "swing-2", pose=lambda t: CONTRACT.home, started=START + 300)
    assert moving_span(read_episode(data / "swing-2"))[0] == pytest.approx(START + 303.9, abs=0.1)
    assert main(["dataset", "trim", str(data), "--yes"]) == 1
    assert "expected at least 1.0 s of motion" in capsys.readouterr().out
    assert read_episode(data / "swing-2").joint_times.size == 400


def test_merging_copies_all_episodes(recorded, tmp_path):
    other = write_episode(tmp_path / "other" / "swing-7", started=START + 700).parent
    assert main(["dataset", "merge", str(recorded), str(other), "--out", str(tmp_path / "all")]) == 0
    assert problems(tmp_path / "all") == {"swing-0": (), "swing-1": (), "swing-7": ()}


def test_folders_of_different_robots_are_not_merged(recorded, tmp_path):
    other = write_episode(tmp_path / "other" / "swing-7", contract=another_robot()).parent
    with pytest.raises(ContractError, match=r"swing-7: upper limits: expected .* one robot"):
        merge([recorded, other], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_two_episodes_of_one_name_are_not_merged(recorded, tmp_path):
    with pytest.raises(DataError, match="more than once"):
        merge([recorded, recorded], tmp_path / "all")


def test_deleting_asks_and_without_an_answer_keeps_everything(data, monkeypatch):
    def nobody(question):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert main(["dataset", "delete", str(data), "swing-0"]) == 1
    assert len(episode_folders(data)) == 2
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert main(["dataset", "delete", str(data), "swing-0"]) == 0
    assert [path.name for path in data.iterdir()] == ["swing-1"]


def test_deleting_an_unknown_episode_deletes_none(data):
    assert main(["dataset", "delete", str(data), "swing-0", "swing-5", "--yes"]) == 2
    assert len(episode_folders(data)) == 2


def test_a_picture_and_a_video_show_each_episode(data, tmp_path):
    (mcap_path(data / "swing-1")).unlink()
    assert main(["dataset", "show", str(data), "--out", str(tmp_path / "shown")]) == 1
    assert sorted(path.name for path in (tmp_path / "shown").iterdir()) == ["swing-0.png", "swing-0.webm"]
    assert (tmp_path / "shown" / "swing-0.webm").stat().st_size > 1000


def test_a_clock_that_went_back_is_named(data):
    description = json.loads((data / "swing-0" / "episode.json").read_text())
    description["unusable"] = ["the clock was set by -3.000 s, 1.0 s after the start"]
    (data / "swing-0" / "episode.json").write_text(json.dumps(description))
    assert "clock was set" in problems(data)["swing-0"][0]


def test_images_are_stored_as_a_video_where_the_episodes_lie(data, capsys):
    assert main(["dataset", "compress", str(data), "--codec", "h264", "--quality", "25", "--yes"]) == 0
    told = capsys.readouterr().out
    assert all(
        f"{name}: " in told and "dB of the images as they came" in told for name in ("swing-0", "swing-1")
    )
    assert problems(data) == {"swing-0": (), "swing-1": ()}
    assert main(["dataset", "compress", str(data), "--yes"]) == 0
    assert "swing-0: is a video already" in capsys.readouterr().out
