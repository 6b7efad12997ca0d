"""Commands about stored runs: show, verify, report, learn, clean and serve.

RUN on the command line is the beginning of a run's id, or an archive of one.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testrium.cli.completion import RESULT, RUN, RUN_OR_GROUP
from testrium.cli.options import (
    chosen,
    make_writers,
    property_option,
    report_options,
    stream_beside,
    tell_written,
)
from testrium.errors import TestriumError, UsageError
from testrium.load.project import state_folder
from testrium.phrases import did_you_mean, one_of, plural
from testrium.record.runs import (
    MARK,
    end_lost_runs,
    find_run,
    is_run,
    is_state_folder,
    list_runs,
    remove,
)
from testrium.report.console import Console, Display
from testrium.report.masking import mask_of
from testrium.report.wording import label
from testrium.report.writer import ReportChoice, Writers
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict

if TYPE_CHECKING:
    from testrium.verify.tapped import TappedMessage


def is_archive(run: str) -> bool:
    """Whether the user names an archive."""
    return run.endswith(".zip")


def as_shown(run: str, cwd: Path, result: RunResult) -> RunResult:
    """The result as reports show it, as long as `run_folder` is open.

    Folders of an archived run are called what they are in it: what was unpacked is gone when the
    report is read. A group whose folder was not packed has none.
    """
    if not is_archive(run) or result.folder is None:
        return result
    archived = (cwd / run).resolve() / result.folder.name
    groups = tuple(_archived(group, result.folder, archived) for group in result.groups)
    return result._replace(groups=groups, folder=archived)


def _archived(group: GroupResult, unpacked: Path, archived: Path) -> GroupResult:
    place = group.run_dir
    if place is None or not place.is_dir():
        return group._replace(run_dir=None)
    return group._replace(run_dir=archived / place.relative_to(unpacked), unpacked=place)


@contextlib.contextmanager
def run_folder(run: str, cwd: Path) -> Iterator[Path]:
    """The folder of the run that the user names; of the last one for "".

    That of an archive (a file.zip) is gone when the context is left, and errors name the archive.
    Raises UsageError.
    """
    if is_archive(run):
        from testrium.report.archive import unpacked

        with unpacked(cwd / run) as folder:
            try:
                yield folder
            except TestriumError as error:
                error.args = (str(error).replace(str(folder.parent), run),)
                raise
        return
    yield find_run(state_folder(cwd), run)


@click.command(name="show")
@click.argument("run", type=RUN_OR_GROUP, default="", metavar="[RUN]")
@click.argument("group", type=RESULT, default="", metavar="[GROUP]")
@click.option("--plain", is_flag=True, help="Print without colors and wrapping.")
@click.option("--key", metavar="KEY", help="Print the path of one key, event by event.")
@click.option("--timeline", is_flag=True, help="Print all events in order of time.")
def show_command(run: str, group: str, plain: bool, key: str | None, timeline: bool) -> int:
    """Print what was found in RUN: the beginning of its id, or an archive; default: the last run.

    With GROUP, print everything about that group, for each of its modes and combinations: its
    circuits, units and tests too. `show GROUP` looks in the last run that has this group. Where
    every group has passed, their tables are printed anyway.
    """
    if key is not None and timeline:
        raise UsageError("--key shows one key, --timeline all of them: choose one")
    cwd = Path.cwd()
    console = Console(sys.stdout, cwd=cwd, display=Display(plain=plain))
    if run and not group and not _may_be_run(run, cwd):
        run, group = _last_with(run, cwd), run
        if run:
            console.notice(f"{group} was not in the last run: this is run {run}")
    with run_folder(run, cwd) as folder:
        result = as_shown(run, cwd, _so_far(folder, console.notice))
        if key is not None or timeline:
            results = _results_of(result, group) if group else result.groups
            _show_events(result, results, key, console)
            return 0
        if not group:
            console.show(result)
        for number, found in enumerate(_results_of(result, group) if group else ()):
            if number:
                click.echo()
            console.show_group(found)
    return 0


def _so_far(folder: Path, notice: Callable[[str], None]) -> RunResult:
    """What is known of a run; where it is not all, a notice says so.

    Raises UsageError: it is running, and no group has ended yet.
    """
    from testrium.rejudge import incomplete
    from testrium.report.stored import StoredReportError, read_run

    left_out = incomplete(folder)
    try:
        result = read_run(folder)
    except StoredReportError:
        if "still running" in left_out:
            raise UsageError(
                f"run {folder.name} is still running: no group has ended yet"
            ) from None
        raise
    if left_out:
        notice(left_out)
    return result


def _may_be_run(word: str, cwd: Path) -> bool:
    """Whether a word is the beginning of a run's id, or looks like one; else it names a group."""
    runs = list_runs(state_folder(cwd))
    known = any(run.name.startswith(word) for run in runs)
    return (
        known or not runs or is_archive(word) or re.fullmatch(r"[0-9]{4,8}(-.*)?", word) is not None
    )


