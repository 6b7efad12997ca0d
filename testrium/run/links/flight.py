"""What is on its way in one direction of a connection."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum

#: So many bytes may be on their way before the sender has to wait.
LIMIT = 1 << 18
#: What an item costs besides its bytes: those that come one by one take room too.
_ITEM = 64


class End(Enum):
    """How a sender ends: it has said all, or it was reset."""

    CLOSED = "closed"
    RESET = "reset"


class Flight:
    """Bytes on their way, with the times at which they arrive (CLOCK_MONOTONIC, ns).

    `passed` counts those that were delivered. `ended_unseen`: the sender has ended while nothing
    passed, and the other end does not know it.
    """

    def __init__(self) -> None:
        self.passed = 0
        self.ended_unseen = False
        self._items: deque[tuple[int, bytes | End]] = deque()
        self._size = 0
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def only_end_is_left(self) -> bool:
        """Whether the sender has ended, and nothing that it sent is on its way."""
        return self._ended and len(self._items) <= 1

    async def put(self, due_ns: int, data: bytes) -> None:
        """Send; waits while there is no room."""
        while self._size >= LIMIT:
            self._room.clear()
            await self._room.wait()
        self._size += len(data) + _ITEM
        self._append(due_ns, data)

    def end(self, due_ns: int, how: End) -> None:
        """Nothing more comes."""
        self._ended = True
        self._append(due_ns, how)

    async def take(self) -> tuple[int, bytes | End]:
        """What comes next, and when it arrives."""
        while not self._items:
            self._news.clear()
            await self._news.wait()
        due_ns, item = self._items.popleft()
        if isinstance(item, bytes):
            self._size -= len(item) + _ITEM
            self._room.set()
        return due_ns, item

    def _append(self, due_ns: int, item: bytes | End) -> None:
        if self._items:  # nothing overtakes within a connection, however delays vary
            due_ns = max(due_ns, self._items[-1][0])
        self._items.append((due_ns, item))
        self._news.set()
