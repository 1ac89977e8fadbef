"""Folders of results: named by date, never shared by two runs, never written over."""

from __future__ import annotations

import os

import pytest

from mivla_bringup.run_folder import (
    RunFolderError,
    claimed_folder,
    dated_folder,
    read_json,
    refuse_results,
    require_same_settings,
    write_json,
)


def test_two_runs_of_the_same_second_get_two_folders(tmp_path):
    first = dated_folder(tmp_path, now=1.0)
    first.mkdir()
    assert dated_folder(tmp_path, now=1.0) == first.with_name(f"{first.name}_2")


def test_a_folder_with_other_files_is_no_folder_with_results(tmp_path):
    (tmp_path / "notes.txt").touch()
    refuse_results(tmp_path, ("*.csv",), "")
    refuse_results(tmp_path / "none", ("*.csv",), "")


def test_every_setting_that_differs_is_named(tmp_path):
    with pytest.raises(RunFolderError, match="mode easy, not hard; seed 1, not 2"):
        require_same_settings(
            tmp_path, {"mode": "easy", "seed": 1, "n": 3}, {"mode": "hard", "seed": 2, "n": 3}
        )


def test_what_is_not_given_differs_from_nothing(tmp_path):
    require_same_settings(tmp_path, {"mode": "easy"}, {"mode": None})


def test_one_folder_has_one_run_at_a_time(tmp_path):
    with (
        claimed_folder(tmp_path / "a"),
        pytest.raises(RunFolderError, match="another run is writing there"),
        claimed_folder(tmp_path / "a"),
    ):
        pass
    with claimed_folder(tmp_path / "a"):
        pass


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "a").touch()
    with (
        pytest.raises(RunFolderError, match="expected a folder, or to make one"),
        claimed_folder(tmp_path / "a"),
    ):
        pass


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(RunFolderError, match="expected a folder"), claimed_folder(tmp_path):
        pass


def test_a_document_is_whole_or_the_old_one(tmp_path):
    write_json(tmp_path / "a.json", {"n": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"n": object()})
    assert read_json(tmp_path / "a.json") == {"n": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_document_that_does_not_read_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(RunFolderError, match="expected"):
        read_json(tmp_path / "a.json")
