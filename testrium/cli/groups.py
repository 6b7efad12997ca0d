"""`testrium list` and `testrium check`: the groups, what they cover, and whether they are valid."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from testrium.cli.completion import PATH
from testrium.cli.main import Common
from testrium.cli.options import Selected, property_option, selection_options
from testrium.declared.groups import Group, Scenario
from testrium.errors import ConfigError, UsageError
from testrium.load.defaults import DEFAULT, Setting, settings_of
from testrium.load.project import Project
from testrium.phrases import plural
from testrium.plan.selection import ResultKey, Selection
from testrium.report.escape import json_text, visible
from testrium.words import BAD_VERDICTS, Verdict


@click.command(name="check")
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH]...")
@property_option
@click.pass_obj
def check_command(common: Common, paths: tuple[str, ...]) -> int:
    """Validate the groups below PATH (default: the current folder); run nothing.

    Prints every problem as file:line: key: what is wrong, and a notice for functions that look like
    tests and are never run. Exit code 3 if there is a problem, 2 if no group was found.
    """
    from testrium.load.test_functions import unrun_tests
    from testrium.load.units import what_is_missing
    from testrium.plan.selection import select
    from testrium.session import load, plan

    cwd, selection = Path.cwd(), Selection(less=common.less)
    _, groups = load(paths, cwd, selection)
    chosen = select(groups, selection)
    missing = [problem for group in chosen for problem in what_is_missing(group, cwd)]
    if missing:
        raise ConfigError(tuple(missing))
    plan(groups, selection)
    notices = [notice for group in chosen for notice in (*group.notices, *unrun_tests(group, cwd))]
    for notice in dict.fromkeys(notices):
        click.echo(f"notice: {notice}")
    units = sum(len(group.units) for group in chosen)
    click.echo(f"{plural(len(chosen), 'group')}, {plural(units, 'unit')}: no problem")
    return 0


_VIEWS = ("effective", "tags", "requirements")


@click.command(name="list")
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH]...")
@selection_options
@click.option(
    "--sort",
    type=click.Choice(["order", "id", "title", "duration", "verdict"]),
    default="order",
    show_default=True,
    help="Sort by start, id, title, duration (longest first) or last verdict (worst first).",
)
@click.option("--reverse", is_flag=True, help="Reverse the order.")
@click.option(
    "--effective", is_flag=True, help="Show each group's effective settings and where they are set."
)
@click.option("--tags", is_flag=True, help="List the tags, with the groups that have them.")
@click.option(
    "--requirements", is_flag=True, help="List the requirements, with groups and verdicts."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_command(
    common: Common,
    /,
    paths: tuple[str, ...],
    selected: Selected,
    sort: str,
    reverse: bool,
    as_json: bool,
    **views: bool,
) -> int:
    """List the groups below PATH (default: the current folder) in the order in which they run.

    A group has a line for each combination of its matrix. A PATH may be all that `testrium run`
    takes: a pattern 'shop/*', a range of ids cart..search.
    """
    from testrium.session import load, plan

    if len(wanted := [name for name in _VIEWS if views[name]]) > 1:
        raise UsageError(f"--{wanted[0]} conflicts with --{wanted[1]}: use one of them")
    cwd = Path.cwd()
    selection = selected.without(*common.less).selection(cwd)
    project, groups = load(paths, cwd, selection)
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
            from testrium.history.database import expected_durations

            durations, _ = expected_durations(project.state_folder)
            return lambda each: -durations.get(each.id, -math.inf)
        case "verdict":
            verdicts = last_verdicts(project)
            return lambda each: rank(worst(verdicts, each))
        case _:
            return lambda _: 0  # as they run


def _print_groups(firsts: list[Scenario], *, as_json: bool) -> None:
    if as_json:
        click.echo(json_text([_plain(scenario) for scenario in firsts], indent=1))
        return

    width = max(len(scenario.id) for scenario in firsts)
    for scenario in firsts:
        title = f"  {scenario.group.title}" if scenario.group.title else ""
        click.echo(visible(f"{scenario.id:<{width}}  {', '.join(_facts(scenario))}{title}"))


def _facts(scenario: Scenario) -> list[str]:
    group = scenario.group
    own = [unit for unit in scenario.units if not unit.scope]
    facts = [plural(len(own), "unit"), plural(len(group.circuits), "circuit")]
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


#: From the one to look at first; None, never run, comes before what is fine.
_WORST_FIRST = (*BAD_VERDICTS, None, Verdict.SKIP, Verdict.XFAIL, Verdict.PASS)


def rank(verdict: Verdict | None) -> int:
    """The place of a verdict among those to look at, the worst is 0."""
    return _WORST_FIRST.index(verdict)


#: The verdict of the last run of each result.
LastVerdicts = Mapping[ResultKey, Verdict]


def worst(verdicts: LastVerdicts, *scenarios: Scenario) -> Verdict | None:
    """The one to look at first among these; None where one was never run."""
    keys = (ResultKey.of(each.group.folder, each.mode, each.params) for each in scenarios)
    return min(map(verdicts.get, keys), key=rank)


def last_verdicts(project: Project) -> LastVerdicts:
    """From the project's history; nothing where there is none."""
    from testrium.history.database import FILE, History

    verdicts: dict[ResultKey, Verdict] = {}
    state = project.state_folder
    if (state / FILE).exists():
        with History(state) as history:
            for row in history.latest_results():
                folder = (state.parent / row.folder).resolve()
                key = ResultKey.of(folder, row.mode, row.params)
                verdicts[key] = min(row.verdict, verdicts.get(key, row.verdict), key=rank)
    return verdicts


