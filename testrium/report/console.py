"""What a run prints: a line or a block for each group as it ends, and the summary at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Literal, Self, TextIO

from testrium import phrases
from testrium.declared.groups import Scenario
from testrium.errors import Problem
from testrium.evidence import Event, UnitState
from testrium.report import wording
from testrium.report.escape import cells, encodable, log_line, no_command
from testrium.report.lines import STYLES, Line, Span, Symbols, line, symbols_for, table, wrapped
from testrium.report.masking import Mask, mask_of, masked, masked_run
from testrium.report.progress import LiveLines, Progress
from testrium.results import LONG_WAIT_NS, Awaited, GroupResult, RunResult
from testrium.tuples import NamedTuple
from testrium.words import BAD_VERDICTS, Verdict

#: How many results a run needs, and how long it lasts, for its report to say what took long.
LEAST_RESULTS = 5

LEAST_S = 5.0

_MOST_GROUPS = 3


class HopTime(NamedTuple):
    """A part of the way of `keys` keys in a group, and how long it took in the median."""

    label: str
    start: str
    end: str
    median_ms: float
    keys: int


def is_long(result: RunResult) -> bool:
    """Whether it helps to know what took long."""
    ran = [group for group in result.groups if group.verdict is not Verdict.SKIP]
    return len(ran) >= LEAST_RESULTS and result.duration_s >= LEAST_S


def failures(
    result: RunResult, symbols: Symbols, *, cwd: Path | None, width: int | None
) -> Iterator[Line]:
    """A line for each result that did not pass, and the command that runs all of them again.

    Nothing where it is one: it was just shown. `cwd` is where the command is going to be typed;
    None: the command does not exist.
    """
    failed = [group for group in result.groups if group.verdict in BAD_VERDICTS]
    if len(failed) < 2:
        return
    yield line()
    ran = len(result.groups)
    yield line(Span(f"{len(failed)} of {phrases.plural(ran, 'result')} did not pass", "strong"))
    rows = [
        [
            Span(symbols.verdicts[group.verdict], STYLES[group.verdict]),
            Span(wording.label(group.scenario)),
            Span(wording.outcome(group), STYLES[group.verdict]),
        ]
        for group in failed
    ]
    room = None if width is None else width - 2
    yield from (row.indented(2) for row in table(rows, width=room))
    if cwd is None:
        return
    yield line()
    yield line("  ", Span("rerun", "dim"), f"  {_rerun(failed, cwd)}", whole=True)


def _rerun(failed: Sequence[GroupResult], cwd: Path) -> str:
    """`--failed` looks for groups below the current folder."""
    folders = list(dict.fromkeys(group.scenario.group.folder for group in failed))
    if all(folder.is_relative_to(cwd) for folder in folders):
        return "testrium run --failed"
    from testrium.report.view import rerun_command

    paths = (rerun_command(folder, cwd).removeprefix("testrium run ") for folder in folders)
    return f"testrium run --failed {' '.join(paths)}"


def slowest(
    result: RunResult,
    hops: Sequence[HopTime],
    symbols: Symbols,
    *,
    width: int | None,
    limit: int | None = _MOST_GROUPS,
) -> Iterator[Line]:
    """The groups that took longest, at most `limit`, and the slowest hops of their circuits."""
    ran = [group for group in result.groups if group.verdict is not Verdict.SKIP]
    groups = sorted(ran, key=lambda group: -group.duration_s)[:limit]
    yield line()
    rows = [
        [Span(phrases.duration(group.duration_s)), Span(wording.label(group.scenario))]
        for group in groups
    ]
    yield line(Span("slowest", "dim"))
    yield from (row.indented(2) for row in table(rows, width=width, right=(0,)))
    if hops:
        yield line(Span("slowest hops, median", "dim"))
        rows = [
            [
                Span(phrases.milliseconds(hop.median_ms, hops[0].median_ms)),
                Span(f"{hop.start} {symbols.arrow} {hop.end}"),
                Span(hop.label, "dim"),
                Span(phrases.plural(hop.keys, "time"), "dim"),
            ]
            for hop in hops
        ]
        yield from (row.indented(2) for row in table(rows, width=width, right=(0,)))


LEAST_WIDTH = 40


class Display(NamedTuple):
    """What the console shows, and how.

    `plain`: never use control codes. `verbose`: also when groups start. `quiet`: only what did not
    pass, and the last lines. `color`: "yes" and "no" hold wherever the text goes. `durations`: how
    many of the slowest groups come at the end, 0 for all; None where only a long run names them.
    """

    plain: bool = False
    verbose: bool = False
    quiet: bool = False
    color: Literal["auto", "yes", "no"] = "auto"
    durations: int | None = None


_NAME_WIDTH = 40

#: In the place of the moment since which a group waits: that was shown.
_TOLD = -1


class Console:
    """Watches a run (`model.Observer`) and tells how it ended.

    On a terminal running groups have a line each that changes; without one, with `plain`, without
    colors (NO_COLOR) or on a dumb terminal, there are only whole lines without any control codes;
    FORCE_COLOR adds colors to them. It never fails a run: when its stream is gone it falls silent.
    What only an end needs is imported at the end, as every run starts with a console.

    Use it as a context manager, or call `close`: a terminal must get its cursor back.

    Args:
        stream: where to write.
        cwd: the folder that commands and paths start from.
        display: what is shown, and how.
        environ: what says how the terminal is.
        durations: how long each group, by its id, is going to take (seconds), as far as that is
            known. Asked once, in a run that takes a while.
        jobs: how many groups run side by side.
        slowest_hops: asked for at the end of a long run.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        cwd: Path,
        display: Display = Display(),  # noqa: B008 - it is immutable
        environ: Mapping[str, str] = os.environ,
        durations: Callable[[], Mapping[str, float]] = dict,
        jobs: int = 1,
        slowest_hops: Callable[[Sequence[GroupResult]], Sequence[HopTime]] = lambda _: (),
    ) -> None:
        self._stream = stream
        self._cwd = cwd
        self._display = display
        self._encoding = stream.encoding or "utf-8"
        self._symbols = symbols_for(self._encoding)
        color = _color(display, environ)
        self._terminal = color != "no" and _is_terminal(stream, environ)
        self._colored = self._terminal or color == "yes"
        #: Whether each further state of a unit is shown.
        self.tells_states = False
        self._silent = False
        self._name_width = 0
        self._waits: dict[str, int] = {}  # since when groups wait, or _TOLD
        self._partial: dict[tuple[str, str], str] = {}
        self._masks: dict[str, Mask] = {}
        self._slowest_hops = slowest_hops
        self._progress = Progress(self._symbols, durations, jobs)
        live = self._terminal and not display.quiet
        self._live = LiveLines(stream, self._progress.rows) if live else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop showing what changes. May be called twice."""
        if self._live is not None:
            self._live.stop()

    # While it runs ---------------------------------------------------------------------------

    def run_started(self, run: str, scenarios: Sequence[Scenario]) -> None:  # noqa: ARG002 - Observer
        """Tell which results there will be: names are aligned, and progress is counted.

        May be called again, when there will be more of them.
        """
        self._align(scenarios)
        self._progress.expect(scenarios)
        if any(unit.kind == "manual" for scenario in scenarios for unit in scenario.units):
            self.close()
            self._live = None  # a person is asked at this terminal: no line may change there
        if self._live is not None:
            self._live.start()

    def group_started(self, scenario: Scenario, run_dir: Path) -> None:  # noqa: ARG002 - Observer
        """Observer: a group begins."""
        self._progress.started(scenario)
        if self._display.verbose:
            self.tell([line(Span(f"start {wording.label(scenario)}", "dim"))])

    def group_placed(self, scenario: Scenario, host: str) -> None:
        """Observer: on which machine it runs."""
        self._progress.placed(scenario, host)

    def unit_changed(self, scenario: Scenario, unit: str, state: UnitState) -> None:
        """Observer: a unit is in another state."""
        self._progress.unit_changed(scenario, unit, state)
        if self.tells_states:
            self.notice(f"{unit} is {state}")

    def events_stored(self, scenario: Scenario, events: tuple[Event, ...]) -> None:
        """Observer: probes have come in."""
        mask = mask_of(scenario)
        self._progress.events_stored(
            scenario, tuple(map(mask.event, events[-1:])) if mask else events
        )

    def waiting(self, scenario: Scenario, awaited: Awaited | None) -> None:
        """Observer: what the group waits for. Without a terminal, print a long wait once."""
        label = wording.label(scenario)
        if awaited is not None:
            mask = mask_of(scenario)
            awaited = awaited._replace(what=tuple(map(mask.text, awaited.what)))
        self._progress.waiting(scenario, awaited)
        if awaited is None or awaited.units:
            if self._waits.get(label) != _TOLD:
                self._waits.pop(label, None)
            return
        now_ns = time.monotonic_ns()
        since_ns = self._waits.setdefault(label, now_ns)
        if not self._terminal and 0 <= since_ns <= now_ns - LONG_WAIT_NS:
            self._waits[label] = _TOLD
            self.notice(f"{label}: {wording.waiting(awaited, now_ns)}")

    def unit_output(self, scenario: Scenario, unit: str, text: str) -> None:
        """Show output of a unit, as `-v` asks; `text` need not end with its line."""
        name = (wording.label(scenario), unit)
        *whole, rest = (self._partial.pop(name, "") + text).split("\n")
        if rest:
            self._partial[name] = rest
        self._masks[name[0]] = mask_of(scenario)
        self.tell(self._output_line(name, text) for text in whole)

    def group_ended(self, result: GroupResult) -> None:
        """Observer: a group is judged."""
        result = masked(result)
        self._progress.ended(result.scenario, failed=result.verdict in BAD_VERDICTS)
        label = wording.label(result.scenario)
        self._waits.pop(label, None)
        for name in [name for name in self._partial if name[0] == label]:
            self.tell([self._output_line(name, self._partial.pop(name))])
        if not self._display.quiet or result.verdict in BAD_VERDICTS:
            self.tell([self._finished_line(result)])

    def notice(self, text: str | Problem) -> None:
        """Tell something that decides nothing: an old spelling, a history that was set aside."""
        self.tell([line(Span(f"notice: {text!s}", "dim"), hanging=2)])

    # At the end ------------------------------------------------------------------------------

    def finish(self, result: RunResult, *, stored: bool = False) -> None:
        """Tell how the run ended: what is wrong, the totals, where to read on.

        Of a `stored` run it is not told how to run what failed again: it may not be the last one.
        """
        from testrium.report import group_text

        result = masked_run(result)
        self.close()
        self.tell(line(str(problem), hanging=2) for problem in result.errors)
        width = self.width()
        for group in result.groups:
            if group.verdict in BAD_VERDICTS:
                self.tell([line(), *self._block(group)])
        if result.errors:
            return
        again = None if stored else self._cwd
        self.tell(failures(result, self._symbols, cwd=again, width=width))
        if (limit := self._slowest_wanted(result)) != 0:
            hops = self._slowest_hops(result.groups)
            self.tell(slowest(result, hops, self._symbols, width=width, limit=limit))
        lines = [line(), *group_text.unproved(result), group_text.totals(result)]
        if result.folder is not None:
            hint = "" if stored else "  (testrium show)"
            lines.append(line(Span(f"run {result.run}{hint}", "dim")))
        self.tell(lines)

    def _slowest_wanted(self, result: RunResult) -> int | None:
        """How many of the slowest groups are shown; None for all."""
        asked = self._display.durations
        if asked is None:
            return _MOST_GROUPS if is_long(result) and not self._display.quiet else 0
        return asked or None

    def show(self, result: RunResult) -> None:
        """Print a stored run as at its end: a line per group, then `finish`.

        Where all passed there is nothing else to read: so their tables are shown.
        """
        from testrium.report import group_text
        from testrium.report.view import view_group

        result = masked_run(result)
        self._align([group.scenario for group in result.groups])
        self.tell(self._finished_line(group) for group in result.groups)
        if result.verdict is Verdict.PASS:
            views = [view_group(group, cwd=self._cwd) for group in result.groups]
            self.tell(group_text.tables_of_run(views, self.width()))
        self.finish(result, stored=True)

    def show_group(self, result: GroupResult) -> None:
        """Tell all that is known of one group."""
        self.tell(self._block(masked(result), detailed=True))

    def show_events(self, title: str, events: Sequence[Event]) -> None:
        """Tell what happened, one event a line."""
        from testrium.report import group_text

        self.tell(group_text.event_lines(title, events, self._symbols, width=self.width()))

    # Lines -----------------------------------------------------------------------------------

    def _block(self, result: GroupResult, *, detailed: bool = False) -> list[Line]:
        from testrium.report import group_text
        from testrium.report.view import view_group

        view, width = view_group(result, cwd=self._cwd), self.width()
        return group_text.group_block(view, self._symbols, width=width, detailed=detailed)

    def _align(self, scenarios: Iterable[Scenario]) -> None:
        widths = [cells(wording.label(scenario)) for scenario in scenarios]
        self._name_width = max(self._name_width, min(max(widths, default=0), _NAME_WIDTH))

    def _finished_line(self, result: GroupResult) -> Line:
        style = STYLES[result.verdict]
        sign = self._symbols.verdicts[result.verdict]
        mark = sign if self._terminal else f"{result.verdict.upper():<7}"
        name = wording.label(result.scenario)
        gap = " " * max(0, self._name_width - cells(name))
        told = wording.outcome(result)
        took = "" if result.verdict is Verdict.SKIP else phrases.duration(result.duration_s)
        parts = [Span(mark, style), Span(f" {name}{gap}  "), Span(f"{took:>8}", "dim")]
        if result.host:
            parts.append(Span(f"  on {result.host}", "dim"))
        if told:
            parts.append(Span(f"  {told}", "dim" if result.verdict is Verdict.SKIP else style))
        return line(*parts, hanging=4)

    def _output_line(self, name: tuple[str, str], text: str) -> Line:
        label, unit = name
        several = self._progress.running > 1
        prefix = f"{label} {unit}" if several else unit
        text = log_line(self._masks[label].text(text))
        return line(Span(f"{prefix} {self._symbols.bar} ", "dim"), text, hanging=2)

    def width(self) -> int | None:
        """Columns to fill; None without a terminal: whole lines are better to search."""
        if not self._terminal:
            return None

        return max(LEAST_WIDTH, get_terminal_size().columns)

    def tell(self, lines: Iterable[Line]) -> None:
        """Print lines; nothing any more once the stream is gone."""
        width = self.width()
        if width is not None:
            text = "".join(f"{part.painted()}\n" for part in wrapped(lines, width))
        elif self._colored:
            text = "".join(f"{part.painted()}\n" for part in lines)
        else:
            text = "".join(f"{part.text}\n" for part in lines)
        if self._silent or not text:
            return
        text = encodable(no_command(text), self._encoding)
        try:
            if self._live is not None:
                self._live.write(text)
            else:
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):
            # Closed by its reader (`| head`): what the run finds is in its files too.
            self._silent = True


def _color(display: Display, environ: Mapping[str, str]) -> Literal["auto", "yes", "no"]:
    """What holds: --plain, then --color, then the environment (NO_COLOR before FORCE_COLOR)."""
    if display.plain:
        return "no"
    if display.color != "auto":
        return display.color
    if environ.get("NO_COLOR"):
        return "no"
    return "yes" if environ.get("FORCE_COLOR", "0") not in ("", "0") else "auto"


def _is_terminal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    if environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
