"""`testrium chaos`, `explore` and `generate`: run one group again and again, to break it.

Each finds the smallest plan of faults, order or example that does. `testrium replay` repeats one.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from testrium import __version__
from testrium.chaos import as_table, as_toml, brief
from testrium.cli.completion import PATH, RUN
from testrium.cli.options import stream_beside
from testrium.errors import ConfigError, ExitCode, Problem, TestriumError
from testrium.phrases import plural
from testrium.report.writer import ReportChoice, check_targets
from testrium.results import SilentObserver
from testrium.tuples import NamedTuple
from testrium.words import Verdict

if TYPE_CHECKING:
    from testrium.campaign import Break, Outcome, Trial
    from testrium.chaos import Plan, Target
    from testrium.declared.groups import Scenario
    from testrium.evidence import Finding
    from testrium.exploration import DrawnRuns, Explored, Ordered, Race
    from testrium.generation import Example, Generated, StayingUp
    from testrium.interleavings import Chance
    from testrium.results import GroupResult, RunResult

_Found = TypeVar("_Found", bound="Outcome | Explored | Generated")


class SearchRequest(NamedTuple):
    """What the options ask of a command that runs one group again and again.

    `number` runs, plans or examples are drawn from `seed`, as the option `counts` says.
    """

    command: str
    path: str
    cwd: Path
    seed: int
    counts: str
    number: int
    fail_fast: bool
    choice: ReportChoice
    plain: bool

    def drawn(self) -> DrawnRuns:
        """The same without what is said of reports."""
        from testrium.exploration import DrawnRuns

        observer = QuietObserver()
        return DrawnRuns(self.path, self.cwd, self.seed, self.number, observer, self.fail_fast)


def _search_command(
    name: str, *, counts: str, default: int, drawn: str, told: str, stops: str = ""
) -> Callable[[Callable[..., int]], click.Command]:
    """Make a command with the options of a `SearchRequest`; it gets one value, `asked`.

    Args:
        name: the command's.
        counts: the option that says how many are drawn: `--runs`.
        default: how many.
        drawn: what, in the plural.
        told: what the report as JSON is called.
        stops: the help of `-x`; "" for a command that has none.
    """

    def decorate(function: Callable[..., int]) -> click.Command:
        @functools.wraps(function)
        def gather(
            *,
            group: str,
            seed: int | None,
            count: int,
            json_file: str | None,
            plain: bool,
            fail_fast: bool = False,
            **others: Any,
        ) -> int:
            seed = int.from_bytes(os.urandom(3)) if seed is None else seed
            choice, cwd = ReportChoice("--json", "json", json_file), Path.cwd()
            check_targets((choice,), cwd)
            asked = SearchRequest(name, group, cwd, seed, counts, count, fail_fast, choice, plain)
            return function(asked, **others)

        gathered: Callable[..., int] = gather
        for option in reversed(_search_options(counts, default, drawn, told, stops)):
            gathered = option(gathered)
        return click.command(name=name)(gathered)

    return decorate


def _search_options(
    counts: str, default: int, drawn: str, told: str, stops: str
) -> Sequence[Callable[[Callable[..., int]], Callable[..., int]]]:
    positive = click.IntRange(1)
    options = [
        click.argument("group", type=PATH, default=".", metavar="[GROUP]"),
        click.option(
            "--seed",
            type=click.IntRange(0),
            metavar="S",
            help=f"Draw the same {drawn} as with the same S before.",
        ),
        click.option(
            counts,
            "count",
            type=positive,
            default=default,
            show_default=True,
            metavar="N",
            help=f"Try N {drawn}.",
        ),
        click.option(
            "--json",
            "json_file",
            metavar="FILE",
            help=f"Write the {told} as JSON; - is standard output.",
        ),
        click.option("--plain", is_flag=True, help="Print without colors and wrapping."),
    ]
    if stops:
        options.insert(3, click.option("-x", "fail_fast", is_flag=True, help=stops))
    return options


class QuietObserver(SilentObserver):
    """Watches the single runs and says nothing but notices."""

    def notice(self, text: str | Problem) -> None:
        click.echo(f"notice: {text}", err=True)


def _write_chosen(choice: ReportChoice, document: object, cwd: Path) -> None:
    """Write the report that was asked for, if one was. Raises InfraError."""
    from testrium.report.writer import write_stdout
    from testrium.system.files import write_text

    text = json.dumps(document, indent=2) + "\n"
    if choice.on_stdout:
        write_stdout(text)
    elif choice.target is not None:
        write_text(cwd / choice.target, text)


class _SearchPrinter(Generic[_Found]):
    """Watches a search: prints what it tries and finds, and keeps it for the report as JSON."""

    def __init__(self, asked: SearchRequest, *options: str) -> None:
        """`options` are those of the command line besides the ones that all searches have."""
        self.asked = asked
        self._options = options
        self._stream = stream_beside((asked.choice,))

    def watch(self, search: Callable[[], _Found]) -> ExitCode:
        """Search, and report it, also where an error ends it early; returns the exit code."""
        try:
            found = search()
        except TestriumError as error:
            self._write(error.exit_code, error)
            raise
        self.ended(found)
        self._write(found.exit_code)
        return found.exit_code

    def ended(self, found: _Found) -> None:
        """Print what the search came to."""
        raise NotImplementedError

    def counted(self) -> dict[str, int]:
        """The fields of the report that count runs."""
        raise NotImplementedError

    def details(self) -> dict[str, Any]:
        """The fields of the report that tell what was tried and found."""
        raise NotImplementedError

    def say(self, text: str = "") -> None:
        click.echo(text, file=self._stream)

    def show(self, result: GroupResult) -> None:
        from testrium.report.console import Console, Display

        asked = self.asked
        Console(self._stream, cwd=asked.cwd, display=Display(plain=asked.plain)).show_group(result)

    def _write(self, exit_code: int, error: TestriumError | None = None) -> None:
        """Write the report as JSON, if it was asked for; `error` is why the search ended early."""
        asked = self.asked
        command = ["testrium", asked.command, asked.path, "--seed", str(asked.seed)]
        command += [asked.counts, str(asked.number), *(["-x"] if asked.fail_fast else [])]
        document = {
            "testrium": __version__,
            "command": shlex.join((*command, *self._options)),
            "verdict": {0: "pass", 1: "fail", 4: "unknown"}.get(exit_code, "error"),
            "exit_code": int(exit_code),
            "seed": asked.seed,
            asked.counts.removeprefix("--"): asked.number,
            **self.counted(),
            "errors": [problem._asdict() for problem in _problems_of(error)],
            **self.details(),
        }
        _write_chosen(asked.choice, document, asked.cwd)


def _problems_of(error: TestriumError | None) -> tuple[Problem, ...]:
    if error is None:
        return ()
    if isinstance(error, ConfigError):
        return error.problems
    return (Problem("", None, "", str(error)),)


def _finding_fields(finding: Finding | None) -> dict[str, Any] | None:
    if finding is None:
        return None
    return {
        "code": str(finding.code),
        "where": finding.where,
        "key": finding.key,
        "message": finding.message,
    }


def _shown_result(found: GroupResult, kept: RunResult | None) -> GroupResult:
    """The result of the run that is kept, which can be repeated, where that fails too."""
    again = found if kept is None else kept.groups[0]
    return again if again.verdict is Verdict.FAIL else found


# testrium chaos -----------------------------------------------------------------------------------


@_search_command(
    "chaos",
    counts="--runs",
    default=50,
    drawn="plans",
    told="campaign",
    stops="Stop after the first plan that breaks the group.",
)
def chaos_command(asked: SearchRequest) -> int:
    """Break GROUP (a folder; default: the current one) by random plans of faults.

    The table [chaos] of its config.toml says what may be broken. The group runs once without
    faults, then under N plans. Each breaking plan is reduced to the smallest one that still fails,
    and printed as [[faults]] to paste into config.toml.
    Exit codes: 0 no plan broke it, 1 a plan did, 2 no group, 3 it cannot be tried, 5 the runner
    failed.
    """
    from testrium.campaign import run_campaign

    printer = _ChaosPrinter(asked)
    return printer.watch(lambda: run_campaign(asked.drawn(), printer))


class _ChaosPrinter(_SearchPrinter["Outcome"]):
    """Prints a line for each plan, and all of one that breaks the circuit."""

    def __init__(self, asked: SearchRequest) -> None:
        super().__init__(asked)
        self._baseline: dict[str, Any] | None = None
        self._plans: list[dict[str, Any]] = []
        self._breaks: list[dict[str, Any]] = []

    def began(self, baseline: Trial, found: tuple[Target, ...], seed: int) -> None:
        result = baseline.result
        probes = [str(target.at) for target in found if target.at is not None]
        links = [f"{target.unit}.{target.port}" for target in found if target.at is None]
        self._baseline = {
            "group": result.scenario.id,
            "duration_s": round(result.duration_s, 6),
            "probes": probes,
            "links": links,
        }
        self.say(
            f"{result.scenario.id} passes with nothing broken ({result.duration_s:.2f} s);"
            f" {plural(len(probes), 'probe')} and {plural(len(links), 'link')} may be broken;"
            f" seed {seed}"
        )

    def tried(self, trial: Trial, known: Break | None) -> None:
        outcome = _outcome_of(trial)
        self._plans.append(
            {
                "number": trial.number,
                "outcome": outcome,
                "faults": _faults(trial.plan),
                **_result(trial),
                "same_as": None if known is None else known.trial.number,
            }
        )
        number = f"{trial.number:>{len(str(self.asked.number))}}/{self.asked.number}"
        word = "BROKE" if trial.broke else outcome
        self.say(f"{number}  {word:<7}  {'; '.join(map(brief, trial.plan))}")
        if trial.finding is not None:
            again = f", as plan {known.trial.number} did" if known is not None else ""
            where = f"{trial.finding.title}{again}"
            self.say(f"{'':{len(number)}}           {where}")

    def broke(self, one: Break) -> None:
        smallest = one.smallest
        self._breaks.append(
            {
                "plan": one.trial.number,
                "tries": one.tries,
                "faults": None if smallest is None else _faults(smallest.plan),
                "toml": None if smallest is None else as_toml(smallest.plan),
                **_result(smallest or one.trial),
            }
        )
        self.say()
        if smallest is None:
            self.say(f"plan {one.trial.number} did not break it a second time: a race, perhaps")
        else:
            runs = plural(one.tries, "more run")
            self.say(f"the smallest plan that breaks it (found with {runs}), for config.toml:")
            self.say()
            for line in as_toml(smallest.plan).splitlines():
                self.say(f"    {line}".rstrip())
            self.say()
        self.show((smallest or one.trial).result)
        self.say()

    def ended(self, found: Outcome) -> None:
        plans, seed = plural(found.tried, "plan"), self.asked.seed
        self.say()
        if found.exit_code.is_interruption:
            self.say(f"interrupted after {plans}, {found.broken} broke the circuit (seed {seed})")
            return
        if found.tried < self.asked.number and not self.asked.fail_fast:
            self.say(f"only {found.tried} different plans exist")
        self.say(
            f"{found.broken} of {plans} broke the circuit (seed {seed})"
            if found.broken
            else f"{plans} tried, none broke the circuit (seed {seed})"
        )

    def counted(self) -> dict[str, int]:
        broken = sum(plan["outcome"] == "broke" for plan in self._plans)
        return {"tried": len(self._plans), "broken": broken}

    def details(self) -> dict[str, Any]:
        return {"baseline": self._baseline, "plans": self._plans, "breaks": self._breaks}


def _outcome_of(trial: Trial) -> str:
    """`broke`, `idle`, `ok`; or the verdict of one that could not be decided or run."""
    if trial.broke:
        return "broke"
    if trial.finding is not None:
        return str(trial.result.verdict)
    return "idle" if trial.idle else "ok"


def _result(trial: Trial) -> dict[str, Any]:
    run_dir = trial.result.run_dir
    return {
        "finding": _finding_fields(trial.finding),
        "duration_s": round(trial.result.duration_s, 6),
        "run_dir": None if run_dir is None else str(run_dir),
    }


def _faults(plan: Plan) -> list[dict[str, Any]]:
    return [as_table(fault) for fault in plan]


# testrium explore, testrium replay ----------------------------------------------------------------


@_search_command(
    "explore",
    counts="--runs",
    default=200,
    drawn="orders",
    told="exploration",
    stops="Stop after the first order that breaks the group.",
)
def explore_command(asked: SearchRequest) -> int:
    """Run GROUP (a folder; default: the current one) in N orders of its units.

    Units are held at their probes and let go on one at a time, by random priorities. The table
    [explore] of config.toml says at which probes. Each order that fails in a new way is reduced to
    the fewest decisions that still fail, explained, and kept as a run: testrium replay RUN.
    Exit codes: 0 no order failed, 1 an order did, 2 no group, 3 it cannot be explored, 4 none
    failed and some could not be decided, 5 the runner failed.
    """
    from testrium.exploration import explore

    printer = _RacePrinter(asked)
    return printer.watch(lambda: explore(asked.drawn(), printer))


class _RacePrinter(_SearchPrinter["Explored"]):
    """Prints a line for each run that did not pass, and how each order that fails went."""

    def __init__(self, asked: SearchRequest) -> None:
        super().__init__(asked)
        self._baseline: dict[str, Any] | None = None
        self._chances: list[dict[str, Any]] = []
        self._verdicts: list[str] = []
        self._races: list[dict[str, Any]] = []

    def began(self, baseline: Ordered, guaranteed: tuple[Chance, ...]) -> None:
        result, trace = baseline.result, baseline.trace
        self._baseline = {
            "group": result.scenario.id,
            "verdict": str(result.verdict),
            "duration_s": round(result.duration_s, 6),
            "threads": list(trace.threads),
            "points": trace.points,
        }
        self._chances = [each._asdict() for each in guaranteed]
        verb = "fails" if baseline.failed else "passes"
        if result.verdict is Verdict.UNKNOWN:
            verb = "is undecided"
        self.say(
            f"{result.scenario.id} {verb} in its declared order ({result.duration_s:.2f} s):"
            f" {plural(len(trace.threads), 'thread')} reached {plural(trace.points, 'point')};"
            f" seed {self.asked.seed}"
        )
        runs = plural(self.asked.number, "run")
        found = ", ".join(f"{each.depth}: {_percent(each.in_all)}" for each in guaranteed)
        self.say(f"least chance that {runs} hit a bug, by its depth: {found}")

    def tried(self, ordered: Ordered, known: Race | None) -> None:
        finding, verdict = ordered.finding, ordered.result.verdict
        self._verdicts.append(str(verdict))
        if finding is None or verdict is Verdict.PASS:
            return
        again = f", as run {known.found.number} did" if known is not None else ""
        number = f"{ordered.number:>{len(str(self.asked.number))}}/{self.asked.number}"
        word = "FAIL" if ordered.failed else str(verdict)
        self.say(f"{number}  {word:<7}  {finding.title}{again}")

    def found(self, race: Race) -> None:
        best = (race.smallest or race.found).result
        decisions = None if race.smallest is None else race.smallest.schedule.decisions
        self._races.append(
            {
                "number": race.found.number,
                "finding": _finding_fields(race.found.finding),
                "decisions": None
                if decisions is None
                else [{"first": one.first, "held": one.held} for one in decisions],
                "order": list(race.order),
                "tries": race.tries,
                "run": None if race.run is None else race.run.run,
                "run_dir": None if best.run_dir is None else str(best.run_dir),
            }
        )
        self.say()
        which = f"run {race.found.number}" if race.found.number else "the declared order"
        runs = plural(race.tries, "more run")
        if decisions is None:
            self.say(f"{which} failed, and did not fail again by its decisions ({runs})")
        elif not decisions:
            self.say(f"{which} fails; no decision is needed ({runs})")
        else:
            self.say(f"{which} fails; the fewest decisions that still do so ({runs}):")
            self.say()
            for line in _in_order(race.order):
                self.say(line)
        self.say()
        self.show(_shown_result(best, race.run))
        if race.run is not None:
            self.say()
            self.say(f"run {race.run.run}  (testrium replay {race.run.run})")
        self.say()

    def ended(self, found: Explored) -> None:
        runs, seed = plural(found.tried, "run"), self.asked.seed
        if found.exit_code.is_interruption:
            self.say(f"interrupted after {runs}, {found.failed} failed (seed {seed})")
            return
        if found.tried < self.asked.number and not found.failed:
            self.say(f"only {found.tried} different orders can be drawn")
        undecided = f", {found.undecided} undecided" if found.undecided else ""
        if found.failed:
            kinds = plural(len(found.races), "way")
            self.say(f"{found.failed} of {runs} failed, in {kinds}{undecided} (seed {seed})")
        else:
            self.say(f"{runs}, none failed{undecided} (seed {seed})")

    def counted(self) -> dict[str, int]:
        return {"tried": len(self._verdicts), "failed": self._verdicts.count("fail")}

    def details(self) -> dict[str, Any]:
        return {"baseline": self._baseline, "chances": self._chances, "found": self._races}


def _percent(chance: float) -> str:
    return f"{100 * chance:.3g} %" if chance < 0.9995 else "over 99.9 %"


def _in_order(order: Sequence[str]) -> list[str]:
    """What came before what, indented, one decision a line."""
    return [f"    {line}, then" for line in order[:-1]] + [f"    {line}" for line in order[-1:]]


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

    cwd = Path.cwd()
    choice = ReportChoice("--json", "json", json_file)
    check_targets((choice,), cwd)
    replayed = replay(run, cwd, QuietObserver())
    stream = stream_beside((choice,))
    console = Console(stream, cwd=cwd, display=Display(plain=plain))
    click.echo(f"repeats run {replayed.stored}:", file=stream)
    for line in replayed.order or ("no decisions: the declared order",):
        click.echo(f"    {line}", file=stream)
    console.show(replayed.run)
    _write_chosen(choice, run_json(replayed.run), cwd)
    return replayed.run.exit_code


# testrium generate --------------------------------------------------------------------------------


@_search_command("generate", counts="--examples", default=50, drawn="examples", told="generation")
@click.option("--explore", is_flag=True, help="Draw the order of the units for each example too.")
def generate_command(asked: SearchRequest, explore: bool) -> int:
    """Run GROUP (a folder; default: the current one) with drawn arguments of its entrypoints.

    Hypothesis draws the argument of each entrypoint that has @testrium.testing.generate(strategy).
    An example that fails is shrunk to the smallest that still does, remembered, and kept as a run:
    testrium replay RUN.
    Exit codes: 0 no example failed, 1 an example did, 2 no group, 3 there is nothing to generate,
    4 none failed and some could not be decided, 5 the runner failed.
    """
    from testrium.generation import generate

    printer = _ExamplePrinter(asked, *(["--explore"] if explore else []))
    return printer.watch(lambda: generate(asked.drawn(), printer, explore=explore))


class _ExamplePrinter(_SearchPrinter["Generated"]):
    """Prints the first example that fails, and the smallest one."""

    _failed = False
    _generated: Generated | None = None

    def began(self, scenario: Scenario, units: tuple[str, ...], staying: StayingUp) -> None:
        examples = plural(self.asked.number, "example")
        self.say(f"{scenario.id}: up to {examples} for {', '.join(units)}; seed {self.asked.seed}")
        if staying.names:
            reset = scenario.group.generate.reset if scenario.group.generate else None
            self.say(f"between examples {reset} resets {', '.join(staying.names)}")
        self.starts_anew(staying)

    def starts_anew(self, staying: StayingUp) -> None:
        if staying.why_not:
            self.say(f"each example starts its services: {staying.why_not}")

    def tried(self, example: Example) -> None:
        if not example.failed or self._failed or example.finding is None:
            return
        self._failed = True
        finding = example.finding
        self.say(f"example {example.number} fails: {finding.title}")
        self._tell_arguments(example)

    def ended(self, found: Generated) -> None:
        self._generated = found
        seed, smallest = self.asked.seed, found.smallest
        if found.exit_code.is_interruption:
            runs = plural(found.tried, "run")
            self.say(f"interrupted after {runs} (seed {seed}); nothing is kept")
            return
        undecided = f", {found.undecided} undecided" if found.undecided else ""
        if found.services is not None:
            finding = found.services.judgement.findings[0]
            self.say(f"the services that stayed up failed at their end: {finding.code} at")
            self.say(f"{finding.where}: {finding.message}")
        if found.flaky:
            self.say(f"it did not fail each time: {found.flaky}")
        if smallest is None:
            runs = plural(found.tried, "example")
            self.say(f"{runs}, none failed{undecided} (seed {seed})")
            return
        self.say()
        self.say(f"the smallest example that fails ({plural(found.tried, 'run')} in all):")
        self._tell_arguments(smallest)
        self._tell_needs(smallest, found)
        self.say()
        self.show(_shown_result(smallest.result, found.run))
        self.say()
        if found.run is not None:
            self.say(f"run {found.run.run}  (testrium replay {found.run.run})")
            if found.run.exit_code != ExitCode.FAILURE:
                self.say(f"it did not fail in this run, which ended with {found.run.verdict}")
        path = shlex.quote(self.asked.path)
        self.say(f"testrium generate {path} tries this example first from now on")

    def _tell_arguments(self, example: Example) -> None:
        from testrium.report.escape import visible

        for unit, value in example.text.items():
            self.say(f"    {unit}: {visible(value)}")

    def _tell_needs(self, smallest: Example, found: Generated) -> None:
        """Say under which faults it fails, and in which order."""
        declared = found.first.faults if found.first is not None else ()
        if declared and not smallest.faults:
            self.say("it fails without the faults of the group too")
        elif declared:
            self.say(f"under {len(smallest.faults)} of {plural(len(declared), 'fault')}:")
            for fault in smallest.faults:
                self.say(f"    {brief(fault)}")
        if smallest.schedule is not None and not smallest.schedule.seed:
            self.say("in this order:" if smallest.order else "in the declared order")
            for line in _in_order(smallest.order):
                self.say(line)

    def counted(self) -> dict[str, int]:
        return {"tried": self._generated.tried if self._generated else 0}

    def details(self) -> dict[str, Any]:
        found = self._generated
        return {
            "first": _example(found.first) if found else None,
            "smallest": _example(found.smallest) if found else None,
            "flaky": found.flaky if found else "",
            "kept_up": list(found.staying.names) if found else [],
            "run": found.run.run if found and found.run else None,
        }


def _example(example: Example | None) -> dict[str, Any] | None:
    if example is None:
        return None
    return {
        "number": example.number,
        "arguments": example.text,
        "finding": _finding_fields(example.finding),
        "faults": [as_table(fault) for fault in example.faults],
        "order": list(example.order),
    }
