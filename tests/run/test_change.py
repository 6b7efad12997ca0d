"""Waiting for a change."""

from __future__ import annotations

import asyncio

from testrium.run.change import ChangeSignal


async def waited_for(*, first: bool) -> bool:
    """Whether a wait ends that is asked for before a change, or after it."""
    change = ChangeSignal()
    if not first:
        change.notify()
    waiting = asyncio.ensure_future(change.wait())  # its first step comes later
    if first:
        change.notify()
    done, _ = await asyncio.wait({waiting}, timeout=60 if first else 0)
    waiting.cancel()
    return bool(done)


def test_a_change_between_the_call_and_its_first_step_counts() -> None:
    assert asyncio.run(waited_for(first=True))


def test_an_earlier_change_does_not() -> None:
    assert not asyncio.run(waited_for(first=False))
