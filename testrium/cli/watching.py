"""Interactive commands: `testrium watch`, `testrium up`, `testrium run --hold`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testrium.cli.completion import GROUP, PATH
from testrium.errors import ConfigError, ExitCode, NoGroupsError, UsageError
from testrium.words import BAD_VERDICTS

if TYPE_CHECKING:
    from testrium.declared.groups import Group
    from testrium.report.console import Console
    from testrium.results import RunResult
    from testrium.run.services import HeldGroup

#: Files that a change during a run counts of: the others may be what the groups themselves write.
_SOURCES = (".py", ".toml")


def refuse_in_ci(what: str) -> None:
    """Raise UsageError on a build server, where no person can answer."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        raise UsageError(f"{what} waits for a person, and CI={os.environ['CI']} is set")


async def until_enter(
    tell: Callable[[str], None], group: HeldGroup, asked_to_stop: asyncio.Event
) -> None:
    """Show a group that has failed; return on Enter, at the end of standard input, or Ctrl-C."""
    from testrium.api import unit_lines

    tell(f"{group.scenario.id} has failed; its units stay alive until Enter (logs: {group.path})")
    for unit in unit_lines(group):
        tell(f"  {unit}")
    loop, entered = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        os.read(sys.stdin.fileno(), 4096)
        entered.set()

    try:
        loop.add_reader(sys.stdin.fileno(), read)
    except (OSError, ValueError):  # a file, or closed: Enter cannot be pressed there
        return
    try:
        waits = [asyncio.ensure_future(one.wait()) for one in (entered, asked_to_stop)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()
    finally:
        loop.remove_reader(sys.stdin.fileno())


@click.command(name="up")
@click.argument("group", type=GROUP, metavar="GROUP")
@click.option("-q", "--quiet", is_flag=True, help="Do not print the output of units.")
def up_command(group: str, quiet: bool) -> int:
    """Start the units of GROUP and keep them up until Ctrl-C; then judge the group.

    Prints the state of each unit and its changes, its ports, and what it prints. The group's
    timeout does not count, and its test functions are not run. Exit codes are those of
    `testrium run`.
    """
    refuse_in_ci("testrium up")
    from testrium.api import OpenRun, request
    from testrium.plan.selection import Selection
    from testrium.report.console import Console, Display
    from testrium.session import load, plan

    cwd = Path.cwd()
    path = group if Path(group).is_dir() else _folder_of(group, load((), cwd)[1])
    scenarios = plan(load((path,), cwd)[1], Selection())
    if len({one.group.id for one in scenarios}) > 1:
        raise UsageError(f"{group} holds several groups: name one")
    scenario = scenarios[0]
    if reason := scenario.skip or scenario.unmet:
        raise UsageError(f"{scenario.id} would be skipped: {reason}")
    display = Display(plain=True, verbose=not quiet)
    with Console(sys.stdout, cwd=cwd, display=display) as console:
        command = tuple(sys.argv[1:])
        asked = request((path,), observer=console, verbose=not quiet, command_line=command)
        run = OpenRun(asked)
        with contextlib.suppress(KeyboardInterrupt), run.held(scenario, 0) as (units, _):
            if units is not None:
                console.notice(f"{units.id} is up; Ctrl-C stops it (logs: {units.run_dir})")
                for unit in units.overview():
                    console.notice(f"  {unit}")
                console.tells_states = True
                with contextlib.suppress(KeyboardInterrupt):
                    units.over.wait()
                console.tells_states = False
                console.notice("stopping; the group is judged now")
        result = run.close().result
        console.finish(result)
    return result.exit_code


def _folder_of(name: str, groups: Iterable[Group]) -> str:
    from testrium.phrases import did_you_mean

    known = {group.id: group.folder for group in groups}
    if name not in known:
        raise UsageError(f"no group {name!r}{did_you_mean(name, known)}")
    return str(known[name])


@click.command(name="watch")
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH]...")
@click.option("-m", "--tag", default="", metavar="EXPR", help="Select groups whose tags match.")
def watch_command(paths: tuple[str, ...], tag: str) -> int:
    """Run the groups below PATH, and again those that a change of files touches, until Ctrl-C.

    A change inside of a group touches that group; one elsewhere below the current folder, such as
    of a fixture or the project file, touches all of them. What failed last starts first.
    """
    refuse_in_ci("testrium watch")
    try:
        import watchfiles
    except ImportError:
        raise UsageError("testrium watch needs watchfiles: pip install 'testrium[watch]'") from None
    from testrium.load.project import state_folder

    cwd = Path.cwd()
    watcher = _Watcher(paths, tag, cwd)
    code, own, quiet = watcher.run(None), False, False
    roots = {cwd, *(Path(path).resolve() for path in paths if Path(path).is_dir())}
    ignored = watchfiles.DefaultFilter(ignore_paths=(state_folder(cwd), *_OF_TOOLS))
    with contextlib.suppress(KeyboardInterrupt):
        for changes in watchfiles.watch(
            *roots, watch_filter=ignored, rust_timeout=_LOOK_MS, yield_on_timeout=True
        ):
            changed = {Path(path) for _, path in changes}
            if own:  # what groups have written during their run is theirs
                changed = {path for path in changed if path.suffix in _SOURCES}
            if not changed and not quiet:  # from now on each change counts
                click.echo("watching for changes; Ctrl-C ends")
            own, quiet = bool(changed), not changed
            if changed:
                code = watcher.run(changed)
            if code.is_interruption:
                break
    return code


