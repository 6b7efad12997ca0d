"""Ask the runner, over a Unix socket or TCP, and wait for its answer.

A request is one line of JSON, its answer one line too:

    {"op": "wait", "unit": "source", "step": "sent", "key": null, "now": false}
        -> {"event": {...}}, once it is stored; with "now" also {"event": null}, at once
           with "asker" also {"event": null, "ended": "unit source ended with exit code 3"}, once
           no process is left that could emit it
        -> {"unknown": "this run has no unit 'sorce': did you mean 'source'?"}
    {"op": "end", "unit": "source", "asker": "tests"}
        -> {"end": "unit source ended with exit code 3"}, once it has ended for good
    {"op": "sync"}      -> {"ok": true}, once everything written before is stored
    {"op": "status", "unit": "source", "status": "ready"}           -> {"ok": true}
    {"op": "result", ...the fields of `store_result`...}            -> {"ok": true}

Any of them may be answered {"error": "..."}. An address is the path of a Unix socket, or
`tcp:PORT:TOKEN`: a port of this host, to which the token is sent first, as a line. Any user of the
machine may connect to it; a connection without the token is not answered.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from math import isnan
from time import monotonic
from typing import TYPE_CHECKING, Any

from testrium.probe import environment as names
from testrium.probe.event import ProbeRecord, check_key, check_step, check_unit

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

#: What the address of a line over TCP begins with.
TCP = "tcp:"

HOST = "127.0.0.1"


def connected(address: str) -> socket.socket:
    """Connect a blocking socket. Raises OSError where the connection is refused."""
    if not address.startswith(TCP):
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            wire.connect(address)
        except OSError:
            wire.close()
            raise
        return wire
    port, greeting = _parts(address)
    wire = socket.create_connection((HOST, port))
    wire.sendall(greeting)
    return wire


async def connected_async(address: str, limit: int) -> tuple[StreamReader, StreamWriter]:
    """The same for asyncio; `limit` is that of a line, in bytes."""
    import asyncio

    if not address.startswith(TCP):
        return await asyncio.open_unix_connection(address, limit=limit)
    port, greeting = _parts(address)
    reader, writer = await asyncio.open_connection(HOST, port, limit=limit)
    writer.write(greeting)
    return reader, writer


def _parts(address: str) -> tuple[int, bytes]:
    port, _, token = address.removeprefix(TCP).partition(":")
    return int(port), f"{token}\n".encode()


ENDED = "the run has ended, or its runner was killed"


def wait_for(place: str, key: str | None, timeout: float | None) -> ProbeRecord:
    """See `Unit.wait_for`."""
    request = wait_request(place, key, timeout, asker=os.environ.get(names.UNIT, ""))
    try:
        answer = ask(request, timeout)
    except TimeoutError:
        raise _given_up(place, key, _within(timeout)) from None
    return _event(answer, place, key, timeout)


async def wait_for_async(place: str, key: str | None, timeout: float | None) -> ProbeRecord:
    """See `Unit.wait_for_async`."""
    import asyncio

    request = wait_request(place, key, timeout, asker=os.environ.get(names.UNIT, ""))
    try:
        async with asyncio.timeout(None if request["now"] else timeout):
            answer = await _ask_async(request)
    except TimeoutError:
        raise _given_up(place, key, _within(timeout)) from None
    return _event(answer, place, key, timeout)


def _event(
    answer: dict[str, Any], place: str, key: str | None, timeout: float | None
) -> ProbeRecord:
    """The event of an answer; raises TimeoutError where no event can come any more."""
    if answer["event"] is None:
        ended = answer.get("ended")
        raise _given_up(place, key, f": {ended}" if ended else _within(timeout))
    return ProbeRecord(answer["event"])


def wait_request(
    place: str, key: str | None, timeout: float | None, *, asker: str | None = None
) -> dict[str, Any]:
    """The request for `place`. Raises TypeError or ValueError for an invalid place.

    `asker` is the unit that waits; with it the end of the unit that should emit is an answer too.
    """
    if not isinstance(place, str):
        raise TypeError(f"a place is text, 'unit:step', not {type(place).__name__}")
    unit, colon, step = place.partition(":")
    if not colon:
        raise ValueError(f"{place!r} is not a place: expected 'unit:step'")
    if unit != "*":
        check_unit(unit)
    check_step(step)
    if key is not None:
        check_key(key)
    if timeout is not None and isnan(timeout):
        raise ValueError("the timeout must be a number, got nan")
    now = timeout is not None and timeout <= 0
    request = {"op": "wait", "unit": unit, "step": step, "key": key, "now": now}
    return request if asker is None else {**request, "asker": asker}


def ask(
    request: dict[str, Any],
    timeout: float | None = None,
    wait_readable: Callable[[socket.socket], None] | None = None,
) -> dict[str, Any]:
    """Put a question to the runner and wait for the answer.

    Args:
        request: see the head of this module.
        timeout: seconds; None for ever. A question that is answered "now" has no timeout.
        wait_readable: called before each reading; may raise, to end the wait.

    Raises:
        TimeoutError: not answered in time.
        ValueError: the run has no such unit.
        RuntimeError: outside a run, the run has ended, or the runner could not answer.
    """
    limit = None if timeout is None or request.get("now") else monotonic() + timeout
    question = json.dumps(request).encode() + b"\n"
    line = bytearray()
    address = _address()
    try:
        with connected(address) as wire:
            wire.sendall(question)
            while not line.endswith(b"\n"):
                if limit is not None:
                    wire.settimeout(max(limit - monotonic(), 1e-6))
                if wait_readable is not None:
                    wait_readable(wire)
                part = wire.recv(65536)
                if not part:
                    raise RuntimeError(ENDED)
                line += part
    except TimeoutError:
        raise
    except OSError as error:
        raise RuntimeError(f"{ENDED}: {error}") from error
    return _answered(line)


async def _ask_async(request: dict[str, Any]) -> dict[str, Any]:
    try:
        reader, writer = await connected_async(_address(), limit=2 << 20)
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
    except OSError as error:
        raise RuntimeError(f"{ENDED}: {error}") from error
    if not line.endswith(b"\n"):
        raise RuntimeError(ENDED)
    return _answered(line)


def _address() -> str:
    address = os.environ.get(names.SOCKET)
    if not address:
        raise RuntimeError("wait_for works only in a process that testrium run has started")
    return address


def _answered(line: bytes | bytearray) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(line)
    if "unknown" in answer:
        raise ValueError(answer["unknown"])
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer


def _within(timeout: float | None) -> str:
    return f" within {timeout:g} s"


def _given_up(place: str, key: str | None, why: str) -> TimeoutError:
    """The error of a wait; it carries what was waited for, for the event that records it."""
    suffix = "" if key is None else f" with key {key!r}"
    error = TimeoutError(f"no probe {place}{suffix}{why}")
    error.waited_for = {"place": place, "key": key}  # type: ignore[attr-defined]
    return error
