from __future__ import annotations

from testrium.declared.circuits import Circuit, Hop
from testrium.report.charts.key_paths import SequenceDiagram, sequence_diagram, steps_of
from testrium.report.view import EventView, FindingView
from testrium.words import Place


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


def drawn(*events: EventView, circuit: Circuit | None = None) -> SequenceDiagram | None:
    name = None if circuit is None else circuit.name
    finding = FindingView("lost", "a:b", name, "", None, (), 0, False, events, None, "", (), (), ())
    return sequence_diagram(steps_of(finding, () if circuit is None else (circuit,)))


def ways(*events: EventView, circuit: Circuit | None = None) -> list[tuple[str, str, bool]]:
    """The arrows, from unit to unit."""
    drawing = drawn(*events, circuit=circuit)
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


def test_steps_of_one_unit_follow_its_lifeline() -> None:
    assert ways(event("a:one"), event("a:two"), event("a:three", absent=True)) == [
        ("a", "a", False),
        ("a", "a", True),
    ]


def test_times_say_what_they_are_worth() -> None:
    drawing = drawn(
        event("a:b", ms=1.25),
        event("a:b", ms=2.0, bound=True),
        event("a:b", ms=None),
        event("a:b", absent=True),
    )

    assert drawing is not None
    assert [dot.time for dot in drawing.dots] == ["1.250 ms", "≤ 2.000 ms", "other clock", "never"]


def route(*stages: str) -> Circuit:
    """A circuit; hops of one stage are separated by a space."""
    return Circuit(
        "c",
        tuple(
            tuple(Hop(text, (Place(*text.split(":")),)) for text in stage.split())
            for stage in stages
        ),
    )


def test_a_route_says_what_comes_from_where() -> None:
    """Messages alone would make both Receives the first sender's."""
    story = (
        event("shop:sent", "Send"),
        event("queue:taken", "Receive"),
        event("store:stored", "Receive"),
    )
    assert ways(*story) == [("shop", "queue", False), ("shop", "store", False)]
    chain = route("shop:sent", "queue:taken", "store:stored")
    assert ways(*story, circuit=chain) == [("shop", "queue", False), ("queue", "store", False)]
    fan_out = route("shop:sent", "queue:taken *:stored")
    assert ways(*story, circuit=fan_out) == ways(*story)


def test_an_arrow_bends_around_what_is_between() -> None:
    drawing = drawn(event("a:sent", "Send"), event("b:got", "Receive"), event("c:got", "Receive"))
    assert drawing is not None
    beside, beyond = drawing.arrows
    assert beside.yc == (beside.y1 + beside.y2) // 2
    assert beyond.yc == beyond.y1


def test_an_arrow_back_comes_in_below_the_label_of_its_end() -> None:
    drawing = drawn(
        event("a:sent", "Send"), event("b:got", "Receive"), event("a:answered"), circuit=BACK
    )
    assert drawing is not None
    back = drawing.arrows[1]
    assert back.x2 < back.x1
    assert (back.xc, back.yc) == (back.x1, back.y2)


BACK = route("a:sent", "b:got", "a:answered")


def test_nothing_to_draw() -> None:
    assert drawn() is None
