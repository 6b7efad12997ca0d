"""The report in the Test Anything Protocol, version 14: a test point per result.

Source: https://testanything.org/tap-version-14-specification.html
"""

from __future__ import annotations

from collections.abc import Iterator

from testrium import phrases
from testrium.report import group_text, wording
from testrium.report.escape import json_text, tap_text, visible
from testrium.report.lines import symbols_for
from testrium.report.view import view_group
from testrium.report.writer import Report
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict


class TapWriter(Report):
    """What is skipped is `# SKIP`, an expected failure is `# TODO`; the rest of what did not pass
    is `not ok` and explained in a YAML block."""

    def render(self, result: RunResult) -> str:
        """The report of a run."""
        lines = ["TAP version 14", f"1..{len(result.groups)}"]
        for number, group in enumerate(result.groups, 1):
            lines += self._point(number, group)
        if result.errors:
            first, *more = result.errors
            also = f" (and {phrases.plural(len(more), 'further problem')})" if more else ""
            lines.append(f"Bail out! {visible(str(first))}{also}")
        return "\n".join(lines) + "\n"

    def _point(self, number: int, group: GroupResult) -> Iterator[str]:
        failed = group.verdict not in (Verdict.PASS, Verdict.SKIP)
        text = (
            f"{'not ok' if failed else 'ok'} {number} - {tap_text(wording.label(group.scenario))}"
        )
        directive = {Verdict.SKIP: "SKIP", Verdict.XFAIL: "TODO"}.get(group.verdict)
        if directive:
            text += f" # {directive} {tap_text(wording.reason(group))}".rstrip()
        yield text
        if not failed:
            return
        view = view_group(group, cwd=self.cwd)
        yield "  ---"
        yield f"  verdict: {group.verdict}"
        yield f"  duration_s: {group.duration_s:.3f}"
        # JSON in ASCII is YAML too.
        yield f"  message: {json_text(group_text.message(group))}"
        told = [line.text for line in group_text.group_block(view, symbols_for("utf-8"))]
        yield f"  report: {json_text(told)}"
        yield "  ..."
