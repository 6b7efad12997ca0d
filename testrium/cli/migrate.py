"""`testrium migrate`: what to write into groups of testrium 0.3.0, shown as a diff.

Old spellings are read from the files. The rest is read from one run of each group under the rule of
completion of 0.3.0: who ended, who had to be stopped, and which way keys took.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from testrium.cli.completion import PATH
from testrium.declared.groups import Configs
from testrium.declared.keys import field_named, folded, key_name, key_of
from testrium.declared.units import Unit
from testrium.errors import NoGroupsError, UsageError
from testrium.evidence import EndCause
from testrium.words import Code, Verdict

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import InlineTable, Table

    from testrium.cli.main import Common
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
        end = "\n\\ No newline at end of file\n"
        return "".join(line if line.endswith("\n") else line + end for line in lines)


class _Edit(NamedTuple):
    """What one table of a file gets: today's spelling of its keys, and more keys."""

    table: str
    declared: type
    #: Each with its value and the comment that says why.
    added: Mapping[str, tuple[str | bool, str]] = {}

    def spelled(self, key: str) -> str | None:
        """How a key is spelled today; None unless it has an old spelling."""
        field = field_named(self.declared, key)
        old = field and key_of(field).old
        return key_name(field) if field and old and folded(key) == folded(old) else None

    def of(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the file once this is done."""
        table = document.get(self.table, {})
        renamed = {self.spelled(key) or key: value for key, value in table.items()}
        added = {key: value for key, (value, _) in self.added.items()}
        return {**document, self.table: renamed | added}


class _Findings(NamedTuple):
    """What a run of a group has shown."""

    classic: bool = False
    stops: Mapping[str, str] = {}
    circuits: str = ""


@click.command(name="migrate")
@click.argument("path", type=PATH, default=".", metavar="[PATH]")
@click.option("--write", is_flag=True, help="Write the changes; without it you are asked.")
@click.option("--no-run", is_flag=True, help="Propose only what the files show; run no group.")
@click.pass_obj
def command(common: Common, path: str, write: bool, no_run: bool) -> int:
    """Show what to change in groups of testrium 0.3.0, and write it.

    PATH is a group or a folder with groups (default: the current folder). Old spellings of keys
    become the new ones. Each group is run once: a unit that others depend on gets its `stop`, a
    group with a unit that continues after its events gets `classic = true`, and a group that passed
    gets the circuits that `testrium learn` would propose. Comments stay.
    """
    _need_tomlkit()
    from testrium.load.document import shown_path
    from testrium.plan.selection import Selection, nothing_selected, select
    from testrium.session import load

    cwd, selection = Path.cwd(), Selection(less=common.less)
    project, groups = load((path,), cwd, selection)
    if not (chosen := select(groups, selection)):
        raise NoGroupsError(nothing_selected(groups, selection))
    changes, by_hand = [], False
    for group in chosen:
        shown = _Findings() if no_run else _findings(group, project, cwd)
        for file, edit, appended in _edits(group, shown):
            change = _changed(file, edit, appended)
            if change is None:
                _notice(shown_path(file, cwd), _by_hand(file, edit, appended))
                by_hand = True
            elif change.after != change.before:
                changes.append(change)
    for change in changes:
        click.echo(change.diff(cwd), nl=False)
    if not changes:
        click.echo("nothing was written" if by_hand else "nothing to do: no file needs a change")
        return 0
    if not write and not sys.stdin.isatty():
        click.echo("\nnothing was written: add --write", err=True)
        return 0
    if not write and not click.confirm("Write these changes?"):
        click.echo("nothing was written", err=True)
        return 0
    _write(changes, lambda: load((path,), cwd, selection), cwd)
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
        _notice(group.id, str(error))
        return _Findings()
    if scenario.skip or scenario.unmet:
        _notice(group.id, f"not run: {scenario.skip or scenario.unmet}")
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
        _notice(
            group.id,
            f"did not pass ({why}): no circuit is proposed; see: testrium show {group.id}",
        )
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
    done = run_scenario(request, project, scenario)
    if done.exit_code.is_interruption:
        click.echo("testrium: interrupted; nothing was written", err=True)
        raise click.exceptions.Exit(done.exit_code)
    return done.groups[0]


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


def _notice(place: str, text: str) -> None:
    click.echo(f"notice: {place}: {text}", err=True)


# What to write ------------------------------------------------------------------------------------


def _edits(group: Group, shown: _Findings) -> Iterator[tuple[Path, _Edit, str]]:
    """The files of a group: what each gets, and the text at its end."""
    rule = {"classic": (True, "0.3.0's rule: done once its events are in")}
    classic = shown.classic and not group.classic
    yield group.folder / _CONFIG, _Edit("Configs", Configs, rule if classic else {}), shown.circuits
    for unit in group.units:
        file = group.folder / "units" / f"{unit.name}.toml"
        if not file.exists():  # of the defaults of a folder
            continue
        added = {}
        if (stop := shown.stops.get(unit.name)) is not None:
            why = "it ended by itself" if stop == "self" else "it served to the end"
            added["stop"] = (stop, why)
        yield file, _Edit(unit.name, Unit, added), ""


def _changed(file: Path, edit: _Edit, appended: str = "") -> _Change | None:
    """The change of one file; its line endings and byte order mark are kept.

    Returns:
        None where the file would lose something: the values of the text that would be written are
        compared with those that it must have.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    before = file.read_bytes().decode("utf-8")
    mark = "\ufeff" if before.startswith("\ufeff") else ""
    text = before.removeprefix(mark)
    newline = "\r\n" if "\r\n" in text else "\n"
    values = tomllib.loads(text)
    there = values.get(edit.table, {})
    edit = edit._replace(added={key: how for key, how in edit.added.items() if key not in there})
    try:
        document = tomlkit.parse(text)
        if tomlkit.dumps(document) != text:
            return None
        _edit(document, edit, newline)
        after = tomlkit.dumps(document)
        if appended:
            after = after.rstrip() + newline * 2 + appended.replace("\n", newline)
        if tomllib.loads(after) != edit.of(values) | tomllib.loads(appended):
            return None
    except (TOMLKitError, tomllib.TOMLDecodeError):
        return None
    return _Change(file, before, mark + after)


def _by_hand(file: Path, edit: _Edit, appended: str) -> str:
    """What to write into a file that cannot be edited."""
    table = tomllib.loads(file.read_text("utf-8-sig")).get(edit.table, {})
    today = {key: edit.spelled(key) for key in table}
    wanted = [f"{new} in place of {old}" for old, new in today.items() if new]
    wanted += [f"{key} = {json.dumps(value)}" for key, (value, _) in edit.added.items()]
    wanted += ["the circuits that testrium learn prints"] if appended else []
    return f"cannot be edited safely and stays as it is; write by hand: {', '.join(wanted)}"


def _edit(document: TOMLDocument, edit: _Edit, newline: str) -> None:
    """Edit a table wherever parts of it stand: dotted keys and tables below it make several."""
    from tomlkit.items import AoT, InlineTable, SingleKey, Table

    last: tuple[Table | InlineTable, int] | None = None
    for name, part in document.body:
        if name is None or name.key != edit.table or not isinstance(part, (Table, InlineTable)):
            continue
        body = part.value.body
        for place, (key, item) in enumerate(body):
            if key is None or isinstance(item, (Table, AoT)):
                continue
            last = (part, place)
            if (today := edit.spelled(key.key)) is not None:
                written = key.as_string()
                sep = written[len(written.rstrip()) :] + key.sep  # what aligns it stays
                body[place] = (SingleKey(today, sep=sep), item)
    for added, (value, comment) in edit.added.items():
        if last is not None:
            _insert(*last, added, value, comment, newline)


def _insert(
    part: Table | InlineTable, place: int, key: str, value: str | bool, comment: str, newline: str
) -> None:
    """Put a key behind that at `place`, before comments that belong to what follows."""
    import tomlkit
    from tomlkit.items import InlineTable, SingleKey, Whitespace

    body, new = part.value.body, tomlkit.item(value)
    if isinstance(part, InlineTable):  # which ends with its line: no room for a comment
        body[place + 1 : place + 1] = [(None, Whitespace(", ")), (SingleKey(key), new)]
        return
    _, last = body[place]
    new.comment(comment)
    new.trivia.comment_ws = "  "
    new.trivia.indent = last.trivia.indent
    new.trivia.trail = last.trivia.trail = last.trivia.trail or newline
    body.insert(place + 1, (SingleKey(key), new))


def _write(changes: list[_Change], load: Callable[[], object], cwd: Path) -> None:
    """Write all files; where one cannot be written, or they do not load, none is changed."""
    from testrium.load.document import shown_path

    for change in changes:
        if change.file.read_bytes() != change.before.encode():
            raise UsageError(
                f"{shown_path(change.file, cwd)}: was changed in the meantime: nothing is written;"
                " call testrium migrate again"
            )
    try:
        for change in changes:
            _overwrite(change.file, change.after)
        load()
    except BaseException as error:
        for change in changes:
            with contextlib.suppress(OSError):  # that of a file that was not written either
                _overwrite(change.file, change.before)
        if isinstance(error, OSError):
            where = shown_path(Path(error.filename or change.file), cwd)
            raise UsageError(
                f"{where}: cannot be written ({error.strerror}): all files are as they were"
            ) from error
        raise


def _overwrite(file: Path, text: str) -> None:
    """Write into the file itself: its permissions, owner and links stay.

    It is never empty: on a full disk the text that was there still fits.
    """
    with file.open("r+b") as stream:
        stream.write(text.encode())
        stream.truncate()
