"""`mivla expert`: a lockstep trial, its video and its picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mivla_bringup import cli
from mivla_bringup.trials.contact_sheet import COLUMNS, GAP_PX, contact_sheet
from mivla_bringup.trials.video import VideoFrame, captioned


def test_the_expert_does_its_task_and_is_filmed(tmp_path, capsys):
    assert cli.main(["expert", "--seed", "4000", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "✓ grasped  ✓ lifted  ✓ over the pad  ✓ placed  success" in printed
    video = cv2.VideoCapture(str(tmp_path / "expert_000_seed_4000_easy_success.webm"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) > 20
    assert cv2.imread(str(tmp_path / "expert_000_seed_4000_easy_success.png")).shape[2] == 3
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert cli.main(["expert", "--seed", "4000", "--out", str(tmp_path)]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("moments", "rows"), [(1, 1), (5, 2), (100, 4)])
def test_a_contact_sheet_begins_with_the_first_moment_and_has_at_most_12(moments, rows):
    images = [np.full((8, 8, 3), 2 * i, np.uint8) for i in range(moments)]
    film = [VideoFrame((image,), f"moment {i}") for i, image in enumerate(images)]
    frame = captioned(film[0])
    sheet = contact_sheet(film)
    assert sheet.shape == (rows * (frame.shape[0] + GAP_PX), COLUMNS * (frame.shape[1] + GAP_PX), 3)
    assert (sheet[: frame.shape[0], : frame.shape[1]] == frame).all()


def test_a_wrong_number_of_trials_is_refused(capsys):
    with pytest.raises(SystemExit):
        cli.main(["expert", "--trials", "0"])
    assert "expected a whole number above 0" in capsys.readouterr().err
