from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from testrium.run.services import handling_signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers of this process as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_is_told_and_those_that_follow_the_block_are_ignored() -> None:
    async def story() -> list[str]:
        loop = asyncio.get_running_loop()
        came = loop.create_future()
        names: list[str] = []

        def handle(name: str) -> None:
            names.append(name)
            if not came.done():
                came.set_result(None)

        with handling_signals(("SIGINT", "SIGTERM", "SIGNONE"), handle):
            os.kill(os.getpid(), signal.SIGINT)
            await came
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        return names

    assert asyncio.run(story()) == ["SIGINT"]


def test_where_none_came_signals_are_what_they_were() -> None:
    async def story() -> None:
        with handling_signals(("SIGINT",), lambda _: None):
            pass

    asyncio.run(story())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
