"""Results as verification would make them, by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from testrium.declared.checks import Metric
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.errors import ExitCode
from testrium.evidence import CheckResult, End, EndCause, Event, Finding, Leak, UnitState
from testrium.evidence import TestResult as Test
from testrium.results import CircuitResult, GroupResult, Judgement, Measure, MetricResult, RunResult
from testrium.words import Code, EventType, Place, Verdict

CWD = Path("/home/ada/shop")
GOLD = Path(__file__).parent.parent / "gold"
RUN = "20261121-031500-ab12"
START_NS = 5_000_000_000

#: Text that must not reach a terminal, an XML parser or a browser as it is.
HOSTILE = "a\x1b[31m\x00<b>&\"'\u202eevil\udc80\ufffe\r\n]]>\x85\u2028\t名=1"


def make_event(id_: int, unit: str, step: str, ms: float, **fields: object) -> Event:
    event = Event(
        id=id_,
        unit=unit,
        step=step,
        type=EventType.DEFAULT,
        key="k7",
        cause=(),
        t_ns=START_NS + round(ms * 1e6),
        t_low_ns=None,
        wall_ns=0,
        domain="here",
        pid=4710 + len(unit),
        seq=1,
        start=1,
        attempt=1,
        owner=unit,
        meta={},
    )
    return event._replace(**fields)  # type: ignore[arg-type]


def make_end(unit: str, **fields: object) -> End:
    end = End(
        unit=unit,
        cause=EndCause.SELF,
        state=UnitState.FINISHED,
        pid=4710 + len(unit),
        exit_code=0,
        starts=1,
        was_ready=True,
        started_ns=START_NS + 2_000_000,
        ready_ns=START_NS + 40_000_000,
        ended_ns=START_NS + 300_000_000,
    )
    return end._replace(**fields)  # type: ignore[arg-type]


def make_scenario(id_: str, *units: str, **fields: object) -> Scenario:
    group = Group(id_, CWD / "groups" / id_, ())
    group = replace(group, **fields)  # type: ignore[arg-type]
    members = tuple(Unit(name, init, f"units/{name}.toml") for init, name in enumerate(units))
    return Scenario(id_, group, members, folder_name=id_)


def make_result(scenario: Scenario, verdict: Verdict, **fields: object) -> GroupResult:
    result = GroupResult(
        scenario,
        verdict,
        duration_s=0.314,
        run_dir=CWD / ".testrium" / "runs" / RUN / scenario.folder_name,
        judgement=Judgement(verdict),
        started_ns=START_NS,
    )
    return result._replace(**fields)  # type: ignore[arg-type]


@pytest.fixture
def cwd() -> Path:
    return CWD


@pytest.fixture
def hostile_text() -> str:
    return HOSTILE


@pytest.fixture
def passed() -> GroupResult:
    return make_result(
        make_scenario("hello", "source", "target", title="Two units say hello"),
        Verdict.PASS,
        judgement=Judgement(
            Verdict.PASS,
            circuits=(
                CircuitResult("greeting", 3, Verdict.PASS, p50_ms=1.04, max_ms=2.2),
                CircuitResult("farewell", 1, Verdict.PASS, max_ms=0.0421),
            ),
            completed=(Place("source", "ready"), Place("target", "ready")),
        ),
        ends=(make_end("source"), make_end("target", cause=EndCause.STOPPED)),
        tests=(Test("test_greets", True, 0.012),),
        checks=(CheckResult("says hello", True, duration_s=0.0015),),
    )


@pytest.fixture
def lost() -> GroupResult:
    events = (
        make_event(12, "client", "sent", 100.0, type=EventType.SEND),
        make_event(31, "broker", "queued", 101.25),
    )
    root = Finding(
        Code.LOST,
        "host:received",
        "k7 and 2 more never reached host:received; last seen at broker:queued",
        circuit="command",
        key="k7",
        keys=("k7", "k50", "k51"),
        events=(12, 31),
        hints=(
            "97 of 100 keys did arrive, in 0.8 to 2.1 ms",
            "all 3 were sent within 4 ms of each other",
        ),
        unit="host",
    )
    return make_result(
        make_scenario("checkout", "host", "broker", "client", title="An order is paid"),
        Verdict.FAIL,
        judgement=Judgement(
            Verdict.FAIL,
            findings=(
                root,
                root._replace(
                    where="db:stored",
                    message="behind the loss",
                    events=(),
                    explained_by="lost host:received",
                ),
                Finding(
                    Code.MISSING,
                    "host:received",
                    "never emitted",
                    unit="host",
                    explained_by="lost host:received",
                ),
                Finding(
                    Code.LATE,
                    "api:answered",
                    "k9 took 240.1 ms, 40.1 ms over 200 ms",
                    circuit="command",
                    key="k9",
                    keys=("k9",),
                ),
            ),
            notes=(Finding(Code.LEAK, "host", "one process was alive 200 ms after it ended"),),
            circuits=(CircuitResult("command", 100, Verdict.FAIL, 1.0, None, None, None),),
            completed=(Place("host", "ready"),),
            missing=(Place("host", "received"),),
        ),
        ends=(
            make_end(
                "host",
                cause=EndCause.STOPPED,
                state=UnitState.STOPPED,
                last_lines=("listening on 41234", "\x1b[33mWARN\x1b[0m queue full, 3 dropped"),
            ),
            make_end("broker"),
            make_end("client"),
        ),
        witnesses={event.id: event for event in events},
        average_latency_s=0.00104,
    )


@pytest.fixture
def crashed() -> GroupResult:
    return make_result(
        make_scenario("payments/refund", "worker", "api"),
        Verdict.FAIL,
        duration_s=1.2,
        judgement=Judgement(
            Verdict.FAIL,
            findings=(
                Finding(Code.CRASH, "worker", "worker ended by SIGSEGV, 0.25 s in", unit="worker"),
                Finding(
                    Code.NOTRUN, "api", "not started: worker ended", explained_by="crash worker"
                ),
            ),
        ),
        ends=(
            make_end(
                "worker",
                state=UnitState.FAILED,
                exit_code=None,
                signal="SIGSEGV",
                starts=2,
                ended_ns=START_NS + 250_000_000,
                last_lines=("Fatal Python error: Segmentation fault",),
                leaks=(Leak(4999, "sleep 1000"),),
            ),
            End("api", EndCause.NOTRUN, UnitState.CREATED, blocked_by="worker"),
        ),
    )


@pytest.fixture
def undecided() -> GroupResult:
    return make_result(
        make_scenario("clocks", "near", "far"),
        Verdict.UNKNOWN,
        judgement=Judgement(
            Verdict.UNKNOWN,
            findings=(
                Finding(
                    Code.CLOCK,
                    "far:received",
                    "near and far have clocks that nothing relates",
                    circuit="trip",
                    key="k7",
                    keys=("k7",),
                    events=(1, 2),
                ),
            ),
        ),
        witnesses={
            1: make_event(1, "near", "sent", 0.0),
            2: make_event(2, "far", "received", 9.0, domain="there"),
        },
    )


@pytest.fixture
def skipped() -> GroupResult:
    return make_result(
        make_scenario("browser"),
        Verdict.SKIP,
        duration_s=0.0,
        run_dir=None,
        reason="chromium is not on PATH",
    )


@pytest.fixture
def expected_failure() -> GroupResult:
    return make_result(
        make_scenario("legacy", expect_fail="loses every tenth order"), Verdict.XFAIL
    )


@pytest.fixture
def broken_runner() -> GroupResult:
    return make_result(
        make_scenario("disk"),
        Verdict.ERROR,
        judgement=Judgement(
            Verdict.ERROR, (Finding(Code.INFRA, "disk", "Data.db: database or disk is full"),)
        ),
    )


@pytest.fixture
def hostile() -> GroupResult:
    events = tuple(
        make_event(
            number, HOSTILE, HOSTILE, number, key=HOSTILE, meta={HOSTILE: [HOSTILE, float("nan")]}
        )
        for number in range(1, 40)
    )
    finding = Finding(
        Code.LOST,
        HOSTILE,
        HOSTILE * 5,
        circuit=HOSTILE,
        key=HOSTILE,
        keys=(HOSTILE, "名" * 300),
        events=tuple(range(1, 40)),
        hints=(HOSTILE,),
        unit=HOSTILE,
    )
    return make_result(
        make_scenario(HOSTILE, HOSTILE, title=HOSTILE),
        Verdict.FAIL,
        reason=HOSTILE,
        run_dir=CWD / HOSTILE,
        judgement=Judgement(
            Verdict.FAIL,
            findings=(
                finding,
                finding._replace(where="x", explained_by=f"lost {HOSTILE}"),
                Finding(Code.TEST, HOSTILE, HOSTILE),
                Finding(Code.CHECK, HOSTILE, HOSTILE),
            ),
            notes=(finding,),
            circuits=(CircuitResult(HOSTILE, 1, Verdict.FAIL, max_ms=float("inf")),),
            missing=(Place(HOSTILE, HOSTILE),),
            measures=(Measure(HOSTILE, 1.5, HOSTILE, "reported", n=2, mean=1.5, deviation=0.7),),
            metrics=(
                MetricResult(
                    HOSTILE, Metric(HOSTILE, "reported", most=1, unit=HOSTILE), False, 1.0, 1.0, 2.0
                ),
            ),
        ),
        ends=(
            make_end(
                HOSTILE, message=HOSTILE, last_lines=(HOSTILE, "x" * 500), leaks=(Leak(1, HOSTILE),)
            ),
        ),
        tests=(Test(HOSTILE, False, 0.1, HOSTILE, f"Traceback\n{HOSTILE}"),),
        checks=(CheckResult(HOSTILE, False, HOSTILE, (f"--- {HOSTILE}", f"-{HOSTILE}"), 0.25),),
        witnesses={event.id: event for event in events},
    )


@pytest.fixture
def run_result(
    passed: GroupResult,
    lost: GroupResult,
    crashed: GroupResult,
    undecided: GroupResult,
    skipped: GroupResult,
    expected_failure: GroupResult,
    broken_runner: GroupResult,
) -> RunResult:
    groups = (skipped, lost, undecided, broken_runner, passed, expected_failure, crashed)
    return RunResult(
        run=RUN,
        verdict=Verdict.ERROR,
        exit_code=ExitCode.ERROR,
        duration_s=2.1,
        groups=groups,
        folder=CWD / ".testrium" / "runs" / RUN,
        started_wall=1_795_230_900.0,
    )


@pytest.fixture
def same_as_gold() -> Callable[[str, str], None]:
    """Compare with a file of tests/gold; UPDATE_GOLD=1 writes it instead: look at the diff."""

    def compare(name: str, text: str) -> None:
        path = GOLD / name
        if os.environ.get("UPDATE_GOLD"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare
