from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import pytest

from testrium.declared.circuits import Circuit, Hop
from testrium.evidence import Event, Finding
from testrium.report.charts.key_paths import (
    MOST_STEPS,
    WHOLE_RUN,
    DrawnPaths,
    joined_keys,
    key_paths,
)
from testrium.results import CircuitPaths, KeyPath, MissedHop
from testrium.words import Code, Place

START_NS = 10**9
ROUTE = Circuit(
    "order",
    ((Hop("shop:sent", (Place("shop", "sent"),)),), (Hop("store:got", (Place("store", "got"),)),)),
)


def event(
    number: int, place: str, ms: float, key: str | None, cause: tuple[str, ...] = ()
) -> Event:
    unit, step = place.split(":")
    return Event(
        id=number,
        unit=unit,
        step=step,
        type="Default",
        key=key,
        cause=cause,
        t_ns=START_NS + round(ms * 1e6),
        t_low_ns=None,
        wall_ns=0,
        domain="here",
        pid=1,
        seq=None,
        start=1,
        attempt=1,
        owner=unit,
        meta={"key": key},
    )


def answered(key: str, first: int, ms: float) -> tuple[list[Event], KeyPath]:
    events = [event(first, "shop:sent", first, key), event(first + 1, "store:got", first + ms, key)]
    return events, KeyPath(key, tuple(events), ms * 1e6, ms * 1e6)


def lost(key: str, first: int) -> tuple[list[Event], KeyPath]:
    events = [event(first, "shop:sent", first, key)]
    return events, KeyPath(key, tuple(events), inf, inf, (MissedHop("store:got", first),))


def shown(
    *known: tuple[list[Event], KeyPath], findings: Sequence[Finding] = (), room: int = 1000
) -> DrawnPaths:
    events = [one for own, _ in known for one in own]
    circuits = (CircuitPaths(ROUTE, tuple(path for _, path in known)),)
    return key_paths(events, circuits, findings, {}, room)


def test_what_is_wrong_comes_first_then_the_slowest() -> None:
    findings = [Finding(Code.LATE, "store:got", "", keys=("k2",))]
    paths = shown(
        answered("k1", 1, 2.0),
        answered("k2", 3, 1.0),
        lost("k3", 5),
        answered("k4", 7, 9.0),
        findings=findings,
    )
    assert [path.name for path in paths.shown] == ["k2", "k3", "k4", "k1"]
    assert [path.latency for path in paths.shown] == [
        "1.000 ms",
        "unanswered",
        "9.000 ms",
        "2.000 ms",
    ]
    assert paths.shown[0].wrong == ("late at store:got",)


def test_the_hop_that_a_key_did_not_pass_is_told() -> None:
    (path,) = shown(lost("k1", 1)).shown
    assert [(step.unit, step.label, step.time, step.absent) for step in path.steps] == [
        ("shop", "sent", "0.000 ms", False),
        ("store", "got", "never", True),
    ]
    assert path.steps[1].source == 0


def test_all_keys_are_folded_into_one_way() -> None:
    paths = shown(answered("k1", 1, 2.0), answered("k2", 3, 4.0), lost("k3", 5))
    (folded,) = paths.folded
    assert folded.circuit == "order"
    assert [(step.unit, step.label, step.time, step.source) for step in folded.steps] == [
        ("shop", "sent ×3", "0.000 ms", None),  # noqa: RUF001
        ("store", "got ×2", "3.000 ms", 0),  # noqa: RUF001
        ("store", "got ×1", "never", 0),  # noqa: RUF001
    ]


def test_each_circuit_has_a_drawing_of_its_own() -> None:
    billing = Circuit(
        "bill",
        (
            (Hop("shop:sent", (Place("shop", "sent"),)),),
            (Hop("bank:paid", (Place("bank", "paid"),)),),
        ),
    )
    events, order = answered("k1", 1, 2.0)
    paid = event(3, "bank:paid", 5, "k1")
    noted = event(4, "log:noted", 6, "k1")
    bill = KeyPath("k1", (events[0], paid), 5e6, 5e6)
    circuits = (CircuitPaths(ROUTE, (order,)), CircuitPaths(billing, (bill,)))
    paths = key_paths([*events, paid, noted], circuits, (), {}, 1000)
    (path,) = paths.shown
    found = {one.circuit: [step.label for step in one.steps] for one in path.drawings}
    assert found == {"order": ["sent", "got"], "bill": ["sent", "paid"], "": ["noted"]}
    assert [one.circuit for one in paths.folded] == ["order", "bill", ""]


def test_more_keys_than_there_is_room_for_are_counted() -> None:
    paths = shown(*(answered(f"k{n}", 2 * n, n) for n in range(1, 30)), room=6)
    assert ([path.name for path in paths.shown], paths.total) == (["k29", "k28", "k27"], 29)


def test_causes_join_keys_to_one_way() -> None:
    events = [
        event(1, "shop:sent", 0, "k1"),
        event(2, "store:got", 1, "k2", ("k1",)),
        event(3, "store:noted", 2, None, ("k2",)),
        event(4, "store:noted", 3, "k9"),
    ]
    assert joined_keys(events) == {"k1": "k1", "k2": "k1", "k9": "k9"}
    paths = key_paths(events, (), (), {2: "kill, as planned"}, 1000)
    assert [(path.name, path.others, path.events) for path in paths.shown] == [
        ("k1", ("k2",), 3),
        ("k9", (), 1),
    ]
    assert [step.fault for step in paths.shown[0].steps] == ["", "kill, as planned", ""]


def test_a_long_way_loses_its_middle() -> None:
    events = [event(n, "a:b", n, "k") for n in range(1, MOST_STEPS + 21)]
    (path,) = key_paths(events, (), (), {}, 10**6).shown
    assert (len(path.steps), path.events) == (MOST_STEPS, MOST_STEPS + 20)
    assert [step.skipped for step in path.steps if step.skipped] == [20]


def test_a_circuit_of_the_whole_run_has_one_way() -> None:
    events = [event(1, "shop:sent", 0, None), event(2, "store:got", 2, None)]
    whole = CircuitPaths(replace(ROUTE, per="run"), (KeyPath("", tuple(events), 2e6, 2e6),))
    (path,) = key_paths(events, (whole,), (), {}, 1000).shown
    assert (path.name, path.latency, len(path.steps)) == (WHOLE_RUN, "2.000 ms", 2)


def test_nothing_with_a_key_has_no_way() -> None:
    assert key_paths([event(1, "a:b", 0, None)], (), (), {}, 1000) == DrawnPaths()


def test_hops_that_were_not_passed_take_room_too() -> None:
    """A page of a million lost keys stays as small as one of a million that came."""
    paths = shown(*(lost(f"k{n}", 2 * n) for n in range(1, 30)), room=6)
    assert sum(len(path.steps) for path in paths.shown) == 6
    assert paths.total == 29


def test_very_many_events_are_drawn_the_same_in_little_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = [answered(f"k{n}", 2 * n, n) for n in range(1, 30)]
    known[7] = lost("k8", 16)
    findings = [Finding(Code.LATE, "store:got", "", keys=("k3",))]
    whole = shown(*known, findings=findings, room=9)
    monkeypatch.setattr("testrium.report.charts.key_paths.MANY_EVENTS", 10)
    assert shown(*known, findings=findings, room=9) == whole
    assert [path.name for path in whole.shown] == ["k3", "k8", "k29", "k28"]
