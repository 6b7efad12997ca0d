"""The HTML report: one file that needs nothing else and loads nothing.

It can be read without its script, which only chooses: the way of a key, lines of logs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from testrium.model import BAD_VERDICTS, GroupResult, RunResult
from testrium.model.detail import Detail
from testrium.report import wording
from testrium.report.diagram import LAYOUT, sequence_diagram, story_of
from testrium.report.escape import log_line, visible
from testrium.report.marks import marks_for
from testrium.report.page import MOST_STEPS, GroupPage, page_of
from testrium.report.view import as_stored
from testrium.resources import template_folder

if TYPE_CHECKING:
    from jinja2 import Environment

#: Gives what is known of a result besides itself.
Details = Callable[[GroupResult], Detail]


def render(result: RunResult, *, cwd: Path, details: Details | None = None) -> str:
    """The report of a run as an HTML document; without `details` only what the result holds."""
    environment = make_environment()
    started = datetime.fromtimestamp(result.started_wall, UTC)
    return environment.get_template("report.html.j2").render(
        run=result,
        groups=_pages(result, details or (lambda _: Detail()), cwd),
        errors=[str(problem) for problem in result.errors],
        totals=wording.totals(result.groups, as_stored(result.duration_s)),
        started=f"{started:%Y-%m-%d %H:%M:%S} UTC",
        open_verdicts=BAD_VERDICTS,
        layout=LAYOUT,
        sequence_diagram=sequence_diagram,
        story_of=story_of,
    )


def make_environment() -> Environment:
    """Templates that escape what they are given, with our style, our script and their hashes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from jinja2.utils import htmlsafe_json_dumps
    from markupsafe import Markup

    folder = template_folder() / "report"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters.update(
        duration=wording.duration,
        milliseconds=wording.milliseconds,
        megabytes=wording.megabytes,
        plural=wording.plural,
        log_line=log_line,
        as_data=htmlsafe_json_dumps,
    )
    styles, script = (
        (folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js")
    )
    environment.globals.update(
        marks=marks_for("utf-8").verdicts,
        # Our own files, and the only ones that the policy lets through: their hashes say so.
        styles=Markup(styles),  # noqa: S704
        styles_hash=_hash(styles),
        script=Markup(script),  # noqa: S704
        script_hash=_hash(script),
    )
    return environment


def _pages(result: RunResult, details: Details, cwd: Path) -> list[GroupPage]:
    """The groups in their order; what did not pass gets room on the page first."""
    room = MOST_STEPS
    pages: dict[int, GroupPage] = {}
    numbers = sorted(
        range(len(result.groups)),
        key=lambda number: result.groups[number].verdict not in BAD_VERDICTS,
    )
    for number in numbers:
        group = result.groups[number]
        pages[number] = page = page_of(group, details(group), cwd=cwd, room=max(0, room))
        room -= sum(len(way.steps) for way in page.ways.shown)
    return [pages[number] for number in range(len(result.groups))]


def _shown(value: object) -> object:
    """What cannot be seen is written out in every text; then jinja2 escapes the markup."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else visible(value)


def _hash(text: str) -> str:
    """A source expression of the Content Security Policy (level 2, hash source)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
