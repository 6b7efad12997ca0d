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
