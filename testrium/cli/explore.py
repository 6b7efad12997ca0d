"""`testrium explore` and `testrium replay`: many orders of a group's units, and one again."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from testrium import __version__
from testrium.cli.chaos import QuietObserver, problems_of, write_chosen
from testrium.cli.completion import RUN
from testrium.cli.options import SearchRequest, finding_fields, search_options
from testrium.errors import ExitCode, TestriumError
from testrium.words import Verdict

if TYPE_CHECKING:
    from testrium.exploration import Exploration, Explored, Ordered, Race
    from testrium.interleavings import Chance
    from testrium.report.writer import ReportChoice
    from testrium.results import GroupResult, RunResult


@click.command(name="explore")
@search_options(
    counts="--runs",
    default=200,
    drawn="orders",
    told="exploration",
    stops="Stop after the first order that breaks the group.",
)
def command(asked: SearchRequest) -> int:
    """Run GROUP (a folder; default: the current one) in N orders of its units.

    Units are held at their probes and let go on one at a time, by random priorities. The table
    [explore] of config.toml says at which probes. Each order that fails in a new way is reduced to
    the fewest decisions that still fail, explained, and kept as a run: testrium replay RUN.
    Exit codes: 0 no order failed, 1 an order did, 2 no group, 3 it cannot be explored, 4 none
    failed and some could not be decided, 5 the runner failed.
    """
    from testrium.exploration import Exploration, explore

    exploration = Exploration(
        asked.path, asked.cwd, asked.seed, asked.number, QuietObserver(), asked.fail_fast
    )
    record = _ExplorationRecord(exploration)
    printer = _RacePrinter(asked.stream, exploration, record, plain=asked.plain)
    try:
        explored = explore(exploration, printer)
    except TestriumError as error:
        write_chosen(asked.choice, record.text(int(error.exit_code), error), asked.cwd)
        raise
    printer.ended(explored)
    write_chosen(asked.choice, record.text(int(explored.exit_code)), asked.cwd)
    return explored.exit_code


class _RacePrinter:
    """Prints a line for each run that did not pass, and how each order that fails went."""

    def __init__(
        self, stream: TextIO, exploration: Exploration, record: _ExplorationRecord, *, plain: bool
    ) -> None:
        from testrium.report.console import Console, Display

        self._stream = stream
        self._exploration = exploration
        self._record = record
        self._console = Console(stream, cwd=exploration.cwd, display=Display(plain=plain))
        self._numbers: dict[int, int] = {}

    def _say(self, text: str = "") -> None:
        click.echo(text, file=self._stream)

    def began(self, baseline: Ordered, guaranteed: tuple[Chance, ...]) -> None:
        from testrium.phrases import plural

        self._record.began(baseline, guaranteed)
        verb = "fails" if baseline.failed else "passes"
        if baseline.result.verdict is Verdict.UNKNOWN:
            verb = "is undecided"
        threads, points = len(baseline.trace.threads), baseline.trace.points
        self._say(
            f"{baseline.result.scenario.id} {verb} in its declared order"
            f" ({baseline.result.duration_s:.2f} s): {plural(threads, 'thread')} reached"
            f" {plural(points, 'point')}; seed {self._exploration.seed}"
        )
        runs = plural(self._exploration.runs, "run")
        found = ", ".join(f"{each.depth}: {_percent(each.in_all)}" for each in guaranteed)
        self._say(f"least chance that {runs} hit a bug, by its depth: {found}")

    def tried(self, ordered: Ordered, known: Race | None) -> None:
        self._record.tried(ordered)
        finding = ordered.finding
        if finding is None or ordered.result.verdict is Verdict.PASS:
            return
        again = f", as run {known.found.number} did" if known is not None else ""
        width = len(str(self._exploration.runs))
        number = f"{ordered.number:>{width}}/{self._exploration.runs}"
        word = "FAIL" if ordered.failed else str(ordered.result.verdict)
        self._say(f"{number}  {word:<7}  {finding.code} at {finding.where}{again}")

    def found(self, race: Race) -> None:
        from testrium.phrases import plural

        self._record.found(race)
        self._say()
        which = f"run {race.found.number}" if race.found.number else "the declared order"
        runs = plural(race.tries, "more run")
        if race.smallest is None:
            self._say(f"{which} failed, and did not fail again by its decisions ({runs})")
        elif not race.smallest.schedule.decisions:
            self._say(f"{which} fails; no decision is needed ({runs})")
        else:
            self._say(f"{which} fails; the fewest decisions that still do so ({runs}):")
            self._say()
            for number, line in enumerate(race.order):
                then = ", then" if number < len(race.order) - 1 else ""
                self._say(f"    {line}{then}")
        self._say()
        self._console.show_group(shown_result((race.smallest or race.found).result, race.run))
        if race.run is not None:
            self._say()
            self._say(f"run {race.run.run}  (testrium replay {race.run.run})")
        self._say()

    def ended(self, explored: Explored) -> None:
        from testrium.phrases import plural

        runs, seed = plural(explored.tried, "run"), self._exploration.seed
        if explored.exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            self._say(f"interrupted after {runs}, {explored.failed} failed (seed {seed})")
            return
        if explored.tried < self._exploration.runs and not explored.failed:
            self._say(f"only {explored.tried} different orders can be drawn")
        undecided = f", {explored.undecided} undecided" if explored.undecided else ""
        if explored.failed:
            kinds = plural(len(explored.races), "way")
            self._say(f"{explored.failed} of {runs} failed, in {kinds}{undecided} (seed {seed})")
        else:
            self._say(f"{runs}, none failed{undecided} (seed {seed})")


def shown_result(found: GroupResult, kept: RunResult | None) -> GroupResult:
    """The result of the run that is kept, which can be repeated, where that fails too."""
    again = found if kept is None else kept.groups[0]
    return again if again.verdict is Verdict.FAIL else found


def _percent(chance: float) -> str:
    return f"{100 * chance:.3g} %" if chance < 0.9995 else "over 99.9 %"


class _ExplorationRecord:
    """Watches an exploration, and tells all of it in the end."""

    def __init__(self, exploration: Exploration) -> None:
        self._exploration = exploration
        self._baseline: dict[str, Any] | None = None
        self._chances: list[dict[str, Any]] = []
        self._verdicts: list[str] = []
        self._races: list[dict[str, Any]] = []

    def began(self, baseline: Ordered, guaranteed: tuple[Chance, ...]) -> None:
        self._baseline = {
            "group": baseline.result.scenario.id,
            "verdict": str(baseline.result.verdict),
            "duration_s": round(baseline.result.duration_s, 6),
            "threads": list(baseline.trace.threads),
            "points": baseline.trace.points,
        }
        self._chances = [each._asdict() for each in guaranteed]

    def tried(self, ordered: Ordered) -> None:
        self._verdicts.append(str(ordered.result.verdict))

    def found(self, race: Race) -> None:
        best = race.smallest or race.found
        finding = race.found.finding
        assert finding is not None
        decisions = None if race.smallest is None else race.smallest.schedule.decisions
        self._races.append(
            {
                "number": race.found.number,
                "finding": finding_fields(finding),
                "decisions": None
                if decisions is None
                else [{"first": one.first, "held": one.held} for one in decisions],
                "order": list(race.order),
                "tries": race.tries,
                "run": None if race.run is None else race.run.run,
                "run_dir": None if best.result.run_dir is None else str(best.result.run_dir),
            }
        )

    def text(self, exit_code: int, error: TestriumError | None = None) -> str:
        """The document; `error` is why the exploration ended early."""
        asked = self._exploration
        command = ["testrium", "explore", asked.path, "--seed", str(asked.seed)]
        command += ["--runs", str(asked.runs), *(["-x"] if asked.fail_fast else [])]
        document = {
            "testrium": __version__,
            "command": shlex.join(command),
            "verdict": {0: "pass", 1: "fail", 4: "unknown"}.get(exit_code, "error"),
            "exit_code": exit_code,
            "seed": asked.seed,
            "runs": asked.runs,
            "tried": len(self._verdicts),
            "failed": self._verdicts.count("fail"),
            "errors": [problem._asdict() for problem in problems_of(error)],
            "baseline": self._baseline,
            "chances": self._chances,
            "found": self._races,
        }
        return json.dumps(document, indent=2) + "\n"


@click.command(name="replay")
@click.argument("run", type=RUN, default="", metavar="[RUN]")
@click.option(
    "--json", "json_file", metavar="FILE", help="Write the run as JSON; - is standard output."
)
@click.option("--plain", is_flag=True, help="Print without colors and wrapping.")
def replay_command(run: str, json_file: str | None, plain: bool) -> int:
    """Run the group of RUN again, in the same order of its units.

    RUN is the beginning of the id of a run that `testrium explore` has kept; default: the last one.
    Where the units do not come to the points of that order any more, the result is unknown
    (undecided, at the point), unless it fails.
    Exit codes: as of run.
    """
    from testrium.exploration import replay
    from testrium.report.console import Console, Display
    from testrium.report.json_report import run_json
    from testrium.report.writer import ReportChoice, check_targets

    cwd = Path.cwd()
    choice: ReportChoice = ReportChoice("--json", "json", json_file)
    check_targets((choice,), cwd)
    replayed = replay(run, cwd, QuietObserver())
    stream = sys.stderr if choice.on_stdout else sys.stdout
    console = Console(stream, cwd=cwd, display=Display(plain=plain))
    click.echo(f"repeats run {replayed.stored}:", file=stream)
    for line in replayed.order or ("no decisions: the declared order",):
        click.echo(f"    {line}", file=stream)
    console.show(replayed.run)
    write_chosen(choice, json.dumps(run_json(replayed.run), indent=2) + "\n", cwd)
    return replayed.run.exit_code
