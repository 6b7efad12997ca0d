"""`summary.txt`: what a person needs to know about one group, in its run folder."""

from __future__ import annotations

from pathlib import Path

from testrium.model import GroupResult
from testrium.report import blocks
from testrium.report.files import write_text
from testrium.report.marks import marks_for
from testrium.report.view import view_group

FILE = "summary.txt"


def render(result: GroupResult, *, cwd: Path) -> str:
    """The group's block as on the console, with the figures of its circuits, units and tests."""
    lines = blocks.group_block(view_group(result, cwd=cwd), marks_for("utf-8"), figures=True)
    return "".join(f"{line.text}\n" for line in lines)


def write_summary(result: GroupResult, path: Path, *, cwd: Path) -> None:
    """Write the summary. Raises InfraError where that fails."""
    text = render(result, cwd=cwd)
    # A log line may hold what UTF-8 cannot; it is escaped already, names of folders may not be.
    write_text(path, text.encode("utf-8", "backslashreplace").decode(), private=True)
