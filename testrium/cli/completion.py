"""`testrium completion`, and the values that a shell completes: groups, runs, codes, templates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

#: The variable by which the script asks; click derives its name from that of the program.
VARIABLE = "_TESTRIUM_COMPLETE"

#: A RUN that is the last one.
LAST = "last"

#: Where the script goes, so a shell reads it by itself.
_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/testrium",
    "zsh": "a folder of $fpath, as _testrium",
    "fish": "~/.config/fish/completions/testrium.fish",
}


@click.command(name="completion")
@click.argument("shell", type=click.Choice(list(_PLACES)))
def command(shell: str) -> int:
    """Print the script that makes SHELL complete commands, options, groups and runs.

    Try it with `eval "$(testrium completion bash)"`, in fish with
    `testrium completion fish | source`. To keep it, write it to
    ~/.local/share/bash-completion/completions/testrium (bash), as _testrium into a folder of
    $fpath (zsh), or to ~/.config/fish/completions/testrium.fish.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "testrium", VARIABLE).source())
    return 0


class Completed(click.ParamType):  # type: ignore[type-arg,unused-ignore] # generic since 8.3
    """A text whose values are looked up when a shell asks; `files`: it may be a path as well."""

    def __init__(
        self, name: str, values: Callable[[Path], Iterable[str]], *, files: bool = False
    ) -> None:
        self.name = name
        self._values = values
        self._files = files

    def shell_complete(
        self, ctx: click.Context, _: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            known = list(self._known(ctx))
        except Exception:  # noqa: BLE001 - nothing may be printed into a command that is typed
            known = []
        items = [CompletionItem(one) for one in known if one.startswith(incomplete)]
        return [*items, CompletionItem(incomplete, type="dir")] if self._files else items

    def _known(self, ctx: click.Context) -> Iterable[str]:  # noqa: ARG002 - for those who need it
        return self._values(Path.cwd())


class _Run(Completed):
    def convert(self, value: Any, _: click.Parameter | None, __: click.Context | None) -> str:
        return "" if value == LAST else str(value)


def _groups(cwd: Path) -> Iterable[str]:
    from testrium.load.discover import Search, find_groups
    from testrium.load.document import ProblemCollector
    from testrium.load.project import find_project

    search = Search.of(cwd, find_project(cwd), ProblemCollector())
    return [found.id for found in find_groups([cwd], search)]


def _runs(cwd: Path) -> Iterable[str]:
    from testrium.load.project import state_folder
    from testrium.record.runs import list_runs

    return [LAST, *(run.name for run in reversed(list_runs(state_folder(cwd))))]


#: How many of the latest runs are asked for their groups: their reports are read for that.
_MOST_READ = 10


def _results(cwd: Path, run: str = "") -> Iterable[str]:
    """The groups of the run that begins so; without one those of the latest runs."""
    import json

    from testrium.load.project import state_folder
    from testrium.record.runs import list_runs

    every = reversed(list_runs(state_folder(cwd)))
    runs = [folder for folder in every if folder.name.startswith(run)]
    found: dict[str, None] = {}
    for folder in runs[:_MOST_READ]:
        with contextlib.suppress(OSError):  # it is still running, or was killed
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            found |= dict.fromkeys(str(group["id"]) for group in report["groups"])
    return found


class _Result(Completed):
    """A group of the run that precedes it on the command line."""

    def _known(self, ctx: click.Context) -> Iterable[str]:
        return _results(Path.cwd(), ctx.params.get("run") or "")


def _runs_and_results(cwd: Path) -> Iterable[str]:
    runs = list(_runs(cwd))
    return [*_results(cwd), *runs] if len(runs) > 1 else []


def _tags(cwd: Path) -> Iterable[str]:
    from testrium.session import load

    _, groups = load((), cwd)
    return sorted({tag for group in groups for tag in group.tags})


PATH = Completed("path", _groups, files=True)
GROUP = Completed("group", _groups)
RESULT = _Result("group", _results)
RUN = _Run("run", _runs)
RUN_OR_GROUP = _Run("run", _runs_and_results)
TAG = Completed("expr", _tags)
