from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import Event, UnitState
from testrium.report.escape import cells
from testrium.report.lines import ASCII, symbols_for
from testrium.report.progress import Progress
from testrium.report.wording import waiting
from testrium.results import Awaited

EVENT = Event(
    1, "client", "sent", "Send", "order-名-1", (), 0, None, 0, "", 1, 1, 1, 1, "client", {}
)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("testrium.report.progress.time.monotonic", lambda: 100.0)


def scenario(id_: str, *units: str) -> Scenario:
    members = tuple(Unit(name, number, "") for number, name in enumerate(units))
    return Scenario(id_, Group(id_, Path(), ()), members)


def texts(progress: Progress, width: int = 80, height: int = 24) -> list[str]:
    return [row.text for row in progress.rows(width, height)]


def test_a_line_tells_states_and_the_last_probe() -> None:
    progress = Progress(symbols_for("utf-8"))
    checkout = scenario("checkout", "host", "client")
    progress.started(checkout)
    progress.unit_changed(checkout, "host", UnitState.READY)
    progress.events_stored(checkout, (EVENT,))

    assert texts(progress) == ["checkout    0.00 s  ● host  · client  client:sent order-名-1"]


def test_a_group_on_a_cluster_tells_where_it_runs() -> None:
    progress = Progress(ASCII)
    checkout = scenario("checkout", "host", "client")
    progress.started(checkout)
    for host in ("lost", "far"):
        progress.placed(checkout, host)

    assert texts(progress) == ["checkout    0.00 s  on far"]


def test_many_units_are_counted() -> None:
    progress = Progress(ASCII)
    many = scenario("many", *(f"worker-{number}" for number in range(40)))
    progress.started(many)
    progress.unit_changed(many, "worker-3", UnitState.READY)

    assert texts(progress) == ["many        0.00 s  . 39 created  * 1 ready"]
    progress.unit_changed(many, "worker-4", UnitState.RUNNING)
    assert texts(progress, 40) == ["many        0.00 s  .38  *2"]  # both are up


def test_a_long_name_is_whole_where_half_of_the_line_holds_it() -> None:
    progress = Progress(symbols_for("utf-8"))
    for name in ("shop/checkout_by_card", "shop/checkout_by_cash"):
        progress.started(scenario(name))
    assert texts(progress, 60)[0].startswith("shop/checkout_by_card ")
    narrow = [text.split()[0] for text in texts(progress, 40)]
    assert narrow == ["shop/ch…kout_by_card", "shop/ch…kout_by_cash"]


def test_groups_that_do_not_fit_are_counted() -> None:
    progress = Progress(ASCII)
    progress.expect([scenario(f"g{number}") for number in range(30)])
    for number in range(9):
        progress.started(scenario(f"g{number}"))
    progress.ended(scenario("g0"))

    assert len(texts(progress, height=7)) == 6
    assert texts(progress, height=7)[-1] == "1 of 30 done, 8 running, 3 of them not shown"


@given(
    st.text(min_size=1, max_size=80),
    st.lists(st.text(max_size=30), max_size=30, unique=True),
    st.text(max_size=60),
    st.integers(40, 200),
)
def test_no_line_is_wider_than_the_terminal(
    id_: str, units: list[str], step: str, width: int
) -> None:
    progress = Progress(symbols_for("utf-8"))
    progress.expect([scenario("a"), scenario("b")])
    group = scenario(id_, *units)
    progress.started(group)
    progress.events_stored(group, (EVENT._replace(step=step),))

    assert all(cells(text) <= width for text in texts(progress, width))


def test_results_of_one_group_are_told_apart() -> None:
    progress = Progress(ASCII)
    first = scenario("a")
    second = first._replace(repeat=1)
    progress.started(first)
    progress.started(second)
    progress.ended(first)

    assert [text.split()[0] for text in texts(progress)] == ["a+1"]


def test_a_further_round_is_counted_too() -> None:
    progress = Progress(ASCII)
    progress.expect([scenario("a"), scenario("b")])
    progress.ended(scenario("a"))
    progress.ended(scenario("b"))
    progress.expect([scenario("a"), scenario("b")])
    assert texts(progress) == ["2 of 4 done, 0 running"]


def test_the_rest_is_guessed_where_all_of_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"a": 10.0, "b": 30.0, "c": 20.0, "skipped": 5.0}
    asked: list[int] = []

    def durations() -> dict[str, float]:
        asked.append(1)
        return known

    progress = Progress(ASCII, durations, jobs=2)
    progress.expect([scenario(id_) for id_ in ("a", "b", "c", "skipped")])
    assert asked == []  # a short run never shows a line
    assert texts(progress) == ["0 of 4 done, 0 running, about 32 s left"]
    progress.started(scenario("b"))
    progress.ended(scenario("skipped"))
    monkeypatch.setattr("testrium.report.progress.time.monotonic", lambda: 104.0)
    assert texts(progress)[-1] == "1 of 4 done, 1 running, about 28 s left"
    progress.started(scenario("a"))
    progress.ended(scenario("a"), failed=True)
    assert texts(progress)[-1] == "2 of 4 done, 1 failed, 1 running, about 26 s left"
    progress.expect([scenario("new")])
    assert texts(progress)[-1] == "2 of 5 done, 1 failed, 1 running"
    assert asked == [1]


def test_one_group_alone_is_guessed_if_it_takes_long() -> None:
    for seconds, lines in ((300.0, ["0 of 1 done, 1 running, about 5 min left"]), (1.0, [])):
        progress = Progress(ASCII, lambda seconds=seconds: {"a": seconds})  # type: ignore[misc]
        progress.expect([scenario("a")])
        progress.started(scenario("a"))
        assert texts(progress)[1:] == lines


def test_what_is_waited_for_takes_the_place_of_a_probe_that_is_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    progress = Progress(symbols_for("utf-8"))
    checkout = scenario("checkout", "host")
    progress.started(checkout)
    progress.events_stored(checkout, (EVENT,))
    monkeypatch.setattr("testrium.report.progress.time.monotonic_ns", lambda: 2_000_000_000)
    progress.waiting(checkout, Awaited(("3 keys at notifier:notified",), 30_000_000_000))
    assert texts(progress)[0].endswith("client:sent order-名-1")
    monkeypatch.setattr("testrium.report.progress.time.monotonic", lambda: 101.0)
    wide = texts(progress, 100)[0]
    assert wide.endswith("  waiting for 3 keys at notifier:notified, 28 s left")
    alone = texts(progress, 72)[0]  # no room for units beside it
    assert alone.endswith("1.00 s  waiting for 3 keys at notifier:notified, 28 s left")
    assert texts(progress, 60)[0].endswith("  waiting for 3 keys at no…, 28 s left")
    assert texts(progress, 40)[0].endswith("  ·1  28 s left")
    progress.waiting(checkout, None)
    assert texts(progress)[0].endswith("client:sent order-名-1")


def test_of_many_things_that_are_waited_for_the_first_are_named() -> None:
    assert waiting(Awaited(("a to end", "b to end", "c to end"), None), 0) == (
        "waiting for a to end, b to end and 1 more"
    )
