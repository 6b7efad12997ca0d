from __future__ import annotations

from testrium.declared.circuits import Circuit, Hop
from testrium.evidence import Event, Finding
from testrium.report.charts.hops import HopColumn, hop_columns, operations_of, steps_of
from testrium.report.charts.key_paths import Step
from testrium.report.view import EventView, FindingView
from testrium.words import Code, Place


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


def steps(*events: EventView, circuit: Circuit | None = None) -> tuple[Step, ...]:
    name = None if circuit is None else circuit.name
    finding = FindingView("lost", "a:b", name, "", None, (), 0, False, events, None, "", (), (), ())
    return steps_of(finding, () if circuit is None else (circuit,))


def drawn(*events: EventView, circuit: Circuit | None = None) -> list[str]:
    """Each column in a word: hops of one are joined by `+`, `!` marks what was not reached."""
    return [word(column) for column in hop_columns(steps(*events, circuit=circuit))]


def word(column: HopColumn) -> str:
    if column.skipped:
        return f"…{column.skipped}"
    names = "+".join(f"{hop.unit}:{hop.label}{'!' * hop.absent}" for hop in column.hops)
    return names + (f" from {column.origin}" if column.origin else "")


def test_a_chain_goes_from_hop_to_hop() -> None:
    chain = (event("a:sent", "Send"), event("b:queued"), event("c:got", absent=True))
    assert drawn(*chain) == ["a:sent", "b:queued", "c:got!"]
    assert [column.broken for column in hop_columns(steps(*chain))] == [False, False, True]


def test_copies_of_a_broadcast_stand_below_each_other() -> None:
    assert drawn(
        event("api:sent", "Send"),
        event("a:received", "Receive"),
        event("b:received", "Receive"),
        event("c:received", absent=True),
    ) == ["api:sent", "a:received+b:received+c:received!"]


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
    assert drawn(*story) == ["shop:sent", "queue:taken+store:stored"]
    chain = route("shop:sent", "queue:taken", "store:stored")
    assert drawn(*story, circuit=chain) == ["shop:sent", "queue:taken", "store:stored"]


def test_what_does_not_come_from_the_column_before_names_its_origin() -> None:
    found = hop_columns(
        (Step("a", "sent"), Step("b", "got", source=0), Step("c", "got", source=1)),
    )
    assert [column.origin for column in found] == ["", "", ""]
    found = hop_columns(
        (
            Step("a", "sent"),
            Step("b", "got", source=0),
            Step("b", "put", source=1),
            Step("c", "got", source=0, absent=True),
        ),
    )
    assert [word(column) for column in found] == ["a:sent", "b:got", "b:put", "c:got! from a:sent"]


def test_a_long_row_keeps_what_is_around_the_break() -> None:
    chain = [Step("u", f"s{n}", source=n - 1 if n else None) for n in range(20)]
    chain[12] = chain[12]._replace(absent=True)
    assert [word(column) for column in hop_columns(chain)] == [
        *("u:s0", "…9", "u:s10", "u:s11", "u:s12!", "u:s13", "…6"),
    ]
    assert len(hop_columns(chain, 20)) == 20


def test_times_say_what_they_are_worth() -> None:
    found = steps(
        event("a:b", ms=1.25),
        event("a:b", ms=2.0, bound=True),
        event("a:b", ms=None),
        event("a:b", absent=True),
    )
    assert [step.time for step in found] == ["1.250 ms", "≤ 2.000 ms", "other clock", "never"]


def test_nothing_to_draw() -> None:
    assert drawn() == []


def told(number: int, place: str, ms: float, key: str) -> Event:
    unit, step = place.split(":")
    t_ns = 10**9 + round(ms * 1e6)
    return Event(
        *(number, unit, step, "Default", key, (), t_ns, None, 0, "here", 1, None, 1, 1, unit, {})
    )


def test_operations_of_a_history_are_intervals() -> None:
    events = (
        told(1, "a:write-asked", 0, "w"),
        told(2, "b:read-asked", 1, "r"),
        told(3, "a:write-answered", 2, "w"),
        told(4, "b:read-answered", 4, "r"),
        told(5, "a:write-asked", 5, "x"),
    )
    message = "stock: no order of 3 operations explains read -> 7 by b (r): "
    message += "write 8 by a (w); write 9 (no answer) by a (x); read -> 7 by b (r)"
    finding = Finding(
        Code.INCONSISTENT, "stock", message, key="r", events=(1, 2, 3, 4, 5), unit="b"
    )
    witnesses = {event.id: event for event in events}
    assert operations_of(finding, witnesses) == (
        ("a", "write 8", 0.0, 2.0, False),
        ("b", "read -> 7", 1.0, 4.0, True),
        ("a", "write 9 (no answer)", 5.0, None, False),
    )
    assert operations_of(finding._replace(code=Code.LOST), witnesses) == ()
