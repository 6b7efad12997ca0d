"""Wakes those who wait for something to change."""

from __future__ import annotations

import asyncio


class Change:
    """Wakes everybody who waits for something to change; they look for themselves what it was."""

    def __init__(self) -> None:
        self._next: asyncio.Event | None = None

    def notify(self) -> None:
        """Costs nothing where nobody waits."""
        if self._next is not None:
            self._next.set()
            self._next = None

    async def wait(self) -> None:
        if self._next is None:
            self._next = asyncio.Event()
        await self._next.wait()
