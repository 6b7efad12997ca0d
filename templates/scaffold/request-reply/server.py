"""An RPC server: JSON lines in and out, each answer with its request's correlation id."""

import asyncio
import hashlib
import json
import os

import testrium

SMALL = 10_000  # bytes


def digest(size: int) -> str:
    return hashlib.sha256(b"x" * size).hexdigest()


async def answer(line: bytes, writer: asyncio.StreamWriter) -> None:
    request = json.loads(line)
    key, size = request["id"], request["size"]
    # Small requests overtake the large ones, which are worked off in threads.
    result = digest(size) if size <= SMALL else await asyncio.to_thread(digest, size)
    testrium.unit().send("answered", key=key, size=size)
    writer.write(json.dumps({"id": key, "digest": result}).encode() + b"\n")
    await writer.drain()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with asyncio.TaskGroup() as requests:
        async for line in reader:
            request = json.loads(line)
            testrium.unit().receive("received", key=request["id"], size=request["size"])
            requests.create_task(answer(line, writer))
    writer.close()


async def serve() -> None:
    port = int(os.environ["TESTRIUM_PORT_RPC"])
    server = await asyncio.start_server(converse, "127.0.0.1", port)
    testrium.unit().probe("listening")
    await server.serve_forever()


def main() -> None:
    asyncio.run(serve())
