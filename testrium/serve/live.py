"""Running runs as they are now: what the pages show first, and what they are sent later.

A page gets its news as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html):
all that it shows at first, then only what has changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from testrium.record.inotify import IN_FOLDER, Inotify
from testrium.record.runs import FOLDER, is_claimed, list_runs
from testrium.report.charts.trends import other_tags, owner_of
from testrium.report.escape import json_text, visible
from testrium.report.json_report import RUN_FILE
from testrium.report.progress_file import GroupProgress, RunProgress
from testrium.words import BAD_VERDICTS, Verdict

#: How often changes are sent at most, and how often anything is sent at least (seconds).
PACE_S = 0.25
QUIET_S = 10.0

#: So long a run may take to write its report when all its groups have ended (seconds).
REPORT_S = 3.0

#: How often the files are looked at without inotify (seconds).
LOOK_S = 1.0


class LiveRun:
    """A run that is running, or has ended since it was first read."""

    def __init__(self, folder: Path) -> None:
        self.run = folder.name
        self.folder = folder
        self._progress = RunProgress(folder)

    @property
    def groups(self) -> tuple[GroupProgress, ...]:
        """In the order in which they were planned."""
        return tuple(self._progress.groups.values())

    def read(self) -> bool:
        """Read what is new. Returns whether the run is still running."""
        going_on = is_claimed(self.folder)  # before the reading, so its last words are read
        self._progress.read()
        return going_on

    def counts(self) -> dict[str, int]:
        """How many groups there are, have ended, have failed, and run now."""
        ended = [group for group in self.groups if group.verdict]
        return {
            "all": len(self.groups),
            "ended": len(ended),
            "failed": sum(group.verdict in BAD_VERDICTS for group in ended),
            "running": sum(bool(group.started) and not group.verdict for group in self.groups),
        }

    def progress(self) -> dict[str, Any]:
        """All that a page shows, as it is sent."""
        return _progress(self, list(self.rows().values()))

    def rows(self) -> dict[str, dict[str, Any]]:
        """What a page shows of each group, by its label."""
        return {group.label: row_of(group) for group in self.groups}


def row_of(group: GroupProgress) -> dict[str, Any]:
    """What a page shows of a group; all texts can be seen."""
    state = group.verdict or ("running" if group.started else "waiting")
    return {
        "label": visible(group.label),
        "state": state,
        "bad": state in {str(verdict) for verdict in BAD_VERDICTS},
        "started": group.started,
        "duration": group.duration_s,
        "finding": visible(group.finding),
        "message": visible(group.message),
        "host": visible(group.host),
        # Of a group on another machine no more is known before it has ended.
        "units": []
        if group.host
        else [[visible(unit), visible(state)] for unit, state in group.units.items()],
        "events": group.events,
        "last": visible(group.last),
        "waiting": [visible(one) for one in group.waiting],
        "until": group.until,
        "owner": visible(owner_of(group.tags)),
        "tags": [visible(tag) for tag in other_tags(group.tags)],
        "skip": group.verdict == Verdict.SKIP,
    }


def live_runs(state: Path) -> tuple[LiveRun, ...]:
    """The runs that are running now, the latest first."""
    found = [LiveRun(folder) for folder in reversed(list_runs(state)) if is_claimed(folder)]
    for one in found:
        one.read()
    return tuple(found)


def run_events(folder: Path) -> Iterator[str]:
    """What a page of one run is sent: its groups, then those that have changed, then its end."""
    run = LiveRun(folder)
    told: dict[str, dict[str, Any]] = {}
    with _Watch(folder) as news:
        going_on = True
        while going_on:
            going_on = run.read()
            rows = run.rows()
            changed = [row for label, row in rows.items() if told.get(label) != row]
            gone = [row["label"] for label, row in told.items() if label not in rows]
            told = rows
            yield _event("progress", _progress(run, changed, gone))
            if going_on:
                news.wait()
        deadline = time.monotonic() + REPORT_S  # it is written now, unless the run was killed
        while not (folder / RUN_FILE).exists() and time.monotonic() < deadline:
            time.sleep(PACE_S)
        yield _event("ended", {"run": visible(run.run)})


def project_events(state: Path) -> Iterator[str]:
    """What the page of all runs is sent: the running runs and their progress."""
    told: list[dict[str, Any]] | None = None
    with _Watch(state / FOLDER) as news:
        while True:
            runs = live_runs(state)
            shown = [{"run": visible(run.run), "counts": run.counts()} for run in runs]
            if shown == told:
                yield ": still here\n\n"  # raises where the page is closed
            else:
                yield _event("runs", {"runs": shown})
            told = shown
            news.watch(*(run.folder for run in runs))
            news.wait()


class _Watch:
    """Waits until something in some folders was written. A context manager."""

    def __init__(self, *folders: Path) -> None:
        self._stack = ExitStack()
        self._watched: set[Path] = set()
        self._inotify = Inotify.open()
        if self._inotify is not None:
            self._stack.callback(self._inotify.close)
        self.watch(*folders)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def watch(self, *folders: Path) -> None:
        """Look at these too."""
        for folder in folders:
            if self._inotify is not None and folder not in self._watched:
                self._watched.add(folder)
                self._inotify.add(str(folder), IN_FOLDER)

    def wait(self) -> None:
        """Until there is news, but not for less than the pace nor for longer than the quiet."""
        time.sleep(PACE_S)  # what comes together is sent together
        if self._inotify is None:
            time.sleep(LOOK_S - PACE_S)
        elif self._inotify.wait(QUIET_S):
            self._inotify.read()


def _progress(
    run: LiveRun, changed: list[dict[str, Any]], gone: Sequence[str] = ()
) -> dict[str, Any]:
    return {"counts": run.counts(), "groups": changed, "gone": gone, "now": time.time()}


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json_text(data)}\n\n"
