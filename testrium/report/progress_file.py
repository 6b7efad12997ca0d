"""The progress of a running run, as lines of JSON in its folder, for the dashboard.

The runner appends, anyone who may read the folder reads; the file is gone once the report is
there, and stays where the run was killed. Times are wall time, seconds since 1970.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from testrium.declared.groups import Scenario
from testrium.errors import Problem
from testrium.evidence import Event, UnitState
from testrium.report.masking import mask_of, masked
from testrium.report.wording import label, outcome
from testrium.results import Awaited, GroupResult, Observer
from testrium.tuples import NamedTuple
from testrium.words import BAD_VERDICTS

FILE = "progress.jsonl"

#: What comes in quicker (probes, what is waited for) is written at most this often (seconds).
PACE_S = 0.5


class ProgressFile:
    """Observer: passes on to another one, and writes what a watcher of the run wants to know.

    It never fails a run: where its file cannot be written, there is none.
    """

    def __init__(self, first: Observer, folder: Path) -> None:
        self._first = first
        self._path = folder / FILE
        self._descriptor: int | None = None
        self._counts: dict[str, int] = {}  # of events, by the group's label
        self._due: dict[tuple[str, str], float] = {}

    def close(self) -> None:
        """Remove the file: the report has everything now."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            with contextlib.suppress(OSError):
                self._path.unlink()

    def run_started(self, run: str, scenarios: tuple[Scenario, ...]) -> None:
        """Observer."""
        self._first.run_started(run, scenarios)
        if self._descriptor is not None:  # a further round, and there may be thousands
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
        self._write("expected", [label(one) for one in scenarios])

    def notice(self, text: str | Problem) -> None:
        """Observer."""
        self._first.notice(text)

    def group_started(self, scenario: Scenario, run_dir: Path) -> None:
        """Observer."""
        self._first.group_started(scenario, run_dir)
        self._write(
            "started",
            label(scenario),
            at=round(time.time(), 3),
            units=[unit.name for unit in scenario.units],
            tags=list(scenario.group.tags),
        )

    def group_placed(self, scenario: Scenario, host: str) -> None:
        """Observer."""
        self._first.group_placed(scenario, host)
        self._write("placed", label(scenario), host=host)

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None:
        """Observer."""
        self._first.unit_changed(scenario, unit, state)
        self._write("unit", label(scenario), unit=unit, state=str(state))

    def events_stored(self, scenario: Scenario, events: tuple[Event, ...]) -> None:
        """Observer: the number of events and the last one, now and then."""
        self._first.events_stored(scenario, events)
        if not events:
            return
        name = label(scenario)
        count = self._counts[name] = self._counts.get(name, 0) + len(events)
        if self._is_due("events", name):
            last = mask_of(scenario).event(events[-1])
            key = "" if last.key is None else f" {last.key}"
            self._write("events", name, count=count, last=f"{last.place}{key}"[:200])

    def unit_output(self, scenario: Scenario, unit: str, text: str) -> None:
        """Observer."""
        self._first.unit_output(scenario, unit, text)

    def waiting(self, scenario: Scenario, awaited: Awaited | None) -> None:
        """Observer."""
        self._first.waiting(scenario, awaited)
        name = label(scenario)
        if awaited is None or awaited.units:
            if self._due.pop(("waiting", name), None) is not None:
                self._write("waiting", name, what_for=[], until=None)
        elif self._is_due("waiting", name):
            hide = mask_of(scenario).text
            until = awaited.until_ns
            left_s = None if until is None else (until - time.monotonic_ns()) / 1e9
            self._write(
                "waiting",
                name,
                what_for=[hide(one) for one in awaited.what[:5]],
                until=None if left_s is None else round(time.time() + left_s, 1),
            )

    def group_ended(self, result: GroupResult) -> None:
        """Observer."""
        self._first.group_ended(result)
        name = label(result.scenario)
        failed = result.verdict in BAD_VERDICTS
        shown = masked(result) if failed else result
        root = shown.judgement.root if failed else None
        self._write(
            "ended",
            name,
            verdict=str(result.verdict),
            duration_s=round(result.duration_s, 4),
            finding=outcome(shown)[:300],
            message="" if root is None else root.message[:600],
            count=self._counts.pop(name, 0),
            tags=list(result.scenario.group.tags),
        )

    def _is_due(self, what: str, name: str) -> bool:
        now = time.monotonic()
        if now < self._due.get((what, name), 0.0):
            return False
        self._due[what, name] = now + PACE_S
        return True

    def _write(self, what: str, about: str | list[str], **facts: Any) -> None:
        line = json.dumps({"what": what, "about": about, **facts}) + "\n"
        with contextlib.suppress(OSError):
            if self._descriptor is None:
                flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
                self._descriptor = os.open(self._path, flags, 0o600)
            os.write(self._descriptor, line.encode())


class GroupProgress(NamedTuple):
    """A group of a running run. `verdict` "": it runs, or waits for its turn."""

    label: str
    started: float | None = None
    verdict: str = ""
    duration_s: float = 0.0
    finding: str = ""
    message: str = ""
    units: dict[str, str] = {}  # noqa: RUF012 - replaced, never changed
    events: int = 0
    last: str = ""
    waiting: tuple[str, ...] = ()
    until: float | None = None
    tags: tuple[str, ...] = ()
    host: str = ""  # the machine of a cluster where it runs


class RunProgress:
    """What the file of a run says so far. `groups` by label, in the order in which they run."""

    def __init__(self, folder: Path) -> None:
        self.groups: dict[str, GroupProgress] = {}
        self._path = folder / FILE
        self._offset = 0
        self._rest = b""

    def read(self) -> None:
        """Read what was written since the last call; a missing file changes nothing."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._offset:  # a further round has begun
                    self.groups, self._offset, self._rest = {}, 0, b""
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        if told["what"] == "expected":
            self.groups = {name: GroupProgress(name) for name in told["about"]}
            return
        group = self.groups.get(told["about"]) or GroupProgress(told["about"])
        match told["what"]:
            case "started":
                units = dict.fromkeys(told["units"], "created")
                tags = tuple(told["tags"])
                group = GroupProgress(group.label, told["at"], units=units, tags=tags)
            case "placed":
                group = group._replace(host=told["host"])
            case "unit":
                group = group._replace(units={**group.units, told["unit"]: told["state"]})
            case "events":
                group = group._replace(events=told["count"], last=told["last"])
            case "waiting":
                group = group._replace(waiting=tuple(told["what_for"]), until=told["until"])
            case "ended":
                group = group._replace(
                    verdict=told["verdict"],
                    duration_s=told["duration_s"],
                    finding=told["finding"],
                    message=told["message"],
                    events=told["count"],
                    tags=tuple(told["tags"]),
                    waiting=(),
                )
        self.groups[group.label] = group
