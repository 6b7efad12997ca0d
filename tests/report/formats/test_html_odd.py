"""The page of results that are odd and possible: no clock, number or text ends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NoReturn, TypeVar

import pytest

from testrium.declared.circuits import Circuit, parse_hop
from testrium.errors import ExitCode
from testrium.evidence import (
    CheckResult,
    EndCause,
    Event,
    Evidence,
    Finding,
    LogPiece,
    Moments,
    OpenWait,
    OutputMark,
    Sample,
    StateChange,
    StoredLog,
    UnitState,
)
from testrium.evidence import TestResult as Test
from testrium.report import html
from testrium.report.charts import trends
from testrium.results import (
    CircuitResult,
    FailedTry,
    GroupResult,
    Judgement,
    Measure,
    MetricResult,
    RunDetail,
    RunResult,
)
from testrium.verify.instances import key_paths
from testrium.words import Code, Verdict
from tests.report.conftest import HOSTILE, START_NS, make_end, make_result, make_scenario
from tests.report.formats.test_html import Page

T = TypeVar("T")

CWD = Path("/home/ada/shop")
UNITS = ("a", "b", "__proto__", HOSTILE)
STEPS = ("sent", "got", "constructor", HOSTILE)
KEYS = ("k", "k2", "", HOSTILE, "x" * 1024)
#: When the group began, long before, at the start of the clock, and when it had been set.
MOMENTS = (START_NS, START_NS + 1, START_NS + 10**9, START_NS - 10**12, 0, START_NS + 10**17)
NUMBERS = (0.0, -0.0, -1.5, 1e-12, 0.3, 41.0, 1e12, -1e300)
TEXTS = ("", "ok", HOSTILE, "line\nline\r\n", "x | y")
ROUTES = (
    (),
    (("a:sent",),),
    (("a:sent",), ("b:got",)),
    (("a:*?",), ("*:got+", "a:constructor|b:sent"), ("b:got",)),
    (("*:*",), ("*:*",)),
)


class Draw:
    """Draws what a result is made of, the same for the same number."""

    def __init__(self, number: int) -> None:
        self._random = Random(number)
        self.one = self._random.choice

    def maybe(self, values: tuple[T, ...]) -> T | None:
        return None if self._random.random() < 0.3 else self.one(values)

    def some(self, make: Callable[[], T], most: int = 3) -> tuple[T, ...]:
        return tuple(make() for _ in range(self._random.randint(0, most)))

    def texts(self) -> tuple[str, ...]:
        return self.some(lambda: self.one(TEXTS))

    def event(self, number: int) -> Event:
        unit, t_ns = self.one(UNITS), self.one(MOMENTS)
        return Event(
            id=number,
            unit=unit,
            step=self.one(STEPS),
            type=self.one(("Send", "Receive", "Default", "Exception", "")),
            key=self.maybe(KEYS),
            cause=self.one(((), (), ("k",), ("k", "nobody", ""))),
            t_ns=t_ns,
            t_low_ns=self.one((None, None, t_ns, t_ns - 10**9)),
            wall_ns=0,
            domain=self.one(("here", "here", "there")),
            pid=self.one((7, 0, -1, -3)),
            seq=None,
            start=1,
            attempt=1,
            owner=self.one((unit, "a")),
            meta=self.one(({}, {"rows": 10**30, HOSTILE: [None, {"x": -0.0}]})),
        )

    def circuits(self) -> tuple[Circuit, ...]:
        drawn = self.some(
            lambda: Circuit(
                self.one(("order", "", HOSTILE)),
                tuple(tuple(map(parse_hop, stage)) for stage in self.one(ROUTES)),
                within_ns=self.maybe((1, 10**18)),
                p50_ns=self.maybe((1, 10**9)),
                per=self.one(("key", "run")),
            )
        )
        return tuple({one.name: one for one in drawn}.values())

    def finding(self) -> Finding:
        return Finding(
            self.one(tuple(Code)),
            self.one(("b:got", "a", "", HOSTILE, "order", "a:x|b:y")),
            self.one(TEXTS),
            circuit=self.maybe(("order", "gone")),
            key=self.maybe(KEYS),
            keys=self.some(lambda: self.one((*KEYS, "gone"))),
            events=self.some(lambda: self.one(range(12)), 5),
            hints=self.texts(),
            unit=self.maybe((*UNITS, "gone")),
            t_ns=self.maybe(MOMENTS),
            explained_by=self.one((None, None, "lost b:got")),
            key_count=self.one((0, 10**6)),
        )

    def ends(self) -> Any:
        drawn = self.some(
            lambda: make_end(
                self.one(UNITS),
                cause=self.one(tuple(EndCause)),
                state=self.one(tuple(UnitState)),
                pid=self.maybe((1,)),
                exit_code=self.maybe((0, -9, 3221225477)),
                signal=self.maybe(("SIGSEGV",)),
                starts=self.one((0, 1, 9)),
                started_ns=self.maybe(MOMENTS),
                ready_ns=self.maybe(MOMENTS),
                ended_ns=self.maybe(MOMENTS),
                last_lines=self.texts(),
            )
        )
        return tuple({one.unit: one for one in drawn}.values())

    def moments(self) -> Moments:
        return Moments(
            self.some(lambda: StateChange(self.unit(), self.state(), self.moment()), 5),
            self.some(lambda: OutputMark(self.unit(), self.moment(), *self.one(((0, 0), (3, 9))))),
            self.some(self.sample),
            self.some(
                lambda: OpenWait(self.moment(), self.moment(), "linger", ("", "x"), self.texts())
            ),
        )

    def sample(self) -> Sample:
        percent = self.maybe((0.0, 41.0, 1e12))
        return Sample(self.unit(), 1, self.moment(), 0.1, percent, 10**15, 1, 1, 1)

    def unit(self) -> str:
        return self.one(UNITS)

    def moment(self) -> int:
        return self.one(MOMENTS)

    def state(self) -> str:
        return self.one((*map(str, UnitState), "odd"))

    def figures(self, count: int) -> list[float | None]:
        return [self.maybe(NUMBERS) for _ in range(count)]

    def log(self) -> StoredLog:
        data = (b"", b"\n", b"a\xff\nb", b"\x00\x1b[2J")
        return StoredLog(
            self.one(UNITS),
            self.one(("stdout", "stderr")),
            self.one((0, 10**9)),
            self.some(lambda: LogPiece(self.one((0, 5)), self.one(data))),
            self.one(("utf-8", "utf-16-le")),
        )

    def measure(self) -> Measure:
        return Measure(
            self.one(("duration", "x", HOSTILE)),
            self.one(NUMBERS),
            self.one(("", "s", "ms", "B", "%", HOSTILE)),
            self.one(("group", "reported", "hop")),
            mean=self.maybe(NUMBERS),
            deviation=self.maybe(NUMBERS),
        )

    def judgement(self, verdict: Verdict, circuits: tuple[Circuit, ...]) -> Judgement:
        findings, measures = self.some(self.finding, 4), self.some(self.measure)
        return Judgement(
            verdict,
            findings,
            notes=findings[:1],
            circuits=tuple(
                CircuitResult(one.name, self.one((0, 10**6)), verdict, *self.figures(4))
                for one in circuits
            ),
            measures=measures,
            metrics=tuple(MetricResult(one.name, None, None, *self.figures(3)) for one in measures),
        )

    def past(self, verdict: Verdict) -> trends.Past:
        results = self.some(
            lambda: trends.PastResult(
                *("shop", "r", self.one((0.0, 1.7e9)), verdict, 1.0),
                figures={"x": Measure("x", self.one(NUMBERS), "ms", "group")},
            )
        )
        return trends.Past(
            trends.charts(trends.Series("shop", results)),
            self.maybe((trends.LastPass("r", "then", (trends.Difference("x", "1", "2"),)),)),
        )

    def result(self) -> tuple[GroupResult, RunDetail, trends.Past]:
        events = tuple(map(self.event, range(1, self.one(range(12)))))
        verdict, circuits = self.one(tuple(Verdict)), self.circuits()
        result = make_result(
            make_scenario(self.one(("shop", HOSTILE)), *self.some(lambda: self.one(UNITS))),
            verdict,
            duration_s=self.one((0.0, -0.5, 1e9)),
            reason=self.one(TEXTS),
            judgement=self.judgement(verdict, circuits),
            ends=self.ends(),
            tests=self.some(lambda: Test(self.one(TEXTS), False, -1.0, self.one(TEXTS))),
            checks=self.some(lambda: CheckResult(self.one(TEXTS), False, "", self.texts())),
            witnesses={event.id: event for event in events},
            started_ns=self.maybe(MOMENTS),
            answer=self.one(TEXTS),
            tries=self.some(lambda: FailedTry(verdict), 1),
            run_dir=self.maybe((CWD,)),
        )
        paths = key_paths(circuits, Evidence(events=events))
        logs = self.some(self.log)
        detail = RunDetail(events, self.moments(), paths, logs, self.one(("", "[broken", "x = 1")))
        return result, detail, self.past(verdict)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Templates are compiled once, and the page is without its script and its style."""
    environment = html.make_environment()
    environment.globals |= dict.fromkeys(("page_styles", "page_script"), "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "make_environment", lambda: environment)
        yield


def refuse(text: str) -> NoReturn:
    raise AssertionError(f"{text} is no JSON: the script of the page could not read it")


def render_all(*results: tuple[GroupResult, RunDetail, trends.Past]) -> str:
    """The page of a run with these results."""
    known = {id(result): (detail, past) for result, detail, past in results}
    groups = tuple(result for result, *_ in results)
    return html.render(
        RunResult("r", Verdict.FAIL, ExitCode.FAILURE, 1.0, groups, started_wall=1.7e9),
        cwd=CWD,
        details=lambda group: known[id(group)][0],
        past=lambda group, _detail: known[id(group)][1],
    )


def page_of(*results: tuple[GroupResult, RunDetail, trends.Past]) -> Page:
    """The page as a browser takes it apart, with data that its script can read."""
    text = render_all(*results)
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    for piece in text.split('<script type="application/json" class="data">')[1:]:
        json.loads(piece.partition("</script>")[0], parse_constant=refuse)
    return Page(text)


def test_a_run_without_groups_has_a_page() -> None:
    assert "fail" in page_of().text


def test_odd_results_have_a_page() -> None:
    for number in range(60):
        try:
            page_of(*Draw(number).some(Draw(number).result, 2))
        except Exception as error:
            error.add_note(f"Draw({number})")
            raise
