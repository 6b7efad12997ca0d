"""`testrium migrate`: what to write into groups of testrium 0.3.0, shown as a diff.

Old spellings are read from the files. The rest is read from one run of each group under the rule of
completion of 0.3.0: who ended, who had to be stopped, and which way keys took.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from testrium.cli.completion import PATH
from testrium.declared.groups import Configs
from testrium.declared.keys import field_named, folded, key_name, key_of
from testrium.declared.units import Unit
from testrium.errors import ConfigError, UsageError
from testrium.evidence import EndCause
from testrium.words import Code, Verdict

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Key as TomlKey
    from tomlkit.items import Table

    from testrium.declared.groups import Group, Scenario
    from testrium.load.project import Project
    from testrium.results import GroupResult

_CONFIG = "config.toml"


class _Change(NamedTuple):
    """A file with its text before and after."""

    file: Path
    before: str
    after: str

    def diff(self, cwd: Path) -> str:
        from testrium.load.document import shown_path

        name = shown_path(self.file, cwd)
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            f"{name} (now)",
            f"{name} (then)",
        )
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


class _Findings(NamedTuple):
    """What a run of a group has shown."""

    classic: bool = False
    stops: Mapping[str, str] = {}
    circuits: str = ""


@click.command(name="migrate")
@click.argument("path", type=PATH, default=".", metavar="[PATH]")
@click.option("--write", is_flag=True, help="Write the changes; without it you are asked.")
@click.option("--no-run", is_flag=True, help="Propose only what the files show; run no group.")
def command(path: str, write: bool, no_run: bool) -> int:
    """Show what to change in groups of testrium 0.3.0, and write it.

    PATH is a group or a folder with groups (default: the current folder). Old spellings of keys
    become the new ones. Each group is run once: a unit that others depend on gets its `stop`, a
    group with a unit that continues after its events gets `classic = true`, and a group that passed
    gets the circuits that `testrium learn` would propose. Comments stay.
    """
    _need_tomlkit()
    from testrium.session import load

    cwd = Path.cwd()
    project, groups = load((path,), cwd)
    if not groups:
        raise UsageError(f"{path}: no group found: a group has config.toml and units/*.toml")
    changes = []
    for group in groups:
        shown = _Findings() if no_run else _findings(group, project, cwd)
        changes += [change for change in _changes(group, shown) if change.after != change.before]
    for change in changes:
        click.echo(change.diff(cwd), nl=False)
    if not changes:
        click.echo("nothing to change")
        return 0
    if not write and not (sys.stdin.isatty() and click.confirm("Write these changes?")):
        click.echo("\nnothing was written: add --write", err=True)
        return 0
    _write(changes, path, cwd)
    files = "1 file" if len(changes) == 1 else f"{len(changes)} files"
    click.echo(f"\n{files} written; read the diff, then: testrium run {path}", err=True)
    return 0


def _need_tomlkit() -> None:
    try:
        import tomlkit  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "testrium migrate needs the package tomlkit, which keeps comments: install the extra"
            " with: pip install 'testrium[migrate]'"
        ) from error


# What a run shows ---------------------------------------------------------------------------------


def _findings(group: Group, project: Project, cwd: Path) -> _Findings:
    """Run the group under the classic rule. Notices say why something is left out."""
    from testrium.plan.selection import Selection
    from testrium.session import plan

    try:
        (scenario, *_) = plan((group,), Selection(), 0)
    except UsageError as error:
        _notice(group, str(error))
        return _Findings()
    if scenario.skip or scenario.unmet:
        _notice(group, f"not run: {scenario.skip or scenario.unmet}")
        return _Findings()
    click.echo(f"running {group.id} ...", err=True)
    scenario = scenario._replace(group=replace(group, classic=True))
    result = _run(scenario, project, cwd)
    notes, ends = result.judgement.notes, {end.unit: end for end in result.ends}
    needed = {name for unit in scenario.units for name in unit.dependencies}
    stops = {}
    for unit in scenario.units:
        end = ends.get(unit.name)
        if end is not None and unit.name in needed and unit.has_process and not unit.scope:
            if end.cause is EndCause.SELF:
                stops[unit.name] = "self"
            elif end.cause is EndCause.STOPPED:
                stops[unit.name] = "runner"
    if result.verdict is not Verdict.PASS:
        found = result.judgement.findings
        why = f"{found[0].code} at {found[0].where}" if found else result.verdict.value
        _notice(group, f"did not pass ({why}): no circuit is proposed; testrium show tells more")
        stops = {}
    classic = any(note.code is Code.HANG for note in notes)
    learned = result.verdict is Verdict.PASS and not group.circuits
    return _Findings(classic, stops, _circuits(group, result) if learned else "")


def _run(scenario: Scenario, project: Project, cwd: Path) -> GroupResult:
    from testrium.api import SilentObserver
    from testrium.plan.selection import Selection
    from testrium.session import Request, run_scenario

    request = Request(
        paths=(str(scenario.group.folder),),
        cwd=cwd,
        selection=Selection(),
        observer=SilentObserver(),
    )
    return run_scenario(request, project, scenario).groups[0]


def _circuits(group: Group, result: GroupResult) -> str:
    from testrium.record.reader import load_evidence
    from testrium.session import DATABASE
    from testrium.verify.learn import as_toml, learn

    if result.run_dir is None:
        return ""
    proposals = learn(group.units, load_evidence(result.run_dir / DATABASE).events)
    if not proposals:
        return ""
    head = "# Proposed from a run that passed: read every line.\n\n"
    return head + "\n".join(map(as_toml, proposals))


def _notice(group: Group, text: str) -> None:
    click.echo(f"notice: {group.id}: {text}", err=True)


# What to write ------------------------------------------------------------------------------------


def _changes(group: Group, shown: _Findings) -> Iterator[_Change]:
    """The files of a group, each as it should be."""

    def config(document: TOMLDocument) -> None:
        table = document.get("Configs")
        _rename(table, Configs)
        if shown.classic and not group.classic:
            _add(table, "classic", True, "0.3.0's rule: done once its events are in")

    yield _changed(group.folder / _CONFIG, config, shown.circuits)
    for unit in group.units:
        file = group.folder / "units" / f"{unit.name}.toml"
        if not file.exists():  # of the defaults of a folder
            continue

        def its_keys(document: TOMLDocument, name: str = unit.name) -> None:
            table = document.get(name)
            _rename(table, Unit)
            if name in shown.stops and "stop" not in (table or {}):
                stop = shown.stops[name]
                why = "it ended by itself" if stop == "self" else "it served to the end"
                _add(table, "stop", stop, why)

        yield _changed(file, its_keys)


def _changed(file: Path, edit: Callable[[TOMLDocument], None], appended: str = "") -> _Change:
    """The change of one file; its line endings and byte order mark are kept."""
    import tomlkit

    before = file.read_bytes().decode("utf-8")
    mark = "\ufeff" if before.startswith("\ufeff") else ""
    document = tomlkit.parse(before.removeprefix(mark))
    edit(document)
    after = tomlkit.dumps(document)
    if appended:
        newline = "\r\n" if "\r\n" in before else "\n"
        after = after.rstrip() + newline * 2 + appended.replace("\n", newline)
    return _Change(file, before, mark + after)


def _rename(table: Table | None, kind: type) -> None:
    """Spell the keys of a table as they are spelled today."""
    from tomlkit.items import SingleKey

    for place, key, item in _entries(table):
        field = field_named(kind, key.key)
        if table is None or field is None or not (old := key_of(field).old):
            continue
        if folded(key.key) == folded(old):
            written = key.as_string()
            sep = written[len(written.rstrip()) :] + key.sep  # what aligns it stays
            table.value.body[place] = (SingleKey(key_name(field), sep=sep), item)


def _add(table: Table | None, key: str, value: Any, comment: str) -> None:
    """Put a key behind the last one of the table, before comments that belong to what follows."""
    import tomlkit
    from tomlkit.items import AoT, SingleKey, Table

    plain = [each for each in _entries(table) if not isinstance(each[2], (Table, AoT))]
    if table is None or not plain:
        return
    place, _, last = plain[-1]
    new = tomlkit.item(value).comment(comment)
    new.trivia.comment_ws = "  "
    new.trivia.indent = last.trivia.indent
    new.trivia.trail = last.trivia.trail = last.trivia.trail or "\n"
    table.value.body.insert(place + 1, (SingleKey(key), new))


def _entries(table: Table | None) -> list[tuple[int, TomlKey, Any]]:
    """The keys of a contiguous table, with their places in it."""
    body = getattr(getattr(table, "value", None), "body", ())
    return [(place, key, item) for place, (key, item) in enumerate(body) if key is not None]


def _write(changes: list[_Change], path: str, cwd: Path) -> None:
    """Write all files; where the groups cannot be loaded any more, none is changed."""
    from testrium.session import load

    for change in changes:
        change.file.write_bytes(change.after.encode())
    try:
        load((path,), cwd)
    except ConfigError:
        for change in changes:
            change.file.write_bytes(change.before.encode())
        raise
