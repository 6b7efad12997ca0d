"""The HTML page as it is written to a file."""

from __future__ import annotations

from pathlib import Path

from testrium.errors import ExitCode, Problem
from testrium.report.html import PageWriter
from testrium.results import RunResult
from testrium.words import Verdict


def test_it_is_written_as_utf_8(tmp_path: Path) -> None:
    problem = Problem("config.toml", 4, "größe", "unknown key")
    result = RunResult("", Verdict.ERROR, ExitCode.CONFIG_ERROR, 0.0, errors=(problem,))
    PageWriter("out/report.html", tmp_path).run_ended(result)

    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>\n")
    assert "config.toml:4: größe: unknown key" in text
