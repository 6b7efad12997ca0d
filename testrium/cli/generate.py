"""`testrium generate`: run a group with operations that Hypothesis draws."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, TextIO

import click

from testrium import __version__
from testrium.chaos import as_table
from testrium.cli.chaos import QuietObserver, problems_of, write_chosen
from testrium.cli.explore import shown_result
from testrium.cli.options import SearchRequest, finding_fields, search_options
from testrium.errors import ExitCode, TestriumError

if TYPE_CHECKING:
    from testrium.declared.groups import Scenario
    from testrium.generation import Example, Generated, Generation, StayingUp


@click.command(name="generate")
@search_options(counts="--examples", default=50, drawn="examples", told="generation")
@click.option("--explore", is_flag=True, help="Draw the order of the units for each example too.")
def command(asked: SearchRequest, explore: bool) -> int:
    """Run GROUP (a folder; default: the current one) with drawn arguments of its entrypoints.

    Hypothesis draws the argument of each entrypoint that has @testrium.testing.generate(strategy).
    An example that fails is shrunk to the smallest that still does, remembered, and kept as a run:
    testrium replay RUN.
    Exit codes: 0 no example failed, 1 an example did, 2 no group, 3 there is nothing to generate,
    4 none failed and some could not be decided, 5 the runner failed.
    """
    from testrium.generation import Generation, generate

    generation = Generation(
        asked.path, asked.cwd, asked.seed, asked.number, QuietObserver(), explore
    )
    printer = _ExamplePrinter(asked.stream, generation)
    try:
        generated = generate(generation, printer)
    except TestriumError as error:
        write_chosen(
            asked.choice, _document(generation, int(error.exit_code), None, error), asked.cwd
        )
        raise
    printer.ended(generated, plain=asked.plain)
    document = _document(generation, int(generated.exit_code), generated)
    write_chosen(asked.choice, document, asked.cwd)
    return generated.exit_code


class _ExamplePrinter:
    """Prints the first example that fails, and the smallest one."""

    def __init__(self, stream: TextIO, generation: Generation) -> None:
        self._stream = stream
        self._generation = generation
        self._failed = False

    def _say(self, text: str = "") -> None:
        click.echo(text, file=self._stream)

    def began(self, scenario: Scenario, units: tuple[str, ...], staying: StayingUp) -> None:
        from testrium.phrases import plural

        examples = plural(self._generation.examples, "example")
        self._say(
            f"{scenario.id}: up to {examples} for {', '.join(units)}; seed {self._generation.seed}"
        )
        if staying.names:
            reset = scenario.group.generate.reset if scenario.group.generate else None
            self._say(f"between examples {reset} resets {', '.join(staying.names)}")
        self.starts_anew(staying)

    def starts_anew(self, staying: StayingUp) -> None:
        if staying.why_not:
            self._say(f"each example starts its services: {staying.why_not}")

    def tried(self, example: Example) -> None:
        if not example.failed or self._failed or example.finding is None:
            return
        self._failed = True
        finding = example.finding
        self._say(f"example {example.number} fails: {finding.code} at {finding.where}")
        self._show(example.text)

    def _show(self, text: dict[str, str]) -> None:
        from testrium.report.escape import visible

        for unit, value in text.items():
            self._say(f"    {unit}: {visible(value)}")

    def _tell_needs(self, smallest: Example, generated: Generated) -> None:
        """Say under which faults it fails, and in which order."""
        from testrium.chaos import brief
        from testrium.phrases import plural

        declared = generated.first.faults if generated.first is not None else ()
        if declared and not smallest.faults:
            self._say("it fails without the faults of the group too")
        elif declared:
            self._say(f"under {len(smallest.faults)} of {plural(len(declared), 'fault')}:")
            for fault in smallest.faults:
                self._say(f"    {brief(fault)}")
        if smallest.schedule is not None and not smallest.schedule.seed:
            self._say("in this order:" if smallest.order else "in the declared order")
            for number, line in enumerate(smallest.order):
                self._say(f"    {line}{', then' if number < len(smallest.order) - 1 else ''}")

    def ended(self, generated: Generated, *, plain: bool) -> None:
        from testrium.phrases import plural
        from testrium.report.console import Console, Display

        seed, smallest = self._generation.seed, generated.smallest
        if generated.exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            runs = plural(generated.tried, "run")
            self._say(f"interrupted after {runs} (seed {seed}); nothing is kept")
            return
        undecided = f", {generated.undecided} undecided" if generated.undecided else ""
        if generated.services is not None:
            finding = generated.services.judgement.findings[0]
            self._say(f"the services that stayed up failed at their end: {finding.code} at")
            self._say(f"{finding.where}: {finding.message}")
        if generated.flaky:
            self._say(f"it did not fail each time: {generated.flaky}")
        if smallest is None:
            runs = plural(generated.tried, "example")
            self._say(f"{runs}, none failed{undecided} (seed {seed})")
            return
        self._say()
        self._say(f"the smallest example that fails ({plural(generated.tried, 'run')} in all):")
        self._show(smallest.text)
        self._tell_needs(smallest, generated)
        self._say()
        console = Console(self._stream, cwd=self._generation.cwd, display=Display(plain=plain))
        console.show_group(shown_result(smallest.result, generated.run))
        self._say()
        if generated.run is not None:
            self._say(f"run {generated.run.run}  (testrium replay {generated.run.run})")
            if generated.run.exit_code != ExitCode.FAILURE:
                self._say(f"it did not fail in this run, which ended with {generated.run.verdict}")
        path = shlex.quote(self._generation.path)
        self._say(f"testrium generate {path} tries this example first from now on")


def _document(
    generation: Generation,
    exit_code: int,
    generated: Generated | None,
    error: TestriumError | None = None,
) -> str:
    """The report as JSON; `error` is why the generation could not be begun."""
    command = ["testrium", "generate", generation.path, "--seed", str(generation.seed)]
    command += ["--examples", str(generation.examples)]
    command += ["--explore"] if generation.explore else []
    document = {
        "testrium": __version__,
        "command": shlex.join(command),
        "verdict": {0: "pass", 1: "fail", 4: "unknown"}.get(exit_code, "error"),
        "exit_code": exit_code,
        "seed": generation.seed,
        "examples": generation.examples,
        "tried": generated.tried if generated else 0,
        "errors": [problem._asdict() for problem in problems_of(error)],
        "first": _example(generated.first) if generated else None,
        "smallest": _example(generated.smallest) if generated else None,
        "flaky": generated.flaky if generated else "",
        "kept_up": list(generated.staying.names) if generated else [],
        "run": generated.run.run if generated and generated.run else None,
    }
    return json.dumps(document, indent=2) + "\n"


def _example(example: Example | None) -> dict[str, Any] | None:
    if example is None:
        return None
    finding = example.finding
    return {
        "number": example.number,
        "arguments": example.text,
        "finding": None if finding is None else finding_fields(finding),
        "faults": [as_table(fault) for fault in example.faults],
        "order": list(example.order),
    }
