"""`testrium run`: run groups and judge them."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import click
from click.core import ParameterSource

from testrium.cli.completion import PATH
from testrium.cli.main import Common
from testrium.cli.options import (
    Selected,
    chosen,
    chosen_links,
    github_writers,
    make_writers,
    report_options,
    report_refusal,
    reports_in,
    selection_options,
    stream_beside,
    tell_written,
)
from testrium.errors import ConfigError, TestriumError, UsageError
from testrium.tuples import NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from testrium.cli.coverage import Measurement
    from testrium.report.console import Console, HopTime
    from testrium.report.writer import ReportChoice, Writer, Writers
    from testrium.results import GroupResult, RunResult
    from testrium.run.services import HeldGroup
    from testrium.session import Request, WorkerSource


#: The variable whose options are added to those of `testrium run`.
ADDED_OPTIONS = "TESTRIUM_ADDOPTS"

#: Digits of a number on the command line; repeats, each of which is planned beforehand.
_LONGEST_NUMBER = 18
_MOST_REPEATS = 100_000

#: In a PATH that names groups otherwise than by a folder that exists.
_NO_FOLDER = r"[*?\[]|\.\."


def _jobs(_: click.Context, __: click.Parameter, value: str) -> int:
    if value == "auto":
        return 0
    if not value.isdecimal() or len(value) > _LONGEST_NUMBER or int(value) < 1:
        raise click.BadParameter(f"expected a number from 1, or auto, got {value[:40]!r}")
    return int(value)


def _shuffle(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value and value.isdecimal() and len(value) > _LONGEST_NUMBER:
        raise click.BadParameter(f"expected a SEED of at most {_LONGEST_NUMBER} digits")
    return value


def _shard(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    from testrium.plan.scenarios import shard_of

    try:
        return None if value is None else str(shard_of(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _percentage(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    from testrium.declared.quantities import percentage

    try:
        return percentage(value)
    except ValueError as error:
        raise click.BadParameter('expected a percentage such as "20%"') from error


class RunOptions(NamedTuple):
    """The options that `testrium run` alone has, by the names of its parameters."""

    paths: tuple[str, ...]
    verbose: bool
    strict: bool
    debug: bool
    retries: int
    fail_on_flaky: bool
    hold: bool
    shard: str | None
    repeat: int | None
    until_fail: bool
    fail_fast: bool
    maxfail: int | None
    shuffle: str | None
    max_regression: float | None
    update_golden: bool
    jobs: int
    on: str
    keep: Literal["all", "failed", "none"]
    archive: str | None
    quiet: bool
    durations: int | None
    plain: bool
    color: Literal["auto", "yes", "no"]
    coverage: bool

    def normalized(self, common: Common) -> RunOptions:
        """These options with those in front of `run`, the number of jobs, and all `paths`."""
        from testrium.run.schedule import usable_cores

        paths, shuffle = self.paths, self.shuffle
        if shuffle and not shuffle.isdecimal():  # `--shuffle PATH`
            if not (Path(shuffle).exists() or re.search(_NO_FOLDER, shuffle)):
                raise UsageError(
                    f"--shuffle {shuffle}: expected a number as SEED, or a PATH that exists"
                )
            paths, shuffle = (shuffle, *paths), ""
        verbose = self.verbose or common.verbose
        if self.on:
            self._refuse_what_is_for_here(verbose)
        return self._replace(
            paths=paths,
            shuffle=shuffle,
            verbose=verbose,
            # The threads of a cluster's workers bound it anyway.
            jobs=1 if self.debug else self.jobs or (sys.maxsize if self.on else usable_cores()),
            plain=self.plain or self.debug,
        )

    def _refuse_what_is_for_here(self, verbose: bool) -> None:
        """Raises UsageError for options that need the units to run on this machine."""
        given = {
            "--verbose": verbose,
            "--update-golden": self.update_golden,
            "--coverage": self.coverage,
            "--debug": self.debug,
            "--hold": self.hold,
        }
        for option, is_given in given.items():
            if is_given:
                raise UsageError(f"--on conflicts with {option}: remove one of them")


class _WithDefaults(click.Command):
    """The command line wins, then TESTRIUM_ADDOPTS, then `[run]` of the project file."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        added = os.environ.get(ADDED_OPTIONS, "")
        defaults = self._project_defaults()
        try:
            every = [*shlex.split(added), *args]
        except ValueError as error:
            refusal = UsageError(f"{ADDED_OPTIONS}={added!r}: {error}")
            self._report(refusal, args, defaults)
            raise refusal from None
        try:  # with a copy: parsing takes from it
            return super().make_context(info_name, [*every], parent, default_map=defaults, **extra)
        except click.UsageError as error:
            if added:
                told = f"{error.format_message()} ({ADDED_OPTIONS} adds {added!r})"
                error = click.UsageError(told, error.ctx)
            self._report(UsageError(error.format_message()), every, defaults)
            raise error from None

    def _report(
        self, refusal: UsageError, args: Sequence[str], defaults: Mapping[str, Any]
    ) -> None:
        """Write the reports that the other options name: what reads them learns of the mistake."""
        known = click.Context(self, resilient_parsing=True, ignore_unknown_options=True)
        values: Mapping[str, Any] = {}
        with suppress(click.UsageError):
            values, _, _ = self.make_parser(known).parse_args([*args])
        report_refusal(refusal, reports_in({**defaults, **values}), Path.cwd())

    def _project_defaults(self) -> dict[str, Any]:
        """Parameter -> value, as `[run]` has it, where an option has its long name."""
        from testrium.load.project import find_project

        try:
            project = find_project(Path.cwd())
        except ConfigError:  # loading the groups reports it
            return {}
        options = {option.name: option for option in self.params}
        defaults = {}
        for key, value in project.run.items():
            option = options[key]
            assert isinstance(option, click.Option)
            defaults[key] = _as_given(option, value)
        return defaults


