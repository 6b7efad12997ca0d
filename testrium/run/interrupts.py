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
    for number in numbers:
        loop.add_signal_handler(number, heed, number.name)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
