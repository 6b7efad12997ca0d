"""Signals that ask the runner to end, told in its loop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager


@contextmanager
def heeding(names: Collection[str], heed: Callable[[str], None]) -> Iterator[None]:
    """Call `heed` with the name of each of these signals that comes; none is lost or fatal.

    Once one has come, those that follow this block are ignored: the report is written by then, and
    who asks again must not lose it.
    Names that this system has no signal for are passed over.
    """
    numbers = [number for number in signal.Signals if number.name in names]
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":  # its loop knows no signals

        def heed_soon(number: int, _: object) -> None:
            loop.call_soon_threadsafe(heed, signal.Signals(number).name)

        before = {number: signal.signal(number, heed_soon) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return
    came: list[str] = []

    def heed_and_note(name: str) -> None:
        came.append(name)
        heed(name)

    for number in numbers:
        loop.add_signal_handler(number, heed_and_note, number.name)
    try:
        yield
    finally:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        for number in numbers:
            loop.remove_signal_handler(number)
            if came:
                signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