def _as_given(option: click.Option, value: Any) -> Any:
    """A value of TOML as click expects it of a file of defaults."""
    if option.multiple:
        return list(value)
    if isinstance(value, bool) and not option.is_flag:
        return option.flag_value if value else None
    return value if isinstance(value, bool) else str(value)


@click.command(
    name="run",
    cls=_WithDefaults,
    epilog="Defaults for options come from TESTRIUM_ADDOPTS and from the table [run] of the project"
    " file; the command line wins.",
)
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH]...")
@click.option("-v", "--verbose", is_flag=True, help="Show the output of units while they run.")
@selection_options
@click.option(
    "--strict",
    is_flag=True,
    help="Treat a missing requirement as an error, not as a skip, and a group that proves nothing"
    " as a failure.",
)
@click.option(
    "--debug",
    is_flag=True,
    help="Give breakpoint() the terminal, and suspend deadlines; one group at a time.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, _MOST_REPEATS),
    default=0,
    metavar="N",
    help="Run what does not pass up to N more times; what passes then is noted as flaky.",
)
@click.option("--fail-on-flaky", is_flag=True, help="Fail what passes only with --retries.")
@click.option(
    "--hold",
    is_flag=True,
    help="After a failure keep everything alive until Enter; print ports and pids. Not in CI.",
)
@click.option(
    "--shard",
    metavar="I/N",
    callback=_shard,
    help="Run part I of N of the groups, balanced by earlier durations; see `testrium merge`.",
)
@click.option(
    "--repeat",
    type=click.IntRange(0, _MOST_REPEATS),
    metavar="N",
    help="Run each group N more times, whatever its `repeat` says.",
)
@click.option(
    "--until-fail",
    is_flag=True,
    help="Repeat the whole run until something does not pass; with --repeat N, at most N more"
    " times.",
)
@click.option("-x", "fail_fast", is_flag=True, help="Stop after the first failure.")
@click.option("--maxfail", type=click.IntRange(1), metavar="N", help="Stop after N failures.")
@click.option(
    "--shuffle",
    is_flag=False,
    flag_value="",
    metavar="[SEED]",
    callback=_shuffle,
    help="Start groups in random order; the same SEED (a number) gives the same order.",
)
@click.option(
    "--max-regression",
    metavar="20%",
    callback=_percentage,
    help="Fail if latencies or metrics are this much worse than the median of earlier runs and"
    " outside of their noise.",
)
@click.option(
    "--update-golden",
    is_flag=True,
    help="Rewrite the reference files of checks that differ; keep the old ones.",
)
@click.option(
    "-j",
    "--jobs",
    default="auto",
    metavar="N|auto",
    callback=_jobs,
    help="Run N groups side by side; auto is the number of cores.",
)
@click.option(
    "--on",
    default="",
    metavar="ADDRESS",
    help="Run groups on a Dask cluster: the address of its scheduler, or local:N for N workers"
    " on this machine.",
)
@click.option(
    "--keep",
    type=click.Choice(["all", "failed", "none"]),
    default="all",
    show_default=True,
    help="Keep the folders of all groups, of failed ones, or none. The report is always kept.",
)
@click.option(
    "--archive",
    metavar="FILE.zip",
    help="Pack the folders of failed groups, with --keep all those of all groups, for `show` and"
    " `verify` on another machine.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only failures and the last lines.")
