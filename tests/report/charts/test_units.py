from __future__ import annotations

from testrium.evidence import Event, Sample, StateChange
from testrium.report.charts.units import Axis, UnitChart, axis_of, unit_chart, usage
from testrium.report.html import make_environment
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


def drawn(*units: UnitView, duration_s: float = 2.0) -> UnitChart:
    axis = axis_of(units, duration_s)
    assert axis is not None
    return unit_chart(units, axis)


def at(seconds: float) -> int:
    return START_NS + round(seconds * 1e9)


def event(seconds: float, step: str = "s", type_: str = "Default", domain: str = "here") -> Event:
    return Event(
        *(1, "a", step, type_, None, (), at(seconds), None, 0, domain, 1, None, 1, 1, "a", {})
    )


def test_nothing_was_started() -> None:
    assert axis_of([], 1.0) is None
    assert axis_of([unit("a", None, None, None)], 1.0) is None


def test_lives_lie_on_one_axis() -> None:
    drawing = drawn(unit("a", 0.0, 0.5, 2.0), unit("b", 1.0, None, None))
    first, second = drawing.lives
    assert [one.state for one in first.stretches] == ["starting", "ready"]
    assert [one.state for one in second.stretches] == ["starting"]
    starting, ready = first.stretches
    assert 3 * starting.width == ready.width
    assert starting.x + starting.width == ready.x == first.signs[0].x
    (alone,) = second.stretches
    assert ready.x + ready.width == alone.x + alone.width == drawing.axis[-1].x
    assert [moment.label for moment in drawing.axis][:2] == ["0.00 s", "0.50 s"]


def test_a_life_of_no_length_can_be_seen() -> None:
    drawing = drawn(unit("a", 0.0, None, 0.0), duration_s=0.0)
    assert drawing.lives[0].stretches[0].width > 0


def test_a_unit_that_was_started_again_says_so() -> None:
    changes = [("created", 0), ("starting", 0), ("starting", 0.1), ("ready", 0.5)]
    changes += [("starting", 1.0), ("running", 1.5), ("failed", 2.0)]
    states = [StateChange("a", state, at(seconds)) for state, seconds in changes]
    lives = unit_chart(
        [unit("a", 1.0, 1.5, 2.0, "failed")], Axis(2.0), started_ns=START_NS, states=states
    ).lives
    assert [one.state for one in lives[0].stretches] == ["starting", "ready", "starting", "running"]
    assert [sign.kind for sign in lives[0].signs] == ["ready", "again", "ready", "failed"]
    assert lives[0].signs[1].title == "start 2"


def test_probes_of_one_pixel_are_one_stroke() -> None:
    events = [event(0.5), event(0.5), event(0.5, "x"), event(1.0, "Boom", "Exception")]
    events.append(event(1.5, domain="there"))
    (life,) = unit_chart(
        [unit("a", 0.0, 0.1, 2.0)], Axis(2.0), started_ns=START_NS, events=events
    ).lives
    many, one = life.ticks
    assert many.title == "0.500 s: s ×2, x"  # noqa: RUF001
    assert many.height > one.height
    assert (many.bad, one.bad) == (False, True)


def test_a_planned_fault_is_drawn_at_its_unit() -> None:
    faults = [
        FaultView("cut-1", "cut", "a", None, None, 0.5, 1.0),
        FaultView("x", "kill", "b", None, 1, 1.0, None),
    ]
    (life,) = unit_chart([unit("a", 0.0, 0.1, 2.0)], Axis(2.0), faults=faults).lives
    (fault,) = life.faults
    assert fault.width == 320
    assert fault.title == "0.500 s: planned cut (cut-1), for 1.00 s"


def sample(unit_name: str, seconds: float, cpu: float | None, rss: int) -> Sample:
    return Sample(unit_name, 1, at(seconds), 0.1, cpu, rss, 1, 3, 0)


def test_use_is_drawn_to_one_scale() -> None:
    samples = [
        sample("a", 0.0, None, 10_000_000),
        sample("a", 1.0, 50.0, 40_000_000),
        sample("b", 1.0, 100.0, 20_000_000),
    ]
    cpu, memory = usage(samples, Axis(2.0), START_NS)
    assert [curve.most for curve in cpu.curves] == ["max 50 %", "max 100 %"]
    assert [curve.most for curve in memory.curves] == ["max 40.0 MB", "max 20.0 MB"]
    assert len(memory.curves[0].dots) == 2
    heights = [curve.y - curve.dots[0][1] for curve in cpu.curves]
    assert heights[1] == 2 * heights[0]
    assert usage([], Axis(2.0), START_NS) == ()


def test_a_chart_without_any_curve_is_words() -> None:
    cpu, memory = usage([sample("a", 0.0, None, 10_000_000)], Axis(2.0), START_NS)
    assert cpu.curves == ()
    draw_chart = vars(make_environment().get_template("drawings.html.j2").module)["draw_chart"]
    shown = draw_chart(cpu)
    assert "Not drawn" in shown
    assert "<svg" not in shown
    assert "<svg" in draw_chart(memory)
