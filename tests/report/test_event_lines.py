from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testrium.evidence import Event
from testrium.report.charts.key_paths import path_of
from testrium.report.event_lines import event_lines
from testrium.report.lines import symbols_for

MARKS = symbols_for("utf-8")


def event(number: int, place: str, ms: float, key: str | None = "k1", **fields: Any) -> Event:
    unit, _, step = place.partition(":")
    made = Event(
        id=number,
        unit=unit,
        step=step,
        type="Default",
        key=key,
        cause=(),
        t_ns=9_000_000_000 + round(ms * 1e6),
        t_low_ns=None,
        wall_ns=0,
        domain="here",
        pid=100,
        seq=None,
        start=1,
        attempt=1,
        owner=unit,
        meta={},
    )
    return made._replace(**fields)


def told(events: Sequence[Event], width: int | None = None) -> list[str]:
    return [line.text for line in event_lines("title", events, MARKS, width=width)]


def test_events_come_in_the_order_of_time_each_with_the_gap_before_it() -> None:
    events = [
        event(1, "host:got", 1.25, meta={"rows": 3, "traceback": "long"}),
        event(2, "client:sent", 0, type="Send"),
    ]
    assert told(events) == [
        "title  2 events",
        "  0.000 ms             client  sent  Send     pid 100",
        "  1.250 ms  +1.250 ms  host    got   Default  pid 100  rows=3",
    ]


def test_keys_and_causes_are_shown_where_they_differ() -> None:
    events = [event(1, "a:s", 0, "k1"), event(2, "a:t", 1, "k2", cause=("k1",))]
    assert told(events)[1:] == [
        "  0.000 ms             a  s  k1  Default  pid 100",
        "  1.000 ms  +1.000 ms  a  t  k2  Default  pid 100  cause k1",
    ]


def test_times_of_reading_and_of_other_clocks_are_told_apart() -> None:
    events = [
        event(1, "a:s", 0),
        event(2, "a:t", 1, t_low_ns=9_000_000_000, pid=0),
        event(3, "b:u", 0.5, domain="there"),
    ]
    assert [line.strip() for line in told(events)[1:]] == [
        "0.000 ms             a  s  Default  pid 100",
        "other clock             b  u  Default  pid 100",
        "<= 1.000 ms  +1.000 ms  a  t  Default",
    ]


def test_a_new_attempt_begins_with_a_line() -> None:
    events = [event(1, "a:s", 0), event(2, "a:s", 5, attempt=2)]
    assert told(events)[2] == "  the circuit was started again (attempt 2)"


def test_what_does_not_fit_is_left_out() -> None:
    assert told([event(1, "client:sent", 0)], width=30)[1] == "  0.000 ms    client  sent"


def test_text_of_units_moves_no_cursor() -> None:
    [_, row] = told([event(1, "a:s", 0, meta={"x\x1b[2J": "\u202e"})])
    assert r"x\x1b[2J" in row
    assert "\x1b" not in row
    assert "\u202e" not in row


def test_without_events_there_are_no_lines() -> None:
    assert told([]) == ["title  0 events"]


def test_the_path_of_a_key_continues_under_the_keys_that_it_caused() -> None:
    events = [
        event(1, "a:sent", 0, "k1"),
        event(2, "a:sent", 0, "k2"),
        event(3, "b:replied", 1, "r1", cause=("k1",)),
        event(4, "a:matched", 2, "r1"),
        event(5, "c:logged", 3, None, cause=("r1",)),
        event(6, "c:idle", 4, None),
    ]
    assert [found.id for found in path_of("k1", events)] == [1, 3, 4, 5]
    assert path_of("r1", events) == path_of("k1", events)
    assert [found.id for found in path_of("k2", events)] == [2]
    assert path_of("k3", events) == ()


def test_an_event_that_only_names_the_key_as_its_cause_is_on_its_way() -> None:
    events = [event(1, "c:logged", 3, None, cause=("k1",))]
    assert path_of("k1", events) == tuple(events)