def _last_with(group: str, cwd: Path) -> str:
    """The id of the last run that has results of a group; "" for the last of all, or none."""
    from testrium.report.stored import StoredReportError, read_run

    runs = list_runs(state_folder(cwd))
    for folder in reversed(runs):
        with contextlib.suppress(StoredReportError, UsageError):
            if _named_or_below(read_run(folder), group):
                return folder.name if folder != runs[-1] else ""
    return ""


def _show_events(
    run: RunResult, results: tuple[GroupResult, ...], key: str | None, console: Console
) -> None:
    """Print all events of each result, or those of one key. Raises UsageError if there is none."""
    from testrium.record.reader import load_evidence
    from testrium.report.charts.key_paths import path_of
    from testrium.report.group_text import faults_among
    from testrium.session import DATABASE

    keys: dict[str, None] = {}
    shown = 0
    for result in results:
        if result.files is None or not (result.files / DATABASE).exists():
            continue  # it was skipped
        evidence = load_evidence(result.files / DATABASE)
        events = evidence.events
        title = label(result.scenario)
        if key is not None:
            keys |= dict.fromkeys(event.key for event in events if event.key is not None)
            events = path_of(key, events)
            title = f"{key} in {title}"
        events += faults_among(events, evidence.faults)
        if events:
            if shown:
                click.echo()
            mask = mask_of(result.scenario)
            console.show_events(mask.text(title), tuple(map(mask.event, events)))
            shown += 1
    if not shown:
        what = "" if key is None else f" with the key {key!r}"
        hint = did_you_mean(key or "", keys)
        raise UsageError(f"run {run.run} has no event{what}{hint}")


def _results_of(result: RunResult, group: str) -> tuple[GroupResult, ...]:
    """All results of a group: named by its id, its path, or as the report names one of them.

    A folder of one group means that group.
    """
    found = _named_or_below(result, group)
    names = sorted({one.scenario.id for one in found or result.groups})
    if not found:
        raise UsageError(f"run {result.run} has no group {group!r}{one_of(group, names)}")
    if len({one.scenario.group.folder for one in found}) > 1:
        raise UsageError(
            f"run {result.run} has {len(names)} groups below {group!r}: give one of them:"
            f" {', '.join(names)}"
        )
    return found


def _named_or_below(result: RunResult, group: str) -> tuple[GroupResult, ...]:
    """The results of a group, or of all groups below a folder of this name."""
    folder = Path(group).resolve()
    return tuple(
        one
        for one in result.groups
        if group in (one.scenario.id, label(one.scenario))
        or (one.scenario.params and one.scenario.id.startswith(f"{group}["))
        or one.scenario.group.folder == folder
    ) or tuple(
        one
        for one in result.groups
        if one.scenario.id.startswith(f"{group.rstrip('/')}/")
        or folder in one.scenario.group.folder.parents
    )


@click.command(name="verify")
@click.argument("run", type=RUN, default="", metavar="[RUN]")
@click.option("--plain", is_flag=True, help="Print without colors and wrapping.")
@property_option
@report_options
def verify_command(run: str, plain: bool) -> int:
    """Judge a stored run again, with the rules of its groups as they are now.

    RUN is the beginning of a run's id, or an archive (default: the last run); of an archive those
    groups that are not here are judged with the rules that they had. Nothing is started; exit
    codes are those of `testrium run`.
    """
    from testrium.rejudge import incomplete, verify_again

    reports = chosen()
    writers = make_writers(reports, Path.cwd())
    stream = stream_beside(reports)
    cwd = Path.cwd()
    display = Display(plain=plain)
    with Console(stream, cwd=cwd, display=display) as console, run_folder(run, cwd) as folder:
        notice = console.notice if is_archive(run) else None
        left_out = incomplete(folder)
        result = as_shown(run, cwd, verify_again(folder, cwd, stored_rules=notice))
        if left_out:
            console.notice(left_out)
        console.show(result)
        Writers(writers, console.notice).replay(result)
        tell_written(console, reports)
    return result.exit_code