#: After a run, what came meanwhile is looked at for so long (milliseconds) before the next change.
_LOOK_MS = 500

_OF_TOOLS = (".git", "__pycache__", ".venv")


class _Watcher:
    """Runs groups, and remembers which have failed."""

    def __init__(self, paths: tuple[str, ...], tag: str, cwd: Path) -> None:
        self._paths = paths
        self._tag = tag
        self._cwd = cwd
        self._failed: set[str] = set()

    def run(self, changed: Collection[Path] | None) -> ExitCode:
        """Run what these changes touch, None: everything; returns the exit code."""
        from testrium.report.console import Console, Display

        with Console(sys.stdout, cwd=self._cwd, display=Display(plain=False)) as console:
            try:
                result = self._result(changed, console)
            except ConfigError as error:
                for problem in error.problems:
                    console.notice(problem)
                return error.exit_code
            except NoGroupsError as error:
                console.notice(str(error))
                return error.exit_code
            if result is None:
                return ExitCode.SUCCESS
            console.finish(result)
        for group in result.groups:
            id_ = group.scenario.group.id
            (self._failed.add if group.verdict in BAD_VERDICTS else self._failed.discard)(id_)
        return result.exit_code

    def _result(self, changed: Collection[Path] | None, console: Console) -> RunResult | None:
        from testrium.api import request
        from testrium.session import load, run

        paths: tuple[str, ...] = self._paths
        if changed is not None:
            _, groups = load(self._paths, self._cwd)
            paths = tuple(str(folder) for folder in touched(changed, groups, self._failed))
            names = ", ".join(sorted(path.name for path in changed)[:3])
            console.notice(f"changed: {names}")
            if not paths:
                return None
        return run(
            request(
                paths,
                tags=self._tag,
                observer=console,
                first=self._failed,
                command_line=tuple(sys.argv[1:]),
            )
        )


def touched(
    changed: Collection[Path], groups: Collection[Group], failed: Collection[str]
) -> Iterator[Path]:
    """The folders of the groups that changes of files touch, those of failed groups first."""
    folders = {group.folder.resolve(): group for group in groups}
    inside = {path: [folder for folder in folders if folder in path.parents] for path in changed}
    everywhere = any(not of for of in inside.values())
    hit = [
        folder for folder in folders if everywhere or any(folder in of for of in inside.values())
    ]
    yield from sorted(hit, key=lambda folder: (folders[folder].id not in failed, str(folder)))
