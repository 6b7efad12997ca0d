"""Wakes those who wait for something to change."""

from __future__ import annotations

import asyncio


class Change:
    """Wakes everybody who waits for something to change; they look for themselves what it was."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def notify(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        await self._next.wait()
