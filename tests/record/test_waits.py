from __future__ import annotations

import asyncio
import contextlib
import json
import socket as unix
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import testrium
from testrium.probe import environment as names
from testrium.probe.waiting import ask
from testrium.record.recorder import Recorder
from testrium.record.waits import WaitServer

Append = Callable[..., None]


@pytest.fixture
def socket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "waits"
        monkeypatch.setenv(names.SOCKET, str(path))
        yield path


def serve(tmp_path: Path, socket: Path, work: Callable[[Recorder], Awaitable[None]]) -> None:
    """Do `work` while a recorder with one unit `a` answers."""

    async def limited() -> None:
        async with (
            asyncio.timeout(60),
            Recorder(tmp_path / "Data.db", "clock") as recorder,
            WaitServer(recorder, socket),
        ):
            recorder.watch("a", 1, 1, tmp_path / "a")
            await work(recorder)

    asyncio.run(limited())


def test_past_and_future_events_answer(tmp_path: Path, socket: Path, append: Append) -> None:
    async def work(recorder: Recorder) -> None:
        me = testrium.unit("b")
        append("a", {"step": "past", "key": "k", "cause": ["c"], "pid": 3, "seq": 1, "t_ns": 7})
        event = await asyncio.to_thread(me.wait_for, "a:past")
        assert (event.unit, event.step, event.type, event.key) == ("a", "past", "Default", "k")
        assert (event.cause, event.t_ns, event.pid, event.seq) == (("c",), 7, 3, 1)
        assert event.meta == {}
        assert repr(event) == "<Default a:past key='k'>"
        waits = [
            asyncio.create_task(asyncio.to_thread(me.wait_for, "a:next", timeout=60)),
            asyncio.create_task(asyncio.to_thread(me.wait_for, "*:next", "k2", 60)),
            asyncio.create_task(me.wait_for_async("a:*", key="k2", timeout=60)),
        ]
        await waiting(recorder, 3)
        append("a", {"step": "next", "key": "k2", "meta": {"größe": [1]}})
        for event in await asyncio.gather(*waits):
            assert (event.step, event.key, event.meta) == ("next", "k2", {"größe": [1]})

    serve(tmp_path, socket, work)


async def waiting(recorder: Recorder, count: int) -> None:
    """Until so many waits are open."""
    # Nothing tells about it: production code has no need to know.
    while len(recorder._pending) != count:  # noqa: ASYNC110
        await asyncio.sleep(0)


def test_timeouts(tmp_path: Path, socket: Path, append: Append) -> None:
    async def work(recorder: Recorder) -> None:
        me = testrium.unit("b")
        for timeout in (0.01, 0, -1):
            with pytest.raises(TimeoutError, match="no probe a:never with key 'k' within"):
                await asyncio.to_thread(me.wait_for, "a:never", "k", timeout)
            with pytest.raises(TimeoutError, match="no probe a:never within"):
                await me.wait_for_async("a:never", timeout=timeout)
        append("a", {"step": "there"})
        assert (await asyncio.to_thread(me.wait_for, "a:there", timeout=0)).step == "there"
        await waiting(recorder, 0)  # who has hung up is forgotten

    serve(tmp_path, socket, work)


