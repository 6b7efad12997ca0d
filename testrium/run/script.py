"""A spawned Python unit: from a fresh interpreter to its entrypoint; see `spawning`."""

from __future__ import annotations

import _thread
import faulthandler
import json
import os
from typing import NoReturn

from testrium.run import entrypoint
from testrium.run.protocol import Launch, Message, encoded
from testrium.run.starting import open_private

# Digits of the length that goes before a launch: what follows it must stay in the pipe.
_DIGITS = 10


def framed(message: Message) -> bytes:
    """A launch as `main` reads it."""
    line = encoded(message)
    return b"%0*d" % (_DIGITS, len(line)) + line


def main() -> NoReturn:
    """Read the launch from standard input and become that unit."""
    launch = Launch.from_message(json.loads(_read(int(_read(_DIGITS)))))
    pipe = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    stacks_fd = open_private(launch.stacks)
    entrypoint.prepare(launch, stacks_fd)
    # Not of `threading`: the unit's own threads are what it counts, and what it waits for.
    _thread.start_new_thread(_listen, (pipe, stacks_fd))
    entrypoint.run(launch)


def _read(count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = os.read(0, count - len(data))
        if not part:
            os._exit(0)  # the supervisor is gone
        data += part
    return data


def _listen(pipe: int, stacks_fd: int) -> None:
    """Write the stacks when they are asked for; end with the supervisor, however that ends."""
    while os.read(pipe, 1):
        faulthandler.dump_traceback(stacks_fd, all_threads=True)
        os.write(stacks_fd, b"\n\n")
    os._exit(1)
