"""Options that several commands share: which groups are selected, which reports are written."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from testrium.cli.completion import GROUP, TAG
from testrium.errors import TestriumError, UsageError
from testrium.report.writer import ReportChoice, Writer, Writers, check_targets
from testrium.tuples import NamedTuple

if TYPE_CHECKING:
    from testrium.plan.selection import Selection
    from testrium.report.console import Console

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Selected(NamedTuple):
    """Which groups the options select, by the names of their parameters."""

    less: tuple[str, ...]
    tag: str
    grep: str
    requirement: tuple[str, ...]
    all_modes: bool
    failed: bool

    def without(self, *less: str) -> Selected:
        """The same without some further groups."""
        return self._replace(less=less + self.less)

    def selection(self, cwd: Path) -> Selection:
        """What the plan is asked for. Raises UsageError."""
        from testrium.plan.selection import Selection
        from testrium.rejudge import failed_results

        return Selection(
            less=self.less,
            tag=self.tag,
            grep=self.grep,
            requirements=self.requirement,
            all_modes=self.all_modes,
            failed=failed_results(cwd) if self.failed else None,
        )


def _take_properties(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> None:
    """For all that this command loads."""
    from testrium.load.project import give_properties

    given = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not name:
            raise click.BadParameter(f"expected NAME=VALUE, got {value!r}")
        given[name] = text if equals else "true"
    give_properties(given)


property_option = click.option(
    "-X",
    multiple=True,
    metavar="NAME=VALUE",
    expose_value=False,
    is_eager=True,
    callback=_take_properties,
    help="Set a property of the project (repeatable); NAME alone is NAME=true.",
)


def selection_options(command: _Command) -> Callable[..., Any]:
    """Give a command the options of a `Selection`; it gets them as one value, `selected`."""
    names = Selected._fields

    @functools.wraps(command)
    def gather(*arguments: Any, **values: Any) -> Any:
        selected = Selected(**{name: values.pop(name) for name in names})
        return command(*arguments, selected=selected, **values)

    gathered: Callable[..., Any] = gather
    for option in reversed(_SELECTION_OPTIONS):
        gathered = option(gathered)
    return property_option(gathered)


_SELECTION_OPTIONS = (
    click.option(
        "--less",
        "--exclude",
        type=GROUP,
        multiple=True,
        metavar="GROUP",
        help="Leave GROUP out (repeatable).",
    ),
    click.option(
        "-m",
        "--tag",
        type=TAG,
        default="",
        metavar="EXPR",
        help="Select groups whose tags satisfy EXPR.",
    ),
    click.option(
        "-k",
        "--grep",
        default="",
        metavar="REGEX",
        help="Select groups whose id or title matches REGEX.",
    ),
    click.option(
        "--requirement",
        multiple=True,
        metavar="ID",
        help="Select groups that cover ID, which may be a shell pattern (repeatable).",
    ),
    click.option(
        "--all-modes", is_flag=True, help="Include matrix combinations that are not primary."
    ),
    click.option(
        "--failed",
        "--lf",
        "--last-failed",
        is_flag=True,
        help="Select what did not pass when it was last run.",
    ),
)


_META = "testrium.reports"
_LINKS = "testrium.links"

_REPORT_HELP = {
    "json": "Write the report as JSON; - is standard output.",
    "junit": "Write the report as JUnit XML.",
    "html": "Write the report as one HTML page.",
    "tap": "Write the report in the Test Anything Protocol.",
    "json-stream": "Write events as lines of JSON during the run.",
    "otlp": "Send the run as traces to the OTLP endpoint at URL.",
}

#: Formats whose target is something else than a file.
_TARGETS = {"otlp": "URL"}


_REPORT_ALIASES = {"junit": ("--junit-xml",)}


def report_options(function: _Command) -> _Command:
    """Add --json and its like, and --writer; `chosen` tells which were given."""
    function = click.option(
        "--writer",
        multiple=True,
        metavar="NAME[=FILE]",
        expose_value=False,
        callback=_choose_writer,
        help="Also report through writer NAME (repeatable).",
    )(function)
    for name in ("otlp", "json-stream", "tap", "html", "junit", "json"):
        help_text, is_run = _REPORT_HELP[name], function.__name__ == "command"
        if name == "tap" and is_run:
            help_text = f"{help_text[:-1]}; with UNIT.PORT, keep what passes that port for `learn`."
        function = click.option(
            f"--{name}",
            *_REPORT_ALIASES.get(name, ()),
            metavar="FILE|UNIT.PORT" if name == "tap" and is_run else _TARGETS.get(name, "FILE"),
            multiple=name == "tap",
            expose_value=False,
            callback=_choose_tap if name == "tap" else _choose,
            help=help_text,
        )(function)
    return function


def _choose(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        name = option.opts[0].removeprefix("--")
        _choices(ctx).append(ReportChoice(f"--{name}", name, value))


def _choose_tap(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> None:
    """A port of a unit whose messages are kept, or the file of a report."""
    for value in values:
        if ctx.command.name == "run" and _is_link(value):
            ctx.meta.setdefault(_LINKS, []).append(value)
        else:
            _choose(ctx, option, value)


def _is_link(value: str) -> bool:
    """Whether this is `UNIT.PORT`, and not the name of a file."""
    is_file = value.endswith((".tap", ".txt", ".log", ".out"))
    return not is_file and re.fullmatch(r"[A-Za-z0-9][\w.-]*\.[\w-]+", value) is not None


def chosen_links() -> tuple[str, ...]:
    """The ports whose messages the command line asks to keep."""
    return tuple(click.get_current_context().meta.get(_LINKS, ()))


def _choose_writer(ctx: click.Context, _: click.Parameter, values: tuple[str, ...]) -> None:
    for value in values:
        name, equals, target = value.partition("=")
        _choices(ctx).append(ReportChoice(f"--writer {name}", name, target if equals else None))


def _choices(ctx: click.Context) -> list[ReportChoice]:
    choices: list[ReportChoice] = ctx.meta.setdefault(_META, [])
    return choices


def chosen() -> tuple[ReportChoice, ...]:
    """The reports that the command line asks for, in its order."""
    return tuple(_choices(click.get_current_context()))


def stream_beside(choices: Sequence[ReportChoice]) -> TextIO:
    """Where a command prints: standard output, where no report goes there."""
    return sys.stderr if any(choice.on_stdout for choice in choices) else sys.stdout


def make_writers(choices: tuple[ReportChoice, ...], cwd: Path) -> list[Writer]:
    """The writers for the reports that were asked for.

    Raises UsageError where one could not do its work: then nothing must be started.
    """
    # That of allure is a folder, that of otlp a URL.
    check_targets((one for one in choices if one.name not in ("allure", "otlp")), cwd)
    return [_make(choice, cwd) for choice in choices if choice.name != _GITHUB]


def reports_in(values: Mapping[str, Any]) -> tuple[ReportChoice, ...]:
    """The reports in files that options ask for, by their names; those of plugins not."""
    choices = []
    for name in _REPORT_HELP:
        value = values.get(name.replace("-", "_"))
        targets = [value] if isinstance(value, str) else value or ()
        choices += [ReportChoice(f"--{name}", name, each) for each in targets]
    for value in values.get("writer") or ():
        name, _, target = value.partition("=")
        choices.append(ReportChoice(f"--writer {name}", name, target))
    in_files = {*_REPORT_HELP, *_ONLY_WRITERS} - _TARGETS.keys()
    return tuple(
        one
        for one in choices
        if one.name in in_files and one.target and not (one.name == "tap" and _is_link(one.target))
    )


def report_refusal(error: TestriumError, choices: Iterable[ReportChoice], cwd: Path) -> None:
    """Write those reports that can be written, of a run that was refused by its options."""
    accepted: list[ReportChoice] = []
    made: list[Writer] = []
    for choice in choices:
        with suppress(TestriumError):  # perhaps just this is what is wrong
            made = make_writers((*accepted, choice), cwd)
            accepted.append(choice)
    Writers(made, lambda text: click.echo(f"testrium: {text}", err=True)).refuse(error)


def tell_written(console: Console, choices: Sequence[ReportChoice], *more: str | None) -> None:
    """Say in one line which files were written: those of `choices`, and `more`."""
    from testrium.report.escape import visible
    from testrium.report.lines import Span, line

    own = [one for one in choices if one.name in _REPORT_HELP or one.name in _ONLY_WRITERS]
    files = [one.target for one in own if one.name not in _TARGETS and not one.on_stdout]
    named = [visible(file) for file in (*files, *more) if file and file != os.devnull]
    if named:
        console.tell([line(Span(f"wrote {', '.join(named)}", "dim"), hanging=2)])


#: The writer that a step of a GitHub workflow has without being asked.
_GITHUB = "github"


def github_writers(
    stream: TextIO, cwd: Path, choices: tuple[ReportChoice, ...] = ()
) -> list[Writer]:
    """What a GitHub workflow shows, where this is a step of one or a choice asks for it.

    `stream` reaches the log of the step.
    """
    asked = any(choice.name == _GITHUB for choice in choices)
    if os.environ.get("GITHUB_ACTIONS") != "true" and not asked:
        return []
    from testrium.report.ci import GithubWriter

    return [GithubWriter(stream, cwd)]


def _make(choice: ReportChoice, cwd: Path) -> Writer:
    if choice.name not in (*_REPORT_HELP, *_ONLY_WRITERS):
        return _of_plugin(choice, cwd)
    writer = _format(choice.name)(choice.target, cwd)
    if writer.needs_target and choice.target is None:
        target, what = ("URL", "URL") if choice.name in _TARGETS else ("FILE", "file")
        raise UsageError(f"{choice.option} needs a {what}: --writer {choice.name}={target}")
    return writer


def _format(name: str) -> type[Writer]:
    """The writer of one of Testrium's own formats, imported when it is asked for."""
    if name in ("json", "json-stream"):
        from testrium.report.json_report import JsonWriter, StreamWriter

        return JsonWriter if name == "json" else StreamWriter
    if name == "html":
        from testrium.history.past import PageWriter

        return PageWriter
    if name == "otlp":
        from testrium.report.traces import TraceWriter

        return TraceWriter
    from testrium.report import ci

    return {
        "junit": ci.JunitWriter,
        "xunit": ci.XunitWriter,
        "teamcity": ci.TeamcityWriter,
        "allure": ci.AllureWriter,
        "tap": ci.TapWriter,
    }[name]


#: Formats that have no option of their own: `--writer teamcity`, `--writer allure=FOLDER`.
_ONLY_WRITERS = ("teamcity", "allure", "xunit")


def _of_plugin(choice: ReportChoice, cwd: Path) -> Writer:
    from testrium.load.project import find_project
    from testrium.plugins.registry import find_plugin
    from testrium.report.plugin_writer import PluginWriter

    plugin = find_plugin(
        "writers", choice.name, find_project(cwd).plugins, (*_REPORT_HELP, *_ONLY_WRITERS, _GITHUB)
    )
    return PluginWriter(plugin, choice.target, cwd)
