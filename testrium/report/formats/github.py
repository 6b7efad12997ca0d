"""What GitHub shows of a run in a workflow: annotations, and a summary of the job.

Sources: https://docs.github.com/actions/using-workflows/workflow-commands-for-github-actions;
commands are read from standard output and standard error alike.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from testrium import phrases
from testrium.errors import Problem
from testrium.evidence import Finding
from testrium.report import group_text, wording
from testrium.report.escape import (
    encodable,
    html_text,
    markdown_text,
    workflow_property,
    workflow_text,
)
from testrium.report.lines import symbols_for
from testrium.report.view import view_group
from testrium.report.writer import Writer
from testrium.results import GroupResult, RunResult
from testrium.words import BAD_VERDICTS, Verdict

#: GitHub shows so many annotations of each level, and drops the rest.
MOST_ANNOTATIONS = 10

#: GitHub refuses a summary over 1 MiB as a whole.
MOST_SUMMARY_BYTES = 1_000_000

#: Groups beyond these have only a row in the table.
_MOST_EXPLAINED = 50

_LEVELS = {Verdict.FAIL: "error", Verdict.ERROR: "error", Verdict.UNKNOWN: "warning"}


class GithubWriter(Writer):
    """Annotates what failed and adds to the job's summary. It never fails a run.

    Args:
        stream: where workflow commands are read.
        cwd: the folder that files of problems are relative to.
        line_of: the line of a circuit in its group's config.toml, by folder and name.
    """

    def __init__(
        self,
        stream: TextIO,
        cwd: Path,
        line_of: Callable[[Path, str], int | None],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        super().__init__(None, cwd)
        self._stream = stream
        self._line_of = line_of
        self._root = Path(environ.get("GITHUB_WORKSPACE") or cwd)
        self._summary = environ.get("GITHUB_STEP_SUMMARY")

    def run_ended(self, result: RunResult) -> None:
        """Write the annotations, then the summary."""
        text = "".join(f"{command}\n" for command in self._commands(result))
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(encodable(text, self._stream.encoding or "utf-8"))
            self._stream.flush()
        if self._summary:
            with contextlib.suppress(OSError), Path(self._summary).open("ab") as summary:
                summary.write(self.summary(result).encode())

    def summary(self, result: RunResult) -> str:
        """The summary as Markdown."""
        text = "\n".join(self._summary_lines(result)) + "\n"
        if len(text.encode()) > MOST_SUMMARY_BYTES:
            text = "\n".join(self._summary_lines(result, most=0)) + "\n"
        if len(text.encode()) > MOST_SUMMARY_BYTES:
            text = f"## {_title(result)}\n"
        return text

    # Annotations ----------------------------------------------------------------------------

    def _commands(self, result: RunResult) -> Iterator[str]:
        left = dict.fromkeys(_LEVELS.values(), MOST_ANNOTATIONS)
        for problem in result.errors[:MOST_ANNOTATIONS]:
            yield self._of_problem(problem)
        for group in result.groups:
            level = _LEVELS.get(group.verdict)
            if level is not None and left[level] > 0:
                left[level] -= 1
                yield self._of_group(level, group)

    def _of_problem(self, problem: Problem) -> str:
        told = ": ".join(part for part in (problem.key, problem.message) if part)
        file = self.cwd / problem.file if problem.file else None
        return self._command("error", "testrium", told, file, problem.line)

    def _of_group(self, level: str, group: GroupResult) -> str:
        root = next(iter(group.judgement.findings), None)
        file, line = self._place(group, root)
        title = f"{wording.label(group.scenario)}: {group_text.outcome(group)}"
        message = group.reason if root is None else "\n".join((root.message, *root.hints))
        return self._command(level, title, message, file, line)

    def _place(self, group: GroupResult, finding: Finding | None) -> tuple[Path, int | None]:
        """The circuit where it is declared, else the unit's file, else the group's."""
        folder = group.scenario.group.folder
        if finding is not None and finding.circuit:
            return folder / "config.toml", self._line_of(folder, finding.circuit)
        if finding is not None and finding.unit:
            file = folder / "units" / f"{finding.unit}.toml"
            if file.is_file():
                return file, 1
        return folder / "config.toml", 1

    def _command(
        self, level: str, title: str, message: str, file: Path | None, line: int | None
    ) -> str:
        properties = {"title": title}
        if file is not None:
            # GitHub finds a file by its path below the root of the repository.
            shown = file.relative_to(self._root) if file.is_relative_to(self._root) else file
            properties = {"file": str(shown), "line": str(line or 1), **properties}
        told = ",".join(f"{name}={workflow_property(text)}" for name, text in properties.items())
        return f"::{level} {told}::{workflow_text(message)}"

    # Summary --------------------------------------------------------------------------------

    def _summary_lines(self, result: RunResult, most: int = _MOST_EXPLAINED) -> Iterator[str]:
        yield f"## {_title(result)}"
        yield ""
        for problem in result.errors:
            yield f"- {markdown_text(str(problem))}"
        if not result.groups:
            return
        yield "| | group | time | |"
        yield "|---|---|--:|---|"
        symbols = symbols_for("utf-8")
        for group in result.groups:
            time = "" if group.verdict is Verdict.SKIP else phrases.duration(group.duration_s)
            cells = (wording.label(group.scenario), time, group_text.outcome(group))
            shown = " | ".join(map(markdown_text, cells))
            yield f"| {symbols.verdicts[group.verdict]} {group.verdict} | {shown} |"
        explained = [group for group in result.groups if group.verdict in BAD_VERDICTS]
        for group in explained[:most]:
            block = group_text.group_block(view_group(group, cwd=self.cwd), symbols)
            yield ""
            yield f"<details><summary>{html_text(wording.label(group.scenario))}</summary>"
            yield ""
            # Indented by four is code, whatever the text holds.
            yield from (f"    {line.text}" for line in block)
            yield ""
            yield "</details>"
        if len(explained) > most:
            yield ""
            yield f"{len(explained) - most} more did not pass."


def _title(result: RunResult) -> str:
    if result.errors:
        return "Testrium: nothing was started"
    return f"Testrium: {markdown_text(wording.totals(result.groups, result.duration_s))}"
