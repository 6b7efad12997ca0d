from __future__ import annotations

from pathlib import Path

from testrium.run.folder import RunFolder, last_lines


def test_the_folders_are_private(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run" / "group")
    folder.create(("host",))
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.unit("host").stat().st_mode & 0o777 == 0o700


def test_each_start_has_a_probe_file_of_its_own(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.probes("host", 1) != folder.probes("host", 2)


def test_last_lines_of_a_short_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo \xff\nthree")
    assert last_lines(log, 2) == ("two \\xff", "three")


def test_a_line_that_is_cut_by_the_limit_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * 100 + "\nwhole\n")
    assert last_lines(log, limit=20) == ("whole",)


def test_no_log_has_no_lines(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none") == ()
