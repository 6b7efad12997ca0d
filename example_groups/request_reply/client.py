"""Sends 200 requests without waiting for answers, and puts each answer to its request."""

import asyncio
import hashlib
import json
import os

import testrium

REQUESTS = 200


async def talk() -> None:
    me = testrium.unit()
    port = int(os.environ["TESTRIUM_PORT_SERVER_RPC"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    waiting: dict[str, int] = {}
    for number in range(REQUESTS):
        key, size = f"request-{number}", 2_000_000 if number % 10 == 0 else number
        waiting[key] = size
        # The first probe of the route: a Send, emitted before the request leaves this unit. Its key
        # travels with the request and with its answer.
        me.send("requested", key=key, size=size)
        writer.write(json.dumps({"id": key, "size": size}).encode() + b"\n")
    await writer.drain()
    writer.write_eof()

    overtaken = 0
    async for line in reader:
        answer = json.loads(line)
        if answer["id"] not in waiting:
            me.probe("unmatched", key=answer["id"])
            continue
        overtaken += answer["id"] != next(iter(waiting))
        size = waiting.pop(answer["id"])
        assert answer["digest"] == hashlib.sha256(b"x" * size).hexdigest()
        me.receive("matched", key=answer["id"], size=size)
    me.probe("finished", overtaken=overtaken)


def main() -> None:
    asyncio.run(talk())
