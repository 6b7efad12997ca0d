from __future__ import annotations

import json

from testrium.evidence import Event, OpenWait, Sample, StateChange
from testrium.report.charts.units import GroupTimeline, timeline, usage
from testrium.report.view import FaultView, UnitView

START_NS = 10**12


def unit(
    name: str,
    started: float | None,
    ready: float | None,
    ended: float | None,
    state: str = "finished",
) -> UnitView:
    return UnitView(name, state, "ended", 1, 1, started, ready, ended, (), ())


def drawn(*units: UnitView, duration_s: float = 2.0, **known: object) -> GroupTimeline:
    found = timeline(units, duration_s, START_NS, **known)  # type: ignore[arg-type]
    assert found is not None
    return found


def at(seconds: float) -> int:
    return START_NS + round(seconds * 1e9)


def event(seconds: float, step: str = "s", type_: str = "Default", domain: str = "here") -> Event:
    return Event(
        *(1, "a", step, type_, None, (), at(seconds), None, 0, domain, 1, None, 1, 1, "a", {})
    )


def test_nothing_was_started() -> None:
    assert timeline([], 1.0, START_NS) is None
    assert timeline([unit("a", None, None, None)], 1.0, START_NS) is None


def test_units_lie_on_one_axis() -> None:
    found = drawn(unit("a", 0.0, 0.5, 2.0), unit("b", 1.0, None, None))
    first, second = found.units
    assert [one[:3] for one in first.periods] == [(0.0, 0.5, "starting"), (0.5, 2.0, "ready")]
    assert [one[:3] for one in second.periods] == [(1.0, 2.0, "starting")]
    assert [(sign.at_s, sign.kind) for sign in first.signs] == [(0.5, "ready"), (2.0, "finished")]
    assert found.end_s == 2.0
    assert json.loads(json.dumps(found.data()))["units"][0]["name"] == "a"


def test_a_group_of_no_length_has_an_axis() -> None:
    assert drawn(unit("a", 0.0, None, 0.0), duration_s=0.0).end_s > 0


def test_units_that_ended_before_the_group_began_have_an_axis() -> None:
    assert drawn(unit("shared", -9.0, -8.0, -1.0), duration_s=-0.5).end_s > 0


def test_a_unit_that_was_ready_after_its_end_is_ready_at_it() -> None:
    (line,) = drawn(unit("a", 0.0, 0.7, 0.5)).units
    assert [one[:3] for one in line.periods] == [(0.0, 0.5, "starting"), (0.5, 0.5, "ready")]
    assert {sign.at_s for sign in line.signs} == {0.5}


def test_a_unit_that_was_started_again_says_so() -> None:
    changes = [("created", 0), ("starting", 0), ("starting", 0.1), ("ready", 0.5)]
    changes += [("starting", 1.0), ("running", 1.5), ("failed", 2.0)]
    states = [StateChange("a", state, at(seconds)) for state, seconds in changes]
    (line,) = drawn(unit("a", 1.0, 1.5, 2.0, "failed"), states=states).units
    assert [one.state for one in line.periods] == ["starting", "ready", "starting", "running"]
    assert [sign.kind for sign in line.signs] == ["ready", "again", "ready", "failed"]
    assert line.signs[1].title == "start 2"


def test_probes_of_one_moment_are_counted_together() -> None:
    events = [event(0.5), event(0.5), event(0.5, "x"), event(1.0, "Boom", "Exception")]
    events.append(event(1.5, domain="there"))
    (line,) = drawn(unit("a", 0.0, 0.1, 2.0), events=events).units
    many, one = line.ticks
    assert many.title == "0.500 s: s ×2, x"  # noqa: RUF001
    assert (many.number, one.number) == (3, 1)
    assert (many.bad, one.bad) == (False, True)


def test_a_planned_fault_is_drawn_at_its_unit() -> None:
    faults = [
        FaultView("cut-1", "cut", "a", None, None, 0.5, 1.0),
        FaultView("x", "kill", "b", None, 1, 1.0, None),
    ]
    (line,) = drawn(unit("a", 0.0, 0.1, 2.0), faults=faults).units
    assert [one[:3] for one in line.faults] == [(0.5, 1.5, "cut")]
    assert line.faults[0].title == "0.500 s: planned cut (cut-1), for 1.00 s"


def test_a_wait_says_for_what_and_how_it_ended() -> None:
    waits = [OpenWait(at(0.5), at(1.5), "linger", ("2 keys at b:got",), ())]
    (wait,) = drawn(unit("a", 0.0, 0.1, 2.0), waits=waits).waits
    assert wait.title == "waited 1.00 s for 2 keys at b:got, until it came"


def sample(unit_name: str, seconds: float, cpu: float | None, rss: int) -> Sample:
    return Sample(unit_name, 1, at(seconds), 0.1, cpu, rss, 1, 3, 0)


def test_what_units_used_are_curves() -> None:
    samples = [
        sample("a", 0.0, None, 10_000_000),
        sample("a", 1.0, 50.0, 40_000_000),
        sample("b", 1.0, 100.0, 20_000_000),
    ]
    cpu, memory = usage(samples, START_NS)
    assert [curve.words for curve in cpu.curves] == ["max 50 %", "max 100 %"]
    assert [curve.words for curve in memory.curves] == ["max 40.0 MB", "max 20.0 MB"]
    assert memory.curves[0].points[1] == (1.0, 40_000_000, "40.0 MB")


def test_without_samples_there_is_no_chart() -> None:
    assert usage([], START_NS) == ()


def test_a_chart_without_any_curve_is_left_out() -> None:
    (memory,) = usage([sample("a", 0.0, None, 10_000_000)], START_NS)
    assert memory.title == "Memory"
