"""Files that are replaced: reports, archives, what a run stores."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from testrium.errors import InfraError
from testrium.system import files
from testrium.system.files import open_new, replacing, write_text


def test_a_link_in_the_place_of_the_unfinished_file_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if somebody could foresee its name."""
    monkeypatch.setattr(os, "urandom", lambda size: b"\0" * size)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".report.html.00000000.part").symlink_to(victim)
    with pytest.raises(InfraError, match=r"cannot write .*report\.html: File exists"):
        write_text(tmp_path / "report.html", "page")
    assert victim.read_text() == "precious"


def test_nothing_unfinished_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "report.html", "one")
    write_text(tmp_path / "report.html", "two", among_units=True)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "two"
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o600


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(tmp_path / "link", "page")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "page"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """As a device would be; no test touches a real one, which it could replace."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "page")
    assert os.read(reader, 10) == b"page"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_private_file_takes_the_place_of_what_a_unit_has_put_there(tmp_path: Path) -> None:
    """Neither is a link followed, nor is anybody waited for who might read a pipe."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        write_text(tmp_path / name, "page", among_units=True)
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == "page"
    assert (tmp_path / "precious").read_text() == "precious"


def test_every_file_is_its_owners(tmp_path: Path) -> None:
    """Also under a umask that lets everybody read."""
    before = os.umask(0)
    try:
        write_text(tmp_path / "report.html", "page")
        open_new(tmp_path / "stream").close()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_link_of_another_user_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_OURS", (os.geteuid() + 1,))
    (tmp_path / "precious").write_text("precious")
    for name in ("report.html", "events"):
        (tmp_path / name).symlink_to(tmp_path / "precious")
    write_text(tmp_path / "report.html", "page")
    open_new(tmp_path / "events").close()
    assert not (tmp_path / "report.html").is_symlink()
    assert not (tmp_path / "events").is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"


def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    with pytest.raises(InfraError, match=r"cannot write .*one: Too many levels of symbolic links"):
        write_text(tmp_path / "one", "page")


def fail_half_way(file: BinaryIO) -> None:
    file.write(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "report.html", "old")
    with (
        pytest.raises(InfraError, match=r"No space left"),
        replacing(tmp_path / "report.html") as file,
    ):
        fail_half_way(file)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "old"


def test_a_stream_is_read_while_it_is_written(tmp_path: Path) -> None:
    with open_new(tmp_path / "events") as file:
        file.write(b"one\n")
        assert (tmp_path / "events").read_text() == "one\n"
