from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import testrium
from testrium.errors import InfraError
from testrium.evidence import Event, UnitState
from testrium.probe import environment as names
from testrium.record.database import in_transaction
from testrium.record.inotify import Inotify
from testrium.record.reader import load_evidence
from testrium.record.recorder import TURN, Recorder, RunnerEvent
from testrium.words import EventType

Append = Callable[..., None]
DOMAIN = "this-clock"


def run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await work

    asyncio.run(limited())


def steps(tmp_path: Path) -> list[str]:
    return [event.step for event in load_evidence(tmp_path / "Data.db").events]


def test_what_is_appended_is_stored_and_told(tmp_path: Path, append: Append) -> None:
    seen: list[Event] = []

    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.subscribe(seen.extend)
            recorder.watch("source", 1, 1, tmp_path / "p", 1)
            append("p", {"step": "ready", "t_ns": 5, "pid": 9, "seq": 1})
            event = await recorder.wait_for("source", "ready")
            assert event == load_evidence(tmp_path / "Data.db").events[0]

    run(work())
    (event,) = seen
    assert (event.id, event.unit, event.step, event.type, event.key) == (
        *(1, "source", "ready", "Default", None),
    )
    assert (event.t_ns, event.t_low_ns, event.domain, event.pid, event.seq) == (
        *(5, None, DOMAIN, 9, 1),
    )
    assert (event.start, event.attempt, event.owner, dict(event.meta)) == (1, 1, "source", {})


def test_lines_written_before_the_watch_are_read(tmp_path: Path, append: Append) -> None:
    append("p", {"step": "early"})

    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("source", 1, 1, tmp_path / "p")
            assert (await recorder.wait_for("source", "early")).unit == "source"

    run(work())


def test_without_inotify_the_files_are_swept(
    tmp_path: Path, append: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inotify, "open", lambda: None)

    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("source", 1, 1, tmp_path / "p")
            wait = asyncio.ensure_future(recorder.wait_for("source", "late"))
            await asyncio.sleep(0)
            append("p", {"step": "late"})
            assert (await wait).step == "late"

    run(work())


def test_sync_stores_all_that_was_written_before(tmp_path: Path, append: Append) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("a", 1, 1, tmp_path / "a")
            recorder.watch("b", 1, 1, tmp_path / "b")
            append("a", *({"step": f"a{i}"} for i in range(3000)))
            append("b", {"step": "b"}, '{"step": "half')
            await recorder.sync()
            assert len(steps(tmp_path)) == 3001

    run(work())


def test_the_end_of_a_file(tmp_path: Path, append: Append) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("a", 1, 1, tmp_path / "a")
            append("a", '{"step": "unterminated"}')
            await recorder.finish(tmp_path / "a")
            assert steps(tmp_path) == ["unterminated"]
            append("a", "\n", {"step": "from a child"})
            assert await recorder.wait_for("a", "from a child")
            append("a", "torn")

    run(work())
    evidence = load_evidence(tmp_path / "Data.db")
    assert [event.step for event in evidence.events] == ["unterminated", "from a child"]
    (damage,) = evidence.damages
    assert (damage.unit, damage.line) == ("a", "torn")


def test_waits(tmp_path: Path, append: Append) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("a", 1, 1, tmp_path / "a1")
            append("a1", {"step": "s", "key": "k1"}, {"step": "s", "key": "k2"})
            await recorder.sync()
            assert (await recorder.wait_for("a", "s")).key == "k1"
            assert (await recorder.wait_for("a", "s", "k2")).key == "k2"
            assert (await recorder.wait_for("*", "s", "k2")).key == "k2"
            assert (await recorder.wait_for("a", "*", "k2")).key == "k2"
            assert recorder.find("a", "s", "k3") is None
            assert recorder.find("b", "s") is None
            later = [
                asyncio.ensure_future(recorder.wait_for(*asked, start=start))
                for *asked, start in (
                    ("a", "s", "k3", None),
                    ("*", "s", "k3", None),
                    ("a", "*", "k3", 2),
                    ("*", "*", "k3", 2),
                    ("a", "s", "k1", 2),
                )
            ]
            await asyncio.sleep(0)
            recorder.watch("a", 2, 1, tmp_path / "a2")
            append("a2", {"step": "s", "key": "k3"})
            events = await asyncio.gather(*later[:4])
            assert [(event.key, event.start) for event in events] == [("k3", 2)] * 4
            assert not later[4].done()
            append("a2", {"step": "s", "key": "k1"})
            assert (await later[4]).start == 2

    run(work())


