from __future__ import annotations

from testrium.report.diagram import SequenceDiagram, sequence_diagram, timeline
from testrium.report.view import EventView, FindingView, UnitView


def event(
    place: str,
    type_: str = "Default",
    ms: float | None = 0.0,
    *,
    bound: bool = False,
    absent: bool = False,
) -> EventView:
    unit, _, step = place.partition(":")
    return EventView(unit, step, type_, "k", ms, 1, bound, absent)


def drawn(*events: EventView) -> SequenceDiagram | None:
    finding = FindingView("lost", "a:b", None, "", None, (), False, events, None, "", (), (), ())
    return sequence_diagram(finding)


def ways(*events: EventView) -> list[tuple[str, str, bool]]:
    """The arrows, from unit to unit."""
    drawing = drawn(*events)
    assert drawing is not None
    names = {lane.x: lane.name for lane in drawing.lanes}
    return [(names[arrow.x1], names[arrow.x2], arrow.absent) for arrow in drawing.arrows]


def test_units_stand_in_the_order_in_which_the_key_met_them() -> None:
    drawing = drawn(
        event("client:sent"), event("host:got"), event("client:done"), event("db:stored")
    )

    assert drawing is not None
    assert [lane.name for lane in drawing.lanes] == ["client", "host", "db"]
    assert [dot.label for dot in drawing.dots] == ["sent", "got", "done", "stored"]
    assert [dot.y for dot in drawing.dots] == sorted(dot.y for dot in drawing.dots)
    assert all(0 < dot.x < drawing.width and 0 < dot.y < drawing.height for dot in drawing.dots)


def test_a_chain_goes_from_hop_to_hop() -> None:
    assert ways(
        event("client:sent", "Send"),
        event("broker:queued"),
        event("host:received", absent=True),
    ) == [("client", "broker", False), ("broker", "host", True)]


def test_copies_of_a_broadcast_start_at_their_sender() -> None:
    assert ways(
        event("api:sent", "Send"),
        event("a:received", "Receive"),
        event("b:received", "Receive"),
        event("c:received", absent=True),
    ) == [("api", "a", False), ("api", "b", False), ("api", "c", True)]


def test_steps_of_one_unit_need_no_arrow() -> None:
    assert ways(event("a:one"), event("a:two")) == []


def test_times_say_what_they_are_worth() -> None:
    drawing = drawn(
        event("a:b", ms=1.25),
        event("a:b", ms=2.0, bound=True),
        event("a:b", ms=None),
        event("a:b", absent=True),
    )

    assert drawing is not None
    assert [dot.time for dot in drawing.dots] == ["1.250 ms", "≤ 2.000 ms", "other clock", "never"]


def test_nothing_to_draw() -> None:
    assert drawn() is None
    assert timeline([], 1.0) is None
    assert timeline([unit("a", None, None, None)], 1.0) is None


def unit(name: str, started: float | None, ready: float | None, ended: float | None) -> UnitView:
    return UnitView(name, "finished", "ended", 1, 1, started, ready, ended, (), ())


def test_lives_lie_on_one_axis() -> None:
    drawing = timeline([unit("a", 0.0, 0.5, 2.0), unit("b", 1.0, None, None)], 2.0)

    assert drawing is not None
    first, second = drawing.bars
    assert first.width == 2 * second.width
    assert first.x + first.width == second.x + second.width == drawing.ticks[-1].x
    assert first.ready == (first.x + first.width / 4)
    assert second.ready is None
    assert [tick.label for tick in drawing.ticks] == [
        "0.00 s",
        "0.50 s",
        "1.00 s",
        "1.50 s",
        "2.00 s",
    ]


def test_a_life_of_no_length_can_be_seen() -> None:
    drawing = timeline([unit("a", 0.0, None, 0.0)], 0.0)

    assert drawing is not None
    assert drawing.bars[0].width > 0
