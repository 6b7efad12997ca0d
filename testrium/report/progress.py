"""The lines at the bottom of a terminal that change while groups run."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from testrium import phrases
from testrium.declared.groups import Scenario
from testrium.evidence import Event, UnitState
from testrium.report import wording
from testrium.report.escape import cells, cut, cut_names
from testrium.report.lines import ASCII, Line, Span, Style, Symbols, line
from testrium.results import Awaited

if TYPE_CHECKING:
    from rich.live import Live

_SIGNS: dict[UnitState, tuple[str, str, Style]] = {
    UnitState.CREATED: ("·", ".", "dim"),
    UnitState.STARTING: ("◌", "~", "dim"),
    UnitState.READY: ("●", "*", "good"),
    UnitState.RUNNING: ("●", "*", "good"),
    UnitState.FINISHED: ("✓", "+", "good"),
    UnitState.FAILED: ("✗", "x", "bad"),
    UnitState.STOPPED: ("■", "-", "dim"),
}

_LEAST_PROBE_WIDTH = 12

_LEAST_NAME = 8

#: What is waited for takes the place of the last probe when that is so old.
_QUIET_S = 0.5

#: How much longer one group alone takes before it has a line that counts.
_LONG_S = 2.0


class _Running:
    def __init__(self, scenario: Scenario, label: str) -> None:
        self.id = scenario.id
        self.label = label
        self.started = time.monotonic()
        self.units = {unit.name: UnitState.CREATED for unit in scenario.units}
        self.last: Event | None = None
        self.last_at = self.started
        self.awaited: Awaited | None = None
        self.host = ""  # the machine of a cluster


class Progress:
    """The state behind the changing lines: fed by the loop, read by the display's thread."""

    def __init__(
        self,
        symbols: Symbols,
        durations: Callable[[], Mapping[str, float]] = dict,
        jobs: int = 1,
    ) -> None:
        self._symbols = symbols
        self._durations = durations
        self._jobs = jobs
        self._known: Mapping[str, float] | None = None  # what `durations` said
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._waiting: Counter[str] = Counter()  # by the id of the group
        self._expected = 0
        self._ended = 0
        self._failed = 0
        self._name_width = 0  # it only grows: lines must not jump as groups come and go

    @property
    def running(self) -> int:
        """How many groups run now."""
        return len(self._running)

    def expect(self, scenarios: Sequence[Scenario]) -> None:
        """These results there will be, besides those that were expected already."""
        with self._lock:
            self._expected += len(scenarios)
            self._waiting.update(scenario.id for scenario in scenarios)

    def started(self, scenario: Scenario) -> None:
        label = wording.label(scenario)
        group = _Running(scenario, label)
        with self._lock:
            self._running[label] = group
            self._waiting[scenario.id] -= 1

    def placed(self, scenario: Scenario, host: str) -> None:
        with self._lock:
            group = self._running.get(wording.label(scenario))
            if group is not None:
                group.host = host

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None:
        with self._lock:
            group = self._running.get(wording.label(scenario))
            if group is not None:
                group.units[unit] = state

    def events_stored(self, scenario: Scenario, events: tuple[Event, ...]) -> None:
        group = self._running.get(wording.label(scenario))
        if group is not None and events:
            group.last, group.last_at = events[-1], time.monotonic()

    def waiting(self, scenario: Scenario, awaited: Awaited | None) -> None:
        with self._lock:
            group = self._running.get(wording.label(scenario))
            if group is not None:
                group.awaited = awaited

    def ended(self, scenario: Scenario, *, failed: bool = False) -> None:
        with self._lock:
            if self._running.pop(wording.label(scenario), None) is None:  # it was skipped
                self._waiting[scenario.id] -= 1
            self._ended += 1
            self._failed += failed

    def _left_s(self, now: float) -> float | None:
        """How long the rest is going to take; None where that of one group is not known."""
        known = self._known or {}
        left: list[float | None] = []
        for id_, number in self._waiting.items():
            if number > 0:
                left += [known.get(id_)] * number
        for group in self._running.values():
            whole = known.get(group.id)
            left.append(None if whole is None else max(0.0, group.started + whole - now))
        times = [time for time in left if time is not None]
        if not times or len(times) < len(left):
            return None
        return max(*times, sum(times) / self._jobs)

    def rows(self, width: int, height: int) -> list[Line]:
        """A line per running group, as many as fit, and one that counts where there are several."""
        if self._known is None:
            self._known = self._durations()
        most = max(1, height - 2)
        with self._lock:
            now = time.monotonic()
            groups = list(self._running.values())
            names = self._names(groups[:most], width)
            rows = [self._row(*named, now, width) for named in zip(groups, names, strict=False)]
            left_s = self._left_s(now)
        if self._expected > 1 or (left_s or 0.0) >= _LONG_S:
            hidden = f", {len(groups) - most} of them not shown" if len(groups) > most else ""
            failed = f", {self._failed} failed" if self._failed else ""
            about = "" if left_s is None else f", about {phrases.roughly(left_s)} left"
            done = f"{self._ended} of {self._expected} done"
            text = f"{done}{failed}, {len(groups)} running{hidden}{about}"
            rows.append(line(Span(cut(text, width, self._symbols.ellipsis), "dim")))
        return rows

    def _names(self, groups: Sequence[_Running], width: int) -> list[str]:
        """The names of the groups in one width: whole where that leaves half of the line."""
        labels = [group.label for group in groups]
        widest = max(map(cells, labels), default=0)
        self._name_width = min(max(self._name_width, widest, _LEAST_NAME), max(8, width // 2))
        names = cut_names(labels, self._name_width, self._symbols.ellipsis)
        return [name + " " * (self._name_width - cells(name)) for name in names]

    def _row(self, group: _Running, name: str, now: float, width: int) -> Line:
        elapsed = f"{phrases.duration(now - group.started):>9}"
        head = f"{name} {elapsed}"
        spans = [Span(head)]
        room = width - cells(head)
        if group.host:  # what happens there is not known before it has ended
            text = cut(f"  on {group.host}", room, self._symbols.ellipsis)
            return Line((*spans, Span(text, "dim")))
        states = self._states(group)
        quiet = now - group.last_at >= _QUIET_S
        awaited, now_ns = "", time.monotonic_ns()
        if group.awaited and quiet:
            awaited = wording.waiting(group.awaited, now_ns)
        if _width(states) + cells(awaited) > room:
            states = self._tally(group, room - cells(awaited))
        if awaited and room - _width(states) < cells(awaited) + 2:
            # What is waited for says more than signs and numbers, where both have no room.
            states = states if cells(awaited) + 2 > room else []
        if _width(states) <= room:
            spans += states
            room -= _width(states)
        if group.awaited and awaited and room >= _LEAST_PROBE_WIDTH:
            text = wording.waiting(group.awaited, now_ns, room - 2)
            spans.append(Span("  " + cut(text, room - 2, self._symbols.ellipsis), "dim"))
        elif group.last is not None and room >= _LEAST_PROBE_WIDTH:
            key = "" if group.last.key is None else f" {group.last.key}"
            probe = f"{group.last.place}{key}"
            spans.append(Span("  " + cut(probe, room - 2, self._symbols.ellipsis), "dim"))
        return Line(tuple(spans))

    def _states(self, group: _Running) -> list[Span]:
        """Each unit's name with the sign of its state."""
        spans = []
        for unit, state in group.units.items():
            sign, style = self._sign(state)
            spans += [Span("  "), Span(sign, style), Span(f" {unit}")]
        return spans

    def _tally(self, group: _Running, room: int) -> list[Span]:
        """How many units are in each state, in words where there is room for them."""
        counts = Counter(group.units.values())
        spans: list[Span] = []
        for state in UnitState:
            if counts[state]:
                sign, style = self._sign(state)
                spans += [Span("  "), Span(sign, style), Span(f" {counts[state]} {state}")]
        if _width(spans) <= room:
            return spans
        signs: dict[tuple[str, Style], int] = {}  # ready and running have one
        for state in UnitState:
            if counts[state]:
                signs[self._sign(state)] = signs.get(self._sign(state), 0) + counts[state]
        return [
            part
            for (sign, style), count in signs.items()
            for part in (Span("  "), Span(sign, style), Span(str(count)))
        ]

    def _sign(self, state: UnitState) -> tuple[str, Style]:
        unicode, ascii_, style = _SIGNS[state]
        return (ascii_ if self._symbols is ASCII else unicode), style


def _width(spans: Sequence[Span]) -> int:
    return sum(cells(span.text) for span in spans)


#: A run that is over sooner never loads rich: its start-up is a large part of such a run.
DELAY_S = 0.25

REFRESH_S = 0.125


class LiveLines:
    """Redraws lines in place, in a thread of its own, so time is seen to pass in a hang.

    `rows(width, height)` makes the lines; it is called in that thread.
    """

    def __init__(self, stream: TextIO, rows: Callable[[int, int], Sequence[Line]]) -> None:
        self._stream = stream
        self._rows = rows
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._live: Live | None = None  # set while lines change
        self._waiting: list[str] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to show lines, soon. Nothing happens if they are shown already."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._work, name="console", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Write whole lines above those that change, with the next redrawing.

        At once where no lines change; then it raises what the stream raises.
        """
        with self._lock:
            if self._live is None:
                self._stream.write(text)
                self._stream.flush()
            else:
                self._waiting.append(text)

    def stop(self) -> None:
        """Erase the lines and give the cursor back."""
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join()
        self._thread = None

    def _work(self) -> None:
        if self._stopping.wait(DELAY_S):
            return
        # rich takes 60 ms to import: short runs are over before the first line is drawn.
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, force_terminal=True, highlight=False)
        live = Live(console=console, auto_refresh=False, transient=True)
        # The terminal may close at any time: the run continues, and its report is in files too.
        with contextlib.suppress(OSError, ValueError):
            live.start()
            with self._lock:
                self._live = live
            while not self._stopping.wait(REFRESH_S):
                self._refresh(live)
        with contextlib.suppress(OSError, ValueError):
            live.stop()
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._live = None
            self._stream.write("".join(self._waiting))
            self._stream.flush()

    def _refresh(self, live: Live) -> None:
        from rich.text import Text

        with self._lock:
            text, self._waiting = "".join(self._waiting), []
        if text:
            # `soft_wrap`: the lines fit already, and rich must not break them again.
            live.console.print(Text.from_ansi(text), soft_wrap=True, end="")
        size = live.console.size
        rows = self._rows(size.width, size.height)
        changing = Text.from_ansi("\n".join(row.painted() for row in rows))
        changing.no_wrap = True
        live.update(changing, refresh=True)
