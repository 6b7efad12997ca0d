"""The runner's end of a line: a Unix socket, or TCP on which only who knows the token is heard."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from testrium import system
from testrium.probe import waiting
from testrium.record.listening import listen


class Echo(asyncio.Protocol):
    """Answers each piece of data with it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data.upper())


@pytest.fixture(params=["fork", "spawn"])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(system.START_METHOD_VARIABLE, request.param)
    return str(request.param)


def test_a_question_is_answered(method: str, tmp_path: Path) -> None:
    def ask(address: str) -> bytes:
        with waiting.connected(address) as line:
            line.sendall(b"question\n")
            return line.makefile("rb").readline()

    async def story() -> None:
        server, address = await listen(Echo, tmp_path / "line")
        assert address.startswith(waiting.TCP) == (method == "spawn")
        async with server:
            assert await asyncio.to_thread(ask, address) == b"QUESTION\n"
            reader, writer = await waiting.connected_async(address, limit=100)
            writer.write(b"again\n")
            assert await reader.readline() == b"AGAIN\n"
            writer.close()

    asyncio.run(story())


@pytest.mark.parametrize("greeting", [b"x" * 32 + b"\n", b"\n" * 40])
def test_who_does_not_know_the_token_is_not_heard(
    greeting: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(system.START_METHOD_VARIABLE, "spawn")
    made: list[Echo] = []

    def make() -> Echo:
        made.append(Echo())
        return made[-1]

    def intrude(port: int) -> bytes:
        with socket.create_connection((waiting.HOST, port)) as line:
            line.sendall(greeting)
            try:
                return line.recv(100)
            except ConnectionResetError:
                return b""

    async def story() -> None:
        server, address = await listen(make, tmp_path / "line")
        async with server:
            port = int(address.split(":")[1])
            assert await asyncio.to_thread(intrude, port) == b""

    asyncio.run(story())
    assert made == []