def test_waits_are_answered_from_the_current_attempt(tmp_path: Path, append: Append) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("a", 1, 1, tmp_path / "a1")
            append("a1", {"step": "s"})
            await recorder.sync()
            wait = asyncio.ensure_future(recorder.wait_for("a", "t"))
            await asyncio.sleep(0)
            recorder.new_attempt(2)
            assert recorder.find("a", "s") is None
            assert recorder.find("a", "s", attempt=1) is not None
            append("a1", {"step": "t"})  # a straggler of the first attempt
            await recorder.sync()
            assert not wait.done()
            recorder.watch("a", 2, 2, tmp_path / "a2")
            append("a2", {"step": "t"})
            assert (await wait).attempt == 2

    run(work())
    assert load_evidence(tmp_path / "Data.db").attempt == 2


def test_a_wait_that_is_given_up_is_forgotten(tmp_path: Path) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await recorder.wait_for("a", "never")
            assert len(recorder._pending) == 0

    run(work())


def test_closing_ends_all_waits(tmp_path: Path) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            wait = asyncio.ensure_future(recorder.wait_for("a", "never"))
            await asyncio.sleep(0)
        with pytest.raises(InfraError, match="ended"):
            await wait

    run(work())


def test_the_rest_of_a_burst_does_not_wait_for_the_next_look(
    tmp_path: Path, append: Append, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One write wakes the recorder once; it reads on until the file has nothing more."""
    monkeypatch.setattr("testrium.record.inotify.SAFETY_SWEEP_S", 1000.0)

    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("burst", 1, 1, tmp_path / "burst")
            await asyncio.sleep(0)  # the first look is over
            append("burst", *({"step": "s", "seq": i + 1} for i in range(20_000)))
            append("burst", {"step": "last"})
            assert (await recorder.wait_for("burst", "last")).id == 20_001

    run(work())


def test_a_short_file_does_not_wait_behind_long_ones(tmp_path: Path, append: Append) -> None:
    """Also while the ends of other units wait for theirs."""
    sizes: list[int] = []

    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.subscribe(lambda events: sizes.append(len(events)))
            for number in range(8):
                recorder.watch(f"u{number}", 1, 1, tmp_path / f"u{number}")
                append(f"u{number}", *({"step": "s", "seq": i + 1} for i in range(3000)))
            ends = [
                asyncio.create_task(recorder.finish(tmp_path / f"u{number}")) for number in range(8)
            ]
            recorder.watch("calm", 1, 1, tmp_path / "calm")
            await asyncio.sleep(0)
            before = len(sizes)
            append("calm", {"step": "once"})
            await recorder.wait_for("calm", "once")
            assert len(sizes) - before < 20
            await asyncio.gather(*ends)

    run(work())
    assert sum(sizes) == 24_001


def test_the_rest_of_a_burst_is_not_left_to_the_next_look_at_the_files(
    tmp_path: Path, append: Append
) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("burst", 1, 1, tmp_path / "burst")
            append("burst", *({"step": "s", "seq": i + 1} for i in range(20_000)), {"step": "last"})
            async with asyncio.timeout(10):  # 50 looks, each half a second after the one before
                await recorder.wait_for("burst", "last")

    run(work())


def test_a_burst_is_stored_in_bounded_turns(tmp_path: Path, append: Append) -> None:
    sizes: list[int] = []

    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.subscribe(lambda events: sizes.append(len(events)))
            recorder.watch("burst", 1, 1, tmp_path / "burst")
            recorder.watch("calm", 1, 1, tmp_path / "calm")
            append("burst", *({"step": "s", "seq": i + 1} for i in range(50_000)))
            append("calm", {"step": "once"})
            await recorder.wait_for("calm", "once")
            waited_for = sum(sizes)
            await recorder.sync()
            assert waited_for < 25_000  # the other unit did not wait for all of it

    run(work())
    assert sum(sizes) == 50_001
    assert max(sizes) < 10 * TURN


def test_events_that_the_runner_saw_in_a_log(tmp_path: Path, append: Append) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("a", 1, 1, tmp_path / "a")
            append("a", {"step": "probe"})
            await recorder.sync()
            sent = RunnerEvent(
                "a", "logged", EventType.SEND, "k", meta={"n": "1"}, start=2, t_low_ns=7
            )
            recorder.add_event(sent)
            recorder.add_event(
                RunnerEvent("a", "logged", EventType.SEND, key="", line="order  sent")
            )
            event = await recorder.wait_for("a", "logged", "k")
            assert (event.id, event.type, event.t_low_ns, event.start) == (2, "Send", 7, 2)
            assert event.t_ns <= time.monotonic_ns()

    run(work())
    evidence = load_evidence(tmp_path / "Data.db")
    assert dict(evidence.events[1].meta) == {"n": "1"}
    (damage,) = evidence.damages
    assert damage.line == "order  sent"
    assert "a key is empty" in damage.reason


def test_statuses(tmp_path: Path) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.set_status("a", UnitState.STARTING)
            recorder.set_status("a", UnitState.READY)

    run(work())
    rows = sqlite3.connect(tmp_path / "Data.db").execute("SELECT Unit, Status FROM UnitStatus")
    assert rows.fetchall() == [("a", "ready")]


def test_a_deleted_database_is_an_error_for_everybody(tmp_path: Path, append: Append) -> None:
    async def work() -> None:
        recorder = Recorder(tmp_path / "Data.db", DOMAIN)
        async with recorder:
            recorder.watch("a", 1, 1, tmp_path / "a")
            wait = asyncio.ensure_future(recorder.wait_for("a", "s"))
            await asyncio.sleep(0)
            (tmp_path / "Data.db").unlink()
            append("a", {"step": "s"})
            with pytest.raises(InfraError, match="deleted or replaced"):
                await wait
            with pytest.raises(InfraError, match="deleted or replaced"):
                await recorder.sync()
            with pytest.raises(InfraError, match="deleted or replaced"):
                recorder.set_status("a", UnitState.READY)

    run(work())


def test_a_full_disk_is_an_error_for_everybody(tmp_path: Path, append: Append) -> None:
    async def work() -> None:
        recorder = Recorder(tmp_path / "Data.db", DOMAIN)
        async with recorder:
            recorder.watch("a", 1, 1, tmp_path / "a")
            append("a", *({"step": "x" * 200, "meta": {"i": i}} for i in range(5000)))
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
            with pytest.raises(InfraError, match="cannot write"):
                await recorder.sync()

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        run(work())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_it_cannot_be_opened_where_nothing_can_be_written(tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(InfraError, match="cannot open"):
            Recorder(tmp_path / "missing" / "Data.db", DOMAIN).open()

    run(work())


def test_closed_it_leaves_one_file(tmp_path: Path, append: Append) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("a", 1, 1, tmp_path / "a")
            append("a", {"step": "s"})

    run(work())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Data.db", "a"]
    assert (tmp_path / "Data.db").stat().st_mode & 0o777 == 0o600


def test_a_deleted_probe_file_is_told_and_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names.PROBES, str(tmp_path / "a"))
    monkeypatch.setenv(names.DOMAIN, names.clock_domain())

    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            recorder.watch("a", 1, 1, tmp_path / "a")
            me = testrium.unit()
            me.probe("before")
            (tmp_path / "a").unlink()
            me.probe("after")
            assert await recorder.wait_for("a", "after")

    run(work())
    (damage,) = load_evidence(tmp_path / "Data.db").damages
    assert "deleted" in damage.reason


def test_a_file_that_rests_is_opened_again_where_it_grows(tmp_path: Path, append: Append) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            for name in ("p", "deleted"):
                recorder.watch(name, 1, 1, tmp_path / name)
                append(name, {"step": "first"})
            await recorder.sync()
            for name in ("p", "deleted"):
                await recorder.finish(tmp_path / name)
                recorder.rest(tmp_path / name)
            append("p", {"step": "second"})
            await recorder.sync()
            assert recorder.find("p", "second") is not None
            recorder.rest(tmp_path / "p")
            append("p", {"step": "third"})
            (tmp_path / "deleted").unlink()

    run(work())
    assert steps(tmp_path) == ["first", "first", "second", "third"]


def test_what_is_known_before_the_first_start_and_at_the_end_is_stored_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one transaction each, the first behind the start: no process waits for SQLite."""
    count = 0

    def counted(connection: sqlite3.Connection, work: Callable[[], object]) -> None:
        nonlocal count
        count += 1
        in_transaction(connection, work)

    monkeypatch.setattr("testrium.record.store.in_transaction", counted)
    counts = []

    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", DOMAIN) as recorder:
            for unit in ("source", "host"):
                recorder.watch(unit, 1, 1, tmp_path / unit, 1)
                recorder.set_status(unit, UnitState.STARTING)
            counts.append(count)
            await recorder.sync()
            counts.append(count)
            recorder.owe_results((), (), ended_ns=5)
            recorder.owe_meta(outputs=[])
        counts.append(count)

    run(work())
    assert counts == [0, 1, 2]
    assert load_evidence(tmp_path / "Data.db").ended_ns == 5
