"""Wakes tasks that wait for a change."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal


class ChangeSignal:
    """Wakes all tasks that wait for a change; each checks itself what has changed."""

    def __init__(self) -> None:
        self._next: asyncio.Event | None = None

    def notify(self) -> None:
        """Wake the waiting tasks; without any it costs nothing."""
        if self._next is not None:
            self._next.set()
            self._next = None

    def wait(self) -> Coroutine[Any, Any, Literal[True]]:
        """Await what this returns: it ends with the first change since the call."""
        if self._next is None:
            self._next = asyncio.Event()
        return self._next.wait()