@click.option(
    "--durations",
    type=click.IntRange(0),
    metavar="N",
    help="Show the N slowest groups at the end; 0 shows all.",
)
@click.option("--plain", is_flag=True, help="Print whole lines only: no live display, no colors.")
@click.option(
    "--color",
    type=click.Choice(["yes", "no", "auto"]),
    default="auto",
    show_default=True,
    help="Print colors; auto: on a terminal.",
)
@click.option(
    "--coverage",
    is_flag=True,
    help="Measure which lines Python units run, with coverage.py; print it and write HTML.",
)
@report_options
@click.pass_obj
def command(common: Common | None, /, selected: Selected, **values: Any) -> int:
    """Run the groups below PATH (default: the current folder) and judge them.

    A PATH is a group, a folder that is searched for groups, a pattern for such: 'shop/*', a range
    of ids: cart..search, or one combination of a matrix: 'cart[size=1]'.
    Exit codes: 0 all passed, 1 something failed, 2 no group, 3 wrong configuration or usage, 4
    something is unknown, 5 the runner failed.
    """
    from testrium.report.console import Console, Display
    from testrium.report.writer import Writers

    common = common or Common()
    cwd = Path.cwd()
    reports = chosen()
    stream = stream_beside(reports)
    try:
        options = RunOptions(**values).normalized(common)
        made = make_writers(reports, cwd) + github_writers(stream, cwd, reports)
        if options.archive is not None:
            made.append(_archive_writer(options.archive, options.keep, reports))
    except TestriumError as error:
        report_refusal(error, reports, cwd)
        raise
    selected = selected.without(*common.less)
    _pass_on(options, stream)
    with (
        Console(
            stream,
            cwd=cwd,
            display=Display(
                options.plain, options.verbose, options.quiet, options.color, options.durations
            ),
            durations=lambda: _expected_durations(console),
            jobs=options.jobs,
            slowest_hops=_slowest_hops,
        ) as console,
        ExitStack() as finishing,
    ):
        writers = Writers(made, console.notice)
        measurement: Measurement | None = None
        try:
            request = _request(options, selected, console, writers)
            if options.coverage:
                from testrium.cli.coverage import Measurement

                measurement = finishing.enter_context(Measurement(cwd))
            from testrium.session import run

            result = run(request)
        except TestriumError as error:
            writers.refuse(error)
            raise
        console.finish(result)
        writers.finish(result)
        _tell_places(console, options, reports, result)
        if measurement is not None and result.folder is not None:
            click.echo(f"\n{measurement.report(result.folder, result.groups)}", file=stream)
    return result.exit_code


def _pass_on(options: RunOptions, stream: TextIO) -> None:
    """Tell the processes of groups, by their environment, what these options ask of them."""
    from testrium.probe.environment import DEBUG, UPDATE_GOLDEN

    if options.update_golden:
        os.environ[UPDATE_GOLDEN] = "1"  # for the checks that test functions make
    if options.debug:
        files = (f"/proc/{os.getpid()}/fd/{fd}" for fd in (0, 2 if stream is sys.stderr else 1))
        os.environ[DEBUG] = "\n".join(files)


def _tell_places(
    console: Console, options: RunOptions, reports: Sequence[ReportChoice], result: RunResult
) -> None:
    """Say where reports were written, and where the run is stored if that is a surprise."""
    if not options.quiet:
        tell_written(console, reports, options.archive if result.folder else None)
    if text := _kept_apart(result, Path.cwd()):
        console.notice(text)


