from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from testrium.verify.correlations import KeyColumn, pair

ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9), st.sampled_from("uv")))


def column(rows: list[tuple[str, int, str]]) -> KeyColumn:
    return KeyColumn(
        [key for key, _, _ in rows],
        [time for _, time, _ in rows],
        [unit for _, _, unit in rows],
        [f"step-{unit}" for _, _, unit in rows],
    )


def first(rows: list[tuple[str, int, str]], key: str) -> tuple[str, int, str]:
    return min((row for row in rows if row[0] == key), key=lambda row: row[1])


@given(ROWS, ROWS)
def test_as_one_would_do_it_by_hand(
    sends: list[tuple[str, int, str]], receives: list[tuple[str, int, str]]
) -> None:
    found = pair(column(sends), column(receives))
    sent, received = Counter(row[0] for row in sends), Counter(row[0] for row in receives)
    assert found.paired == [
        {
            "event_key": key,
            "send_unit": first(sends, key)[2],
            "receive_unit": first(receives, key)[2],
            "send_step": f"step-{first(sends, key)[2]}",
            "receive_step": f"step-{first(receives, key)[2]}",
            "latency": max(0, first(receives, key)[1] - first(sends, key)[1]) / 1e9,
        }
        for key in sorted(sent.keys() & received.keys())
    ]
    for orphans, rows, others in (
        (found.orphan_sends, sends, received),
        (found.orphan_receives, receives, sent),
    ):
        assert [rows[i][:2] for i in orphans] == sorted(
            row[:2] for row in rows if row[0] not in others
        )
    assert found.duplicates == [
        {"event_key": key, "send_count": sent[key], "receive_count": received[key]}
        for key in sorted(sent.keys() | received.keys())
        if sent[key] > 1 or received[key] > 1
    ]
    latencies = [one["latency"] for one in found.paired]
    expected = sum(latencies) / len(latencies) if latencies else None
    assert found.average_latency_s == expected


def test_in_order_and_each_once_is_the_same_as_any_order() -> None:
    keys = ["a", "b", "c"]
    sends = KeyColumn(keys, [1, 2, 3], ["u"] * 3, ["s"] * 3)
    receives = KeyColumn(list(keys), [4, 4, 5], ["v"] * 3, ["r"] * 3)
    shuffled = KeyColumn(["b", "c", "a"], [4, 5, 4], ["v"] * 3, ["r"] * 3)
    assert pair(sends, receives) == pair(sends, shuffled)
