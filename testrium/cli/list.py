"""`testrium list`: the groups and what would be run, what they cover, what holds for them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testrium.cli.check import counted
from testrium.cli.main import Common
from testrium.cli.selecting import selecting
from testrium.errors import UsageError

if TYPE_CHECKING:
    from testrium.load.project import Project
    from testrium.model import Scenario

_VIEWS = ("effective", "tags", "requirements")


@click.command(name="list")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@selecting
@click.option(
    "--sort",
    type=click.Choice(["order", "id", "title", "duration", "verdict"]),
    default="order",
    show_default=True,
    help="duration: the longest first, from the history; verdict: the last one, worst first.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--effective", is_flag=True, help="What holds for each group, and who says so.")
@click.option("--tags", is_flag=True, help="The tags, with the groups that have them.")
@click.option("--requirements", is_flag=True, help="The requirements, with groups and verdicts.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.pass_obj
def command(
    common: Common,
    /,
    paths: tuple[str, ...],
    less: tuple[str, ...],
    tag: str,
    grep: str,
    requirement: tuple[str, ...],
    failed: bool,
    all_modes: bool,
    sort: str,
    reverse: bool,
    as_json: bool,
    **views: bool,
) -> int:
    """List the groups below PATH (default: the current folder) in the order in which they run.

    A group has a line for each combination of its matrix. A PATH may be all that `testrium run`
    takes: a pattern 'shop/*', a range of ids cart..search.
    """
    from testrium.cli.listings import print_effective, print_requirements, print_tags
    from testrium.earlier_runs import failed_results
    from testrium.plan.selection import Selection
    from testrium.session import load, plan

    if len(wanted := [name for name in _VIEWS if views[name]]) > 1:
        raise UsageError(f"--{wanted[0]} cannot stand beside --{wanted[1]}")
    cwd = Path.cwd()
    project, groups = load(paths, cwd)
    selection = Selection(
        less=common.less + less,
        tag=tag,
        grep=grep,
        requirements=requirement,
        all_modes=all_modes,
        failed=failed_results(cwd) if failed else None,
    )
    scenarios = plan(groups, selection, repeat=0)
    match wanted:
        case ["tags"]:
            print_tags(scenarios, as_json=as_json)
        case ["requirements"]:
            print_requirements(scenarios, project, as_json=as_json, whole=not selection.narrows)
        case ["effective"]:
            print_effective(scenarios, project, cwd, as_json=as_json)
        case _:
            _print_groups(_sorted(scenarios, sort, project, reverse=reverse), as_json=as_json)
    return 0


def _sorted(
    scenarios: tuple[Scenario, ...], sort: str, project: Project, *, reverse: bool
) -> list[Scenario]:
    """One scenario for each combination, all of whose modes have one line; ties keep the order."""
    firsts = list({scenario.id: scenario for scenario in reversed(scenarios)}.values())[::-1]
    firsts.sort(key=_sort_key(sort, project))
    return firsts[::-1] if reverse else firsts


def _sort_key(sort: str, project: Project) -> Callable[[Scenario], Any]:
    match sort:
        case "id":
            return lambda each: each.id
        case "title":
            return lambda each: (each.group.title.casefold(), each.id)
        case "duration":
            from testrium.record.history import expected_durations

            durations, _ = expected_durations(project.state_folder)
            return lambda each: -durations.get(each.id, -math.inf)
        case "verdict":
            from testrium.cli.listings import last_verdicts, rank

            verdicts = last_verdicts(project)
            return lambda each: rank(verdicts.worst(each))
        case _:
            return lambda _: 0  # as they run


def _print_groups(firsts: list[Scenario], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_plain(scenario) for scenario in firsts], indent=1))
        return
    from testrium.report.escape import visible

    width = max(len(scenario.id) for scenario in firsts)
    for scenario in firsts:
        title = f"  {scenario.group.title}" if scenario.group.title else ""
        click.echo(visible(f"{scenario.id:<{width}}  {', '.join(_facts(scenario))}{title}"))


def _facts(scenario: Scenario) -> list[str]:
    group = scenario.group
    own = [unit for unit in scenario.units if not unit.scope]
    facts = [counted(len(own), "unit"), counted(len(group.circuits), "circuit")]
    if group.fixtures:
        facts.append(f"with {' '.join(group.fixtures)}")
    if len(group.test_modes) > 1:
        facts.append(" ".join(group.test_modes))
    if group.repeat:
        facts.append(f"{group.repeat + 1} runs")
    if group.tags:
        facts.append(" ".join(f"#{tag}" for tag in group.tags))
    if group.requirements:
        facts.append(f"covers {' '.join(group.requirements)}")
    if group.expect_fail:
        facts.append(f"expected to fail: {group.expect_fail}")
    if scenario.skip:
        facts.append(f"skipped: {scenario.skip}")
    return facts


def _plain(scenario: Scenario) -> dict[str, Any]:
    """A line of the list as JSON can hold it."""
    group = scenario.group
    return {
        "id": scenario.id,
        "folder": str(group.folder),
        "title": group.title,
        "purpose": group.purpose,
        "modes": list(group.test_modes),
        "params": dict(scenario.params),
        "repeat": group.repeat,
        "order": group.order,
        "units": [unit.name for unit in scenario.units if not unit.scope],
        "fixtures": list(group.fixtures),
        "circuits": [circuit.name for circuit in group.circuits],
        "tags": list(group.tags),
        "requirements": list(group.requirements),
        "requires": list(group.requires),
        "skip": scenario.skip or None,
        "expect_fail": group.expect_fail or None,
    }