def _kept_apart(result: RunResult, cwd: Path) -> str:
    """What to say where earlier runs are stored elsewhere for want of a project file; or ""."""
    from testrium.load.project import STATE_FOLDER, find_project
    from testrium.record.runs import is_state_folder

    own = cwd / STATE_FOLDER
    if result.folder is None or own not in result.folder.parents:
        return ""
    folders = {above for group in result.groups for above in _between(group, cwd)}
    others = (*_of_one_project(cwd), *sorted(folders))
    other = next((one for one in others if is_state_folder(one / STATE_FOLDER)), None)
    if other is None or find_project(cwd).file is not None:
        return ""
    return (
        f"this run is stored in ./{STATE_FOLDER}, earlier ones are in {other / STATE_FOLDER}:"
        " an empty testrium.toml in the project's folder makes them one history"
    )


def _between(group: GroupResult, cwd: Path) -> Iterator[Path]:
    """The folder of a group, and those between it and the current one."""
    folder = group.scenario.group.folder
    while folder != cwd and folder.is_relative_to(cwd):
        yield folder
        folder = folder.parent


def _of_one_project(cwd: Path) -> Iterator[Path]:
    """Folders above, up to one that is home to more than a project."""
    for folder in cwd.parents:
        if folder == Path.home() or folder.stat().st_mode & stat.S_IWOTH:
            return
        yield folder


def _request(
    options: RunOptions, selected: Selected, console: Console, writers: Writers
) -> Request:
    """What the session is asked for. Raises UsageError."""
    from testrium.api import request
    from testrium.report.writer import Fanout

    return request(
        options.paths,
        less=selected.less,
        tags=selected.tag,
        grep=selected.grep,
        requirements=selected.requirement,
        all_modes=selected.all_modes,
        failed=selected.failed,
        retries=options.retries,
        debug=options.debug,
        fail_on_flaky=options.fail_on_flaky,
        shard=options.shard or "",
        hold_failures=_holder(options, console),
        repeat=options.repeat,
        until_fail=options.until_fail,
        max_failures=1 if options.fail_fast else options.maxfail,
        strict=options.strict,
        shuffle=_seed(console, options.shuffle),
        max_regression=options.max_regression,
        update_golden=options.update_golden,
        on=_worker_source(options.on),
        taps=chosen_links(),
        keep=options.keep,
        observer=Fanout(console, writers),
        jobs=options.jobs,
        verbose=options.verbose,
        command_line=tuple(sys.argv[1:]),
    )


def _worker_source(address: str) -> WorkerSource | None:
    """Where groups run instead of here. Raises UsageError."""
    if not address:
        return None
    from testrium.cluster import Dask

    return Dask(address)


def _holder(
    options: RunOptions, console: Console
) -> Callable[[HeldGroup, asyncio.Event], Awaitable[None]] | None:
    if not options.hold:
        return None
    from testrium.cli.watching import refuse_in_ci, until_enter

    refuse_in_ci("--hold")
    return partial(until_enter, console.notice)


def _expected_durations(console: Console) -> Mapping[str, float]:
    from testrium.history.database import expected_durations
    from testrium.load.project import state_folder

    known, notices = expected_durations(state_folder(Path.cwd()))
    for text in notices:
        console.notice(text)
    return known


def _slowest_hops(results: Sequence[GroupResult]) -> Sequence[HopTime]:
    if not any(result.judgement.circuits for result in results):
        return ()
    from testrium.report.stored import slowest_hops  # it reads reports: with all of pydantic

    return slowest_hops(results)


def _archive_writer(file: str, keep: str, reports: tuple[ReportChoice, ...]) -> Writer:
    """Raises UsageError where there would be nothing to pack, or no place for it."""
    from testrium.report.archive import ArchiveWriter
    from testrium.report.writer import ReportChoice, check_targets

    if keep == "none":
        raise UsageError("--archive has nothing to pack with --keep none")
    choice = ReportChoice("--archive", "archive", file)
    check_targets((*reports, choice), Path.cwd())
    source = click.get_current_context().get_parameter_source("keep")
    everything = keep == "all" and source is not ParameterSource.DEFAULT
    return ArchiveWriter(choice, Path.cwd(), everything=everything)


def _seed(console: Console, text: str | None) -> int | None:
    """The seed of the order; without one from the user, draw it and print it."""
    if text is None:
        return None
    seed = int(text) if text else int.from_bytes(os.urandom(3))
    console.notice(f"in random order: --shuffle {seed}")
    return seed