@click.command(name="merge")
@click.argument("runs", type=RUN, nargs=-1, required=True, metavar="RUN|FILE.zip...")
@report_options
def merge_command(runs: tuple[str, ...]) -> int:
    """Make one run of several that had a part of the groups each (`testrium run --shard`).

    Each is the beginning of a run's id, or an archive. The new run is in the history, can be shown
    and reported like any other, and decides the exit code, as if all had been run at once.
    """
    from testrium.rejudge import merge_runs

    reports = chosen()
    cwd = Path.cwd()
    writers = make_writers(reports, cwd)
    stream = stream_beside(reports)
    with Console(stream, cwd=cwd) as console, contextlib.ExitStack() as opened:
        folders = [opened.enter_context(run_folder(run, cwd)) for run in runs]
        result = merge_runs(folders, cwd, command_line=tuple(sys.argv[1:]), notice=console.notice)
        console.show(result)
        Writers(writers, console.notice).replay(result)
        tell_written(console, reports)
    return result.exit_code


DEFAULT_FILE = "report.html"


@click.command(name="report")
@click.argument("run", type=RUN, default="", metavar="[RUN]")
@report_options
def report_command(run: str) -> int:
    """Write the report of RUN into files. RUN is the beginning of its id, or an archive;
    default: the last run.

    The same files as `testrium run` writes; report.html, an HTML page, where nothing is asked for.
    """

    def notice(text: str) -> None:
        click.echo(f"notice: {text}", err=True)

    cwd = Path.cwd()
    reports = chosen() or (ReportChoice("--html", "html", DEFAULT_FILE),)
    writers = make_writers(reports, cwd)
    with run_folder(run, cwd) as folder:
        result = as_shown(run, cwd, _so_far(folder, notice))
        Writers(writers, notice).replay(result)
    on_stdout = any(report.on_stdout for report in reports)
    for report in reports:
        if report.target is not None and not report.on_stdout:
            click.echo(f"run {result.run}: {report.target}", err=on_stdout)
    return 0


@click.command(name="learn")
@click.argument("run", type=RUN, default="", metavar="[RUN]")
def learn_command(run: str) -> int:
    """Propose [[circuits]] for the groups that passed in RUN, as TOML for their config.toml.

    Where messages of links were kept (testrium run --tap UNIT.PORT), it proposes [[taps]] too.

    RUN is the beginning of a run's id, or an archive (default: the last run). Every guess says how
    many keys support it. What one run shows is not what was meant: read every line.
    """
    from testrium.report.stored import read_run

    with run_folder(run, Path.cwd()) as folder:
        stored = as_shown(run, Path.cwd(), read_run(folder))
        texts = [_learned(result, stored.run) for result in _passed(stored.groups)]
    if not any(texts):
        raise UsageError(
            f"nothing to learn from run {stored.run}: no group passed in which keys went through"
            " two places or more"
        )
    click.echo("\n".join(filter(None, texts)), nl=False)
    return 0


def _passed(results: tuple[GroupResult, ...]) -> list[GroupResult]:
    """The first result of each group that passed; prints which others are skipped."""
    chosen: dict[str, GroupResult] = {}
    for result in results:
        if result.verdict is Verdict.PASS:
            chosen.setdefault(result.scenario.id, result)
    for name in dict.fromkeys(result.scenario.id for result in results):
        if name not in chosen:
            _leave_out(f"{name} did not pass")
        elif chosen[name].files is None:
            _leave_out(f"the folder of {name} was not kept")
            del chosen[name]
    return list(chosen.values())


def _leave_out(reason: str) -> None:
    click.echo(f"notice: {reason}: nothing is learned from it", err=True)


