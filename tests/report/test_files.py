"""Files that reports are written to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from testrium.errors import InfraError
from testrium.report.files import write_text


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
    write_text(tmp_path / "report.html", "two", private=True)
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
        write_text(tmp_path / name, "page", private=True)
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == "page"
    assert (tmp_path / "precious").read_text() == "precious"
