"""The HTML report: one file that needs nothing else, runs no script and loads nothing."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path

from testrium.model import RunResult, Verdict
from testrium.report import wording
from testrium.report.diagram import sequence_diagram, timeline
from testrium.report.escape import log_line, visible
from testrium.report.marks import marks_for
from testrium.report.view import as_stored, view_group
from testrium.report.writer import Report
from testrium.resources import template_folder

_TEMPLATE = "report.html.j2"
_STYLES = "report.css"


class HtmlWriter(Report):
    """Writes the page."""

    def render(self, result: RunResult) -> str:
        """The report of a run as an HTML document."""
        return render(result, cwd=self.cwd)


def render(result: RunResult, *, cwd: Path) -> str:
    """The report of a run as an HTML document."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = template_folder() / "report"
    styles = (folder / _STYLES).read_text(encoding="utf-8")
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
        log_line=log_line,
    )
    started = datetime.fromtimestamp(result.started_wall, UTC)
    return environment.get_template(_TEMPLATE).render(
        run=result,
        groups=[view_group(group, cwd=cwd) for group in result.groups],
        errors=[str(problem) for problem in result.errors],
        totals=wording.totals(result.groups, as_stored(result.duration_s)),
        started=f"{started:%Y-%m-%d %H:%M:%S} UTC",
        marks=marks_for("utf-8").verdicts,
        open_verdicts=(Verdict.FAIL, Verdict.ERROR, Verdict.UNKNOWN),
        # Our own file, and the only thing the policy lets through: its hash says so.
        styles=Markup(styles),  # noqa: S704
        styles_hash=_hash(styles),
        sequence_diagram=sequence_diagram,
        timeline=timeline,
    )


def _shown(value: object) -> object:
    """What cannot be seen is written out in every text; then jinja2 escapes the markup."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else visible(value)


def _hash(text: str) -> str:
    """A source expression of the Content Security Policy (level 2, hash source)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
