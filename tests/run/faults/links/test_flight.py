from __future__ import annotations

import asyncio

from testrium.run.faults.links.connection import LIMIT, Flight, SenderEnd


def test_nothing_overtakes_within_a_connection() -> None:
    async def story() -> list[object]:
        flight = Flight()
        await flight.put(50, b"slow")
        await flight.put(20, b"fast")
        flight.end(10, SenderEnd.CLOSED)
        return [await flight.take() for _ in range(3)]

    assert asyncio.run(story()) == [(50, b"slow"), (50, b"fast"), (50, SenderEnd.CLOSED)]


def test_a_sender_waits_while_there_is_no_room() -> None:
    async def story() -> None:
        flight = Flight()
        await flight.put(0, b"x" * LIMIT)
        more = asyncio.create_task(flight.put(0, b"y"))
        await asyncio.sleep(0)
        assert not more.done()
        await flight.take()
        await more
        assert await flight.take() == (0, b"y")

    asyncio.run(story())


def test_it_is_known_when_only_the_end_is_left() -> None:
    async def story() -> None:
        flight = Flight()
        assert not flight.only_end_is_left
        await flight.put(0, b"x")
        flight.end(0, SenderEnd.CLOSED)
        assert not flight.only_end_is_left
        await flight.take()
        assert flight.only_end_is_left

    asyncio.run(story())
