"""The further views of `testrium list`: tags, requirements, and what holds for each group."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from testrium.load.effective import DEFAULT, Setting, settings_of
from testrium.load.project import Project
from testrium.model import BAD_VERDICTS, Group, Scenario, Verdict
from testrium.plan.selection import ResultKey
from testrium.report.escape import visible

#: From the one to look at first; None, never run, comes before what is fine.
_WORST_FIRST = (*BAD_VERDICTS, None, Verdict.SKIP, Verdict.XFAIL, Verdict.PASS)


def rank(verdict: Verdict | None) -> int:
    """The place of a verdict among those to look at, the worst is 0."""
    return _WORST_FIRST.index(verdict)


class LastVerdicts(NamedTuple):
    """The verdicts of the last run of each result."""

    by_result: Mapping[ResultKey, Verdict]

    def worst(self, *scenarios: Scenario) -> Verdict | None:
        """The one to look at first among these; None where one was never run."""
        found = [
            self.by_result.get(ResultKey.of(each.group.folder, each.mode, each.params))
            for each in scenarios
        ]
        return min(found, key=rank)


def last_verdicts(project: Project) -> LastVerdicts:
    """From the project's history; nothing where there is none."""
    from testrium.record.history import FILE, History

    by_result: dict[ResultKey, Verdict] = {}
    state = project.state_folder
    if (state / FILE).exists():
        with History(state) as history:
            for row in history.latest_results():
                folder = (state.parent / row.folder).resolve()
                key = ResultKey.of(folder, row.mode, row.params)
                by_result[key] = min(row.verdict, by_result.get(key, row.verdict), key=rank)
    return LastVerdicts(by_result)


def print_tags(scenarios: Sequence[Scenario], *, as_json: bool) -> None:
    """Every tag with its groups."""
    groups = _groups(scenarios)
    by_tag = {
        tag: [group.id for group in groups if tag in group.tags]
        for tag in sorted({tag for group in groups for tag in group.tags})
    }
    if as_json:
        click.echo(json.dumps(by_tag, indent=1))
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
        as_json: for machines.
        whole: whether nothing was filtered out: then a requirement without a group is told.
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
                groups[group.id] = verdicts.worst(*mine)
        rows.append(_Requirement(name, known.get(name, ""), groups))
    if as_json:
        click.echo(json.dumps([row.plain() for row in rows], indent=1))
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
        click.echo(json.dumps(plain, indent=1, default=str))
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
