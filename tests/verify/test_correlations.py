from __future__ import annotations

from testrium.evidence import Event
from testrium.verify.correlations import average_latency_s, classic_correlations


def event(
    kind: str, key: str | None, t_ns: int, *, unit: str = "a", step: str = "s", domain: str = "d"
) -> Event:
    wall_ns = t_ns + 10**18
    return Event(
        *(t_ns, unit, step, kind, key, (), t_ns, None, wall_ns, domain, 1, 1, 1, 1, unit, {"m": 1})
    )


def test_pairs_by_key_with_the_latency_of_the_monotonic_clock() -> None:
    found = classic_correlations(
        [
            event("Send", "k2", 1_000_000),
            event("Send", "k1", 2_000_000),
            event("Receive", "k1", 5_000_000, unit="b", step="r"),
            event("Receive", "k2", 2_000_000, unit="c", step="q"),
            event("Default", "k3", 1),
            event("Send", None, 1),
        ]
    )
    assert found == {
        "paired": [
            {
                "event_key": "k1",
                "send_unit": "a",
                "receive_unit": "b",
                "send_step": "s",
                "receive_step": "r",
                "latency": 0.003,
            },
            {
                "event_key": "k2",
                "send_unit": "a",
                "receive_unit": "c",
                "send_step": "s",
                "receive_step": "q",
                "latency": 0.001,
            },
        ],
        "orphan_sends": [],
        "orphan_receives": [],
        "duplicate_keys": [],
        "average_latency": 0.002,
    }


def test_nothing_has_no_average() -> None:
    assert average_latency_s([]) is None
    assert classic_correlations([])["average_latency"] == 0.0


def test_orphans_and_duplicates() -> None:
    send, receive = event("Send", "k1", 7), event("Receive", "k2", 8)
    found = classic_correlations([receive, send, send])
    assert found["paired"] == []
    assert [one["ID"] for one in found["orphan_sends"]] == [7, 7]
    (orphan,) = found["orphan_receives"]
    assert orphan == {
        "ID": 8,
        "Unit": "a",
        "StepCompleted": "s",
        "EventType": "Receive",
        "EventKey": "k2",
        "Time": receive.wall_ns / 1e9,
        "Metadata": {"m": 1},
    }
    assert found["duplicate_keys"] == [{"event_key": "k1", "send_count": 2, "receive_count": 0}]


def test_two_clocks_compare_by_wall_time() -> None:
    send = event("Send", "k", 5 * 10**12, domain="this")
    receive = event("Receive", "k", 7, domain="that")._replace(wall_ns=send.wall_ns + 1_000_000)
    (pair,) = classic_correlations([send, receive])["paired"]
    assert pair["latency"] == 0.001