def _learned(result: GroupResult, run: str) -> str:
    """The circuits of a group; "" where there is none."""
    from testrium.record.reader import load_evidence
    from testrium.record.scenario import FILE, restored_scenario
    from testrium.session import DATABASE
    from testrium.verify.learn import as_toml, learn

    assert result.files is not None
    units = restored_scenario(result.files / FILE).units
    events = load_evidence(result.files / DATABASE).events
    taps = ""
    if messages := _messages(result.files):
        from testrium.verify.tapped import guess_taps, taps_as_toml

        guesses = guess_taps(messages)
        taps = taps_as_toml(guesses)
        made = sorted((event for each in guesses for event in each.events), key=attrgetter("t_ns"))
        events = (*events, *(event._replace(id=number) for number, event in enumerate(made, 1)))
    proposals = learn(units, events)
    if not proposals and not taps:
        return ""
    head = f"# Learned from run {run} of {result.scenario.id}: read every line.\n\n"
    return head + "\n".join(filter(None, (taps, *map(as_toml, proposals))))


def _messages(folder: Path) -> list[TappedMessage]:
    """What was kept of the traffic of links, in the order of time."""
    from testrium.declared.taps import MESSAGES
    from testrium.run.folder import RunFolder
    from testrium.verify.tapped import TappedMessage

    found = []
    for path in sorted(RunFolder(folder).taps.glob(f"*{MESSAGES}")):
        link = path.name.removesuffix(MESSAGES)
        for line in path.read_text(encoding="utf-8").splitlines():
            found.append(TappedMessage(link=link, **json.loads(line)))
    return sorted(found, key=attrgetter("t_ns"))


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _age(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """An age in seconds."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", value)
    if match is None:
        raise click.BadParameter(f"invalid age {value!r}: use 90s, 30m, 12h, 7d or 2w")
    return int(match[1]) * _SECONDS[match[2]]


@click.command(name="clean")
@click.option(
    "--older-than", metavar="AGE", callback=_age, help="Remove runs older than AGE (7d, 12h)."
)
@click.option(
    "--keep", type=click.IntRange(0), metavar="N", help="Keep the N latest runs; remove the others."
)
@click.option("--all", "everything", is_flag=True, help="Remove all runs.")
def clean_command(older_than: float | None, keep: int | None, everything: bool) -> int:
    """Remove stored runs; with --older-than and --keep those that are old, but never the N latest.

    Running runs and the history are kept. Processes that a lost run left behind (its runner and
    its supervisor were killed) are ended, with or without an option.
    """
    if everything and (older_than is not None or keep is not None):
        raise UsageError("--all conflicts with --older-than and --keep: use one of them")
    state = state_folder(Path.cwd())
    if not state.exists():
        click.echo(f"nothing to clean: {state} does not exist")
        return 0
    if not is_state_folder(state):
        raise UsageError(
            f"{state} was not made by Testrium ({MARK} is missing): nothing was removed"
        )
    for notice in end_lost_runs(state):
        click.echo(notice)
    runs = [run for run in list_runs(state) if is_run(run)]
    if not everything and older_than is None and keep is None:
        click.echo(
            f"{plural(len(runs), 'run')} kept; remove some with --older-than, --keep or --all"
        )
        return 0
    doomed = runs[: max(0, len(runs) - (keep or 0))]
    if older_than is not None:
        oldest = time.time() - older_than
        doomed = [run for run in doomed if run.stat().st_mtime < oldest]
    removed = remove(doomed)
    click.echo(f"{plural(len(removed), 'run')} removed, {len(runs) - len(removed)} kept")
    return 0


@click.command(name="serve")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Listen on this port; by default on one that is free.",
)
def serve_command(port: int) -> int:
    """Show trends, what is flaky, and the report of any kept run in a browser.

    Prints the link that opens it. Only this machine can reach it, and only with that link; nothing
    can be changed by it. Ctrl-C ends it.
    """
    from testrium.serve.pages import Pages
    from testrium.serve.server import Dashboard

    cwd = Path.cwd()
    with Dashboard(port, Pages(state_folder(cwd), cwd)) as dashboard:
        click.echo(f"{dashboard.gate.link}\n(Ctrl-C ends it)")
        try:
            dashboard.serve_forever()
        except KeyboardInterrupt:
            click.echo("")
    return 0