@pytest.mark.parametrize(
    ("place", "key", "timeout", "error"),
    [
        ("no colon", None, None, ValueError),
        ("a b:s", None, None, ValueError),
        ("a:", None, None, ValueError),
        ("a:s", "", None, ValueError),
        ("a:s", None, float("nan"), ValueError),
        (5, None, None, TypeError),
        ("a:s", 5, None, TypeError),
        ("a:s", None, "1", TypeError),
    ],
)
def test_an_invalid_wait_is_refused(
    socket: Path, place: Any, key: Any, timeout: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        testrium.unit("b").wait_for(place, key, timeout)


def test_the_end_of_the_run_ends_waits(tmp_path: Path, socket: Path) -> None:
    me = testrium.unit("b")
    waits: list[asyncio.Task[Any]] = []

    async def run() -> None:
        async with Recorder(tmp_path / "Data.db", "clock") as recorder:
            async with WaitServer(recorder, socket):
                waits.append(asyncio.create_task(asyncio.to_thread(me.wait_for, "a:s")))
                waits.append(asyncio.create_task(me.wait_for_async("a:s")))
                await waiting(recorder, 2)
            for wait in waits:
                with pytest.raises(RuntimeError, match="has ended"):
                    await wait
        with pytest.raises(RuntimeError, match="has ended"):
            me.wait_for("a:s")
        with pytest.raises(RuntimeError, match="has ended"):
            await me.wait_for_async("a:s")

    asyncio.run(run())


def test_a_broken_store_is_told(tmp_path: Path, socket: Path) -> None:
    async def work(recorder: Recorder) -> None:
        (tmp_path / "Data.db").unlink()
        with pytest.raises(RuntimeError, match="deleted or replaced"):
            await asyncio.to_thread(ask, {"op": "status", "unit": "a", "status": "ready"})
        with pytest.raises(RuntimeError, match="deleted or replaced"):
            await asyncio.to_thread(ask, {"op": "sync"})

    serve(tmp_path, socket, work)


def test_a_process_that_is_killed_is_forgotten(tmp_path: Path, socket: Path) -> None:
    async def work(recorder: Recorder) -> None:
        code = "import testrium; testrium.unit('b').wait_for('a:never')"
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        await waiting(recorder, 1)
        child.kill()
        await child.wait()
        await waiting(recorder, 0)

    serve(tmp_path, socket, work)


def test_requests_that_make_no_sense(tmp_path: Path, socket: Path) -> None:
    async def work(recorder: Recorder) -> None:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        for request in (
            b"garbage",
            b"[]",
            b"{}",
            b'{"op": "dance"}',
            b'{"op": "wait"}',
            b'{"op": "wait", "unit": 1, "step": "s", "key": null}',
            b'{"op": "status", "unit": "a", "status": "dancing"}',
            b'{"op": "result"}',
            b"[" * 100_000,
        ):
            writer.write(request + b"\n")
            assert "error" in json.loads(await reader.readline()), request
        writer.write(b'{"op": "sync"}\n{"op": "sync"}\n')
        assert json.loads(await reader.readline()) == {"ok": True}
        assert json.loads(await reader.readline()) == {"ok": True}
        writer.close()

    serve(tmp_path, socket, work)


def test_an_endless_request_is_hung_up_on(tmp_path: Path, socket: Path) -> None:
    async def work(recorder: Recorder) -> None:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(b"x" * (3 << 20))
        assert "too long" in json.loads(await reader.readline())["error"]
        with contextlib.suppress(ConnectionError):  # what was still to be sent has no reader
            assert await reader.read() == b""
        writer.close()

    serve(tmp_path, socket, work)


def test_from_another_process(tmp_path: Path, socket: Path, append: Append) -> None:
    async def work(recorder: Recorder) -> None:
        code = "import testrium; print(testrium.unit('b').wait_for('a:s', timeout=60).key)"
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=subprocess.PIPE
        )
        await waiting(recorder, 1)
        append("a", {"step": "s", "key": "k"})
        assert (await child.communicate())[0] == b"k\n"

    serve(tmp_path, socket, work)


def test_a_question_is_answered_between_two_batches_of_a_long_file(
    tmp_path: Path, socket: Path, append: Append
) -> None:
    async def work(recorder: Recorder) -> None:
        batches: list[int] = []
        recorder.subscribe(lambda events: batches.append(len(events)))
        append("a", b'{"step": "many"}\n' * 20_000)
        recorder.check_files()
        while not batches:  # noqa: ASYNC110 - each turn of the loop counts
            await asyncio.sleep(0)
        with contextlib.closing(unix.socket(unix.AF_UNIX)) as wire:
            wire.connect(str(socket))
            wire.sendall(
                b'{"op": "wait", "unit": "a", "step": "many", "key": null, "now": false}\n'
            )
            wire.setblocking(False)
            asked_at, reply = len(batches), b""
            while not reply:
                await asyncio.sleep(0)
                with contextlib.suppress(BlockingIOError):
                    reply = wire.recv(4096)
        assert json.loads(reply)["event"]["step"] == "many"
        assert len(batches) - asked_at <= 1
        assert sum(batches) < 20_000

    serve(tmp_path, socket, work)