def print_tags(scenarios: Sequence[Scenario], *, as_json: bool) -> None:
    """Every tag with its groups."""
    groups = _groups(scenarios)
    by_tag = {
        tag: [group.id for group in groups if tag in group.tags]
        for tag in sorted({tag for group in groups for tag in group.tags})
    }
    if as_json:
        click.echo(json_text(by_tag, indent=1))
        return
    if not by_tag:
        click.echo("no group has a tag")
    width = max(map(len, by_tag), default=0)
    for tag, ids in by_tag.items():
        click.echo(visible(f"{tag:<{width}}  {', '.join(ids)}"))


def print_requirements(
    scenarios: Sequence[Scenario], project: Project, *, as_json: bool, whole: bool
) -> None:
    """Every requirement with the groups that cover it, and the verdicts of their last runs.

    Args:
        scenarios: what was selected.
        project: where requirements may be listed, and the history is.
        as_json: write JSON, for programs.
        whole: whether nothing was filtered out: then a requirement without a group is shown.
    """
    verdicts = last_verdicts(project)
    known = project.requirements or {}
    covered = {name for each in scenarios for name in each.group.requirements}
    rows = []
    for name in sorted(covered | (known.keys() if whole else set())):
        groups = {}
        for group in _groups(scenarios):
            if name in group.requirements:
                mine = [each for each in scenarios if each.group.folder == group.folder]
                groups[group.id] = worst(verdicts, *mine)
        rows.append(_Requirement(name, known.get(name, ""), groups))
    if as_json:
        click.echo(json_text([row.plain() for row in rows], indent=1))
        return
    if not rows:
        click.echo("no group names a requirement")
        return
    width = max(len(row.id) for row in rows)
    for row in rows:
        state = (row.verdict or "not run") if row.groups else "no group"
        shown = ", ".join(f"{id_} ({verdict or 'not run'})" for id_, verdict in row.groups.items())
        words = "  ".join(filter(None, (shown, row.text)))
        click.echo(visible(f"{row.id:<{width}}  {state:<8}  {words}").rstrip())
    passed = sum(row.verdict is Verdict.PASS for row in rows)
    without = sum(not row.groups for row in rows)
    uncovered = f", {without} without a group" if without else ""
    click.echo(f"\n{passed} of {len(rows)} passed{uncovered}")


class _Requirement(NamedTuple):
    """A requirement with the groups that cover it; a verdict is None where one was never run."""

    id: str
    text: str
    groups: Mapping[str, Verdict | None]

    @property
    def verdict(self) -> Verdict | None:
        return min(self.groups.values(), key=rank, default=None)

    def plain(self) -> dict[str, Any]:
        groups = [{"id": id_, "verdict": verdict} for id_, verdict in self.groups.items()]
        return {"id": self.id, "text": self.text, "verdict": self.verdict, "groups": groups}


def print_effective(
    scenarios: Sequence[Scenario], project: Project, cwd: Path, *, as_json: bool
) -> None:
    """What holds for every group, with its origin; without `as_json` only what a file says."""
    groups = {group.id: settings_of(group, cwd, project) for group in _groups(scenarios)}
    if as_json:
        plain = [
            {"id": id_, "settings": [setting._asdict() for setting in settings]}
            for id_, settings in groups.items()
        ]
        click.echo(json_text(plain, indent=1, default=str))
        return
    for number, (id_, settings) in enumerate(groups.items()):
        if number:
            click.echo()
        click.echo(visible(id_))
        _print_settings([each for each in settings if each.origin != DEFAULT])


def _print_settings(settings: Sequence[Setting]) -> None:
    texts = [
        f"    {each.key} = {json.dumps(each.value, ensure_ascii=False, default=str)}"
        for each in settings
    ]
    width = min(60, max(map(len, texts), default=0))
    table: str | None = ""
    for setting, text in zip(settings, texts, strict=True):
        if setting.unit != table:
            table = setting.unit
            click.echo(visible(f"  [{'Configs' if table is None else table}]"))
        click.echo(visible(f"{text:<{width}}  {setting.origin}"))


def _groups(scenarios: Iterable[Scenario]) -> list[Group]:
    """The groups of scenarios, each once, in their order."""
    return list({each.group.folder: each.group for each in scenarios}.values())
