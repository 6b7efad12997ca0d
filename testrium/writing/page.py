"""The writer of the HTML page: it asks the folders of groups for what the result does not hold."""

from __future__ import annotations

from testrium.details import details_of
from testrium.model import RunResult
from testrium.report import html
from testrium.report.writer import Report


class PageWriter(Report):
    """Writes the page."""

    def render(self, result: RunResult) -> str:
        """The report of a run as an HTML document."""
        return html.render(result, cwd=self.cwd, details=details_of)
