"""A client for Redis: as much of its protocol (RESP 2) as this example needs.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import os
import socket
from typing import Any


class RedisError(Exception):
    """Redis refused a command; the text is its own."""


class Redis:
    """One connection, one command at a time."""

    def __init__(self) -> None:
        port = int(os.environ["TESTRIUM_PORT_REDIS_TCP"])
        self._wire = socket.create_connection(("127.0.0.1", port)).makefile("rwb")

    def __call__(self, *words: str) -> Any:
        """Send a command, wait for the reply."""
        self._wire.write(b"*%d\r\n" % len(words))
        for word in words:
            self._wire.write(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()))
        self._wire.flush()
        return self._reply()

    def _reply(self) -> Any:
        line = self._wire.readline().decode().rstrip()
        kind, rest = line[:1], line[1:]
        if kind == "+":
            return rest
        if kind == ":":
            return int(rest)
        if kind == "$":
            return None if rest == "-1" else self._wire.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return None if rest == "-1" else [self._reply() for _ in range(int(rest))]
        raise RedisError(rest or "the connection was closed")
