from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.errors import ExitCode, Problem
from testrium.evidence import Finding, UnitState
from testrium.report import progress
from testrium.report.console import Console, Display, HopTime
from testrium.report.escape import cells
from testrium.results import Awaited, GroupResult, RunResult
from testrium.words import BAD_VERDICTS, Code, Verdict


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Ascii(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii")

    def text(self) -> str:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode("ascii")


def shown(result: RunResult, stream: io.StringIO, cwd: Path, **options: Any) -> str:
    with Console(stream, cwd=cwd, environ={}, **options) as console:
        console.run_started(result.run, [group.scenario for group in result.groups])
        for group in result.groups:
            if group.verdict is not Verdict.SKIP:
                console.group_started(group.scenario, Path())
            console.group_ended(group)
        console.finish(result)
    return stream.getvalue()


def test_a_whole_run_in_plain_lines(
    run_result: RunResult, cwd: Path, same_as_gold: Callable[[str, str], None]
) -> None:
    same_as_gold("console-plain.txt", shown(run_result, io.StringIO(), cwd))


@pytest.mark.parametrize("width", [40, 50, 80])
def test_a_whole_run_on_a_terminal(
    width: int,
    run_result: RunResult,
    cwd: Path,
    monkeypatch: pytest.MonkeyPatch,
    same_as_gold: Callable[[str, str], None],
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = shown(run_result, Screen(), cwd)

    same_as_gold(f"console-{width}.ansi", text)
    bare = [part for line in text.splitlines() for part in [_without_colour(line)]]
    too_long = [line for line in bare if cells(line) > width]
    # A path or a command is not broken: it is there to be copied.
    assert all(line.strip().startswith(("rerun", "logs")) for line in too_long)


def _without_colour(line: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", line)


@pytest.mark.parametrize(
    ("environ", "plain"),
    [({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, True)],
)
def test_no_codes_where_they_are_not_wanted(
    environ: dict[str, str], plain: bool, run_result: RunResult, cwd: Path
) -> None:
    stream = Screen()
    with Console(stream, cwd=cwd, display=Display(plain=plain), environ=environ) as console:
        console.show(run_result)

    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().startswith("SKIP    browser")


def test_a_passing_run_shows_its_tables(passed: GroupResult, cwd: Path) -> None:
    run = RunResult("20261121-031500-ab12", Verdict.PASS, ExitCode.SUCCESS, 1.0, (passed,))
    stream = io.StringIO()
    Console(stream, cwd=cwd, environ={}).show(run)
    assert [line for line in stream.getvalue().splitlines() if line.strip() == "circuits"]

    stream = io.StringIO()
    again = passed._replace(scenario=passed.scenario._replace(repeat=1))
    Console(stream, cwd=cwd, environ={}).show(run._replace(groups=(passed, again)))
    circuit = passed.judgement.circuits[0].name
    rows = [line.split()[:2] for line in stream.getvalue().splitlines()]
    assert [row[0] for row in rows if circuit in row[1:]] == ["hello", "hello+1"]


def test_hostile_text_reaches_no_terminal(
    hostile: GroupResult, run_result: RunResult, cwd: Path, hostile_text: str
) -> None:
    stream = Screen()
    result = run_result._replace(groups=(hostile,), run=hostile_text)
    with Console(stream, cwd=cwd, environ={}, display=Display(verbose=True)) as console:
        console.run_started(result.run, [hostile.scenario])
        console.group_started(hostile.scenario, Path())
        console.unit_output(hostile.scenario, hostile_text, hostile_text)
        console.group_ended(hostile)
        console.notice(hostile_text)
        console.finish(result)
        console.show_group(hostile)
    text = _without_colour(stream.getvalue()).replace("\n", "")

    assert text.isprintable()


def test_signs_that_the_encoding_lacks_are_replaced(run_result: RunResult, cwd: Path) -> None:
    stream = Ascii()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    with Console(stream, cwd=cwd, environ={}) as console:
        console.show(run_result)

    assert "\x1b[1;31mx\x1b[0m checkout" in stream.text()
    assert "| listening on 41234" in _without_colour(stream.text())


def test_output_of_units_is_shown_by_whole_lines(passed: GroupResult, cwd: Path) -> None:
    stream = io.StringIO()
    console = Console(stream, cwd=cwd, display=Display(verbose=True), environ={})
    console.group_started(passed.scenario, Path())
    console.unit_output(passed.scenario, "source", "one\ntw")
    console.unit_output(passed.scenario, "target", "other\n")
    console.unit_output(passed.scenario, "source", "o\nlast")
    console.group_ended(passed)

    assert stream.getvalue().splitlines() == [
        "start hello",
        "source │ one",
        "target │ other",
        "source │ two",
        "source │ last",
        "PASS    hello    0.31 s",
    ]


def test_output_names_its_group_where_several_run(
    passed: GroupResult, lost: GroupResult, cwd: Path
) -> None:
    stream = io.StringIO()
    console = Console(stream, cwd=cwd, environ={})
    console.group_started(passed.scenario, Path())
    console.group_started(lost.scenario, Path())
    console.unit_output(lost.scenario, "host", "one\n")

    assert stream.getvalue() == "checkout host │ one\n"


def test_a_configuration_error_is_told_by_line(cwd: Path) -> None:
    problem = Problem("checkout/config.toml", 4, "tiemout", "unknown key; did you mean timeout?")
    result = RunResult("", Verdict.ERROR, ExitCode.CONFIG_ERROR, 0.0, errors=(problem,))
    stream = io.StringIO()
    Console(stream, cwd=cwd, environ={}).finish(result)

    assert stream.getvalue() == (
        "checkout/config.toml:4: tiemout: unknown key; did you mean timeout?\n"
    )


def test_what_a_pass_does_not_prove_is_told(passed: GroupResult, cwd: Path) -> None:
    look = Finding(Code.INSPECT, "test_a", "is it green?", unit="tests")
    idle = Finding(Code.TEST, "test_b", "asserts nothing", unit="tests")
    judgement = passed.judgement._replace(notes=(look, idle))
    group = passed._replace(judgement=judgement)
    result = RunResult("r", Verdict.PASS, ExitCode.SUCCESS, 1.0, groups=(group,) * 10)
    text = shown(result, io.StringIO(), cwd)
    assert text.count("note: inspect at test_a of hello: is it green?") == 8
    assert "note: inspect at 2 more" in text
    assert "note: test at test_b of hello and 9 more: nothing is asserted" in text


def test_an_interrupted_run_says_so(passed: GroupResult, cwd: Path) -> None:
    result = RunResult("r", Verdict.PASS, ExitCode.INTERRUPTED, 1.0, (passed,))
    stream = io.StringIO()
    Console(stream, cwd=cwd, environ={}).finish(result)

    assert "interrupted: 1 passed in 1.00 s\n" in stream.getvalue()


def test_a_reader_that_went_away_stops_no_run(run_result: RunResult, cwd: Path) -> None:
    class Gone(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            raise BrokenPipeError

    stream = Gone()
    with Console(stream, cwd=cwd, environ={}) as console:
        console.show(run_result)
        console.notice("x")

    assert stream.writes == 1


def test_a_closed_stream_stops_no_run(run_result: RunResult, cwd: Path) -> None:
    stream = io.StringIO()
    stream.close()
    with Console(stream, cwd=cwd, environ={}) as console:
        console.show(run_result)


def test_states_may_come_for_a_group_that_has_ended(passed: GroupResult, cwd: Path) -> None:
    console = Console(io.StringIO(), cwd=cwd, environ={})
    console.group_ended(passed)
    console.unit_changed(passed.scenario, "source", UnitState.STOPPED)
    console.events_stored(passed.scenario, ())


def test_without_a_terminal_a_long_wait_is_told_once(
    passed: GroupResult, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0]
    monkeypatch.setattr("testrium.report.console.time.monotonic_ns", lambda: clock[0])
    stream = io.StringIO()
    console = Console(stream, cwd=cwd, environ={})
    awaited = Awaited(("3 keys at notifier:notified",), 30_000_000_000)
    console.waiting(passed.scenario, awaited._replace(units=True))
    for clock[0] in (0, 2_900_000_000, 3_000_000_000, 9_000_000_000):
        console.waiting(passed.scenario, awaited)
    console.waiting(passed.scenario, None)  # something came, and it waits again
    for clock[0] in (10_000_000_000, 20_000_000_000):
        console.waiting(passed.scenario, awaited)
    assert stream.getvalue() == (
        f"notice: {passed.scenario.id}: waiting for 3 keys at notifier:notified, 27 s left\n"
    )


def test_states_are_told_to_who_asks_for_them(passed: GroupResult, cwd: Path) -> None:
    stream = io.StringIO()
    console = Console(stream, cwd=cwd, environ={})
    console.unit_changed(passed.scenario, "host", UnitState.READY)
    console.tells_states = True
    console.unit_changed(passed.scenario, "host", UnitState.FAILED)
    assert stream.getvalue() == "notice: host is failed\n"


def test_a_run_that_took_long_tells_what_took_longest(
    run_result: RunResult, passed: GroupResult, cwd: Path
) -> None:
    groups = tuple(
        passed._replace(
            scenario=passed.scenario._replace(id=f"g{number}"), duration_s=float(number)
        )
        for number in range(6)
    )
    result = run_result._replace(groups=groups, duration_s=20.0)
    hops = (HopTime("g1", "a:sent", "b:got", 81.25, 100), HopTime("g2", "b:got", "a:done", 2.5, 1))
    text = shown(result, io.StringIO(), cwd, slowest_hops=lambda _: hops)

    lines = text.splitlines()
    at = lines.index("slowest")
    assert lines[at : at + 7] == [
        "slowest",
        "  5.00 s  g5",
        "  4.00 s  g4",
        "  3.00 s  g3",
        "slowest hops, median",
        "  81.2 ms  a:sent → b:got  g1  100 times",
        "   2.5 ms  b:got → a:done  g2  1 time",
    ]
    assert "slowest" not in shown(result._replace(duration_s=4.0), io.StringIO(), cwd)
    assert "slowest" not in shown(result._replace(groups=groups[:4]), io.StringIO(), cwd)


def test_of_a_stored_run_there_is_no_command_for_all_that_failed(
    run_result: RunResult, cwd: Path
) -> None:
    stream = io.StringIO()
    Console(stream, cwd=cwd, environ={}).show(run_result)

    assert "4 of 7 results did not pass" in stream.getvalue()
    assert "--failed" not in stream.getvalue()


def test_groups_elsewhere_are_named_to_be_run_again(run_result: RunResult, tmp_path: Path) -> None:
    text = shown(run_result, io.StringIO(), tmp_path)

    assert "  rerun  testrium run --failed /home/ada/shop/groups/checkout /home" in text


@pytest.mark.parametrize(
    ("display", "environ", "colored"),
    [
        (Display(), {}, False),
        (Display(), {"FORCE_COLOR": "1"}, True),
        (Display(), {"FORCE_COLOR": "0"}, False),
        (Display(), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (Display(color="no"), {"FORCE_COLOR": "1"}, False),
        (Display(color="yes"), {"NO_COLOR": "1"}, True),
        (Display(color="yes", plain=True), {}, False),
    ],
)
def test_colors_go_where_they_are_wanted(
    cwd: Path, display: Display, environ: dict[str, str], colored: bool
) -> None:
    stream = io.StringIO()
    with Console(stream, cwd=cwd, display=display, environ=environ) as console:
        console.notice("told")
    assert ("\x1b[" in stream.getvalue()) is colored
    assert "told" in stream.getvalue()


def test_a_terminal_without_colors_gets_no_control_code(cwd: Path) -> None:
    stream = Screen()
    with Console(stream, cwd=cwd, display=Display(color="no"), environ={}) as console:
        console.notice("told")
    assert stream.getvalue() == "notice: told\n"


def test_quiet_leaves_only_what_did_not_pass(run_result: RunResult, cwd: Path) -> None:
    stream = io.StringIO()
    with Console(stream, cwd=cwd, display=Display(quiet=True), environ={}) as console:
        for group in run_result.groups:
            console.group_ended(group)
    shown = [line.split()[0] for line in stream.getvalue().splitlines()]
    verdicts = [group.verdict for group in run_result.groups]
    bad = [verdict.upper() for verdict in verdicts if verdict in BAD_VERDICTS]
    assert shown == bad
    assert 0 < len(bad) < len(run_result.groups)


@pytest.mark.parametrize(("durations", "expected"), [(None, 0), (1, 1), (2, 2), (0, 3)])
def test_the_number_of_durations_is_as_asked(
    durations: int | None, expected: int, cwd: Path
) -> None:
    groups = tuple(
        GroupResult(Scenario(f"g{n}", Group(f"g{n}", cwd / f"g{n}", ()), ()), Verdict.PASS, n / 10)
        for n in range(1, 4)
    )
    run = RunResult("r", Verdict.PASS, ExitCode.SUCCESS, 1.0, groups)
    stream = io.StringIO()
    Console(stream, cwd=cwd, display=Display(durations=durations), environ={}).finish(run)
    _, _, listed = stream.getvalue().partition("slowest\n")
    names = re.findall(r"g\d$", listed, re.MULTILINE)
    assert names == ["g3", "g2", "g1"][:expected]


class Watched(Screen):
    """A terminal that tells when a line of a running unit is drawn there."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = threading.Event()

    def write(self, text: str) -> int:
        if "server" in text:
            self.changes.set()
        return super().write(text)


def started(screen: io.StringIO, scenario: Scenario, cwd: Path, **options: Any) -> Console:
    console = Console(screen, cwd=cwd, environ=options.pop("environ", {}), **options)
    console.run_started("r", [scenario])
    console.group_started(scenario, Path())
    return console


@pytest.fixture
def live_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY_S", 0)


def scenario_of(*units: Unit) -> Scenario:
    return Scenario("g", Group("g", Path("g"), units), units)


SERVER = Unit("server", 0, "units/server.toml", command=("server",))
TESTER = Unit("tester", 0, "units/tester.toml", kind="manual")


@pytest.mark.usefixtures("live_at_once")
def test_lines_change_on_a_terminal_while_groups_run(cwd: Path) -> None:
    screen = Watched()
    with started(screen, scenario_of(SERVER), cwd):
        assert screen.changes.wait(10)
    assert screen.getvalue().count("\x1b[?25h") == 1, "the cursor is given back"


@pytest.mark.usefixtures("live_at_once")
@pytest.mark.parametrize(
    ("screen", "scenario", "options"),
    [
        (Screen, scenario_of(SERVER, TESTER), {}),
        (io.StringIO, scenario_of(SERVER), {}),
        (Screen, scenario_of(SERVER), {"display": Display(plain=True)}),
        (Screen, scenario_of(SERVER), {"environ": {"TERM": "dumb"}}),
    ],
    ids=["a person is asked", "no terminal", "plain", "dumb"],
)
def test_no_line_changes_where_it_would_disturb(
    screen: type[io.StringIO], scenario: Scenario, options: dict[str, Any], cwd: Path
) -> None:
    stream = screen()
    threads = threading.active_count()
    with started(stream, scenario, cwd, **options):
        assert threading.active_count() == threads
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("live_at_once")
def test_lines_stop_to_change_when_a_later_round_asks_a_person(cwd: Path) -> None:
    screen = Watched()
    with started(screen, scenario_of(SERVER), cwd) as console:
        assert screen.changes.wait(10)
        threads = threading.active_count()
        console.run_started("r", [scenario_of(SERVER, TESTER)])
        assert threading.active_count() == threads - 1
