"""The command line.

What stands here is the first code of ours that only a command runs: it heeds an interrupt while
the rest is imported. Raised between two steps of the import system, KeyboardInterrupt leaves a lock
behind that a later import waits for without end; raised in a callback of it, it is printed and
forgotten. Nothing that needs an end has been begun then: the process ends at once.
"""

import _signal  # type: ignore[import-not-found]  # `signal` imports 3 ms of others
import os
import sys

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`
if TYPE_CHECKING:
    from types import FrameType

_starting = True


def catch_interrupts() -> None:
    """Let SIGINT end this process in words while it starts."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _interrupted)


def raise_interrupts() -> None:
    """Raise KeyboardInterrupt from now on, but where something is imported."""
    global _starting  # noqa: PLW0603 - there is one for the process, as there is one handler
    _starting = False


def restore_interrupts() -> None:
    """Raise KeyboardInterrupt everywhere again, as asyncio expects it of who has no other plan."""
    if _signal.getsignal(_signal.SIGINT) is _interrupted:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def _interrupted(number: int, frame: "FrameType | None") -> None:
    importing = _starting
    while frame is not None and not importing:
        importing = frame.f_code.co_filename.startswith("<frozen importlib")
        frame = frame.f_back
    if not importing:
        raise KeyboardInterrupt
    os.write(2, b"testrium: interrupted\n")
    os._exit(128 + number)


_PROGRAM = os.path.splitext(sys.argv[0])[0]  # noqa: PTH122 - pathlib is not imported yet
if os.path.basename(_PROGRAM) == "testrium" or _PROGRAM.endswith(  # noqa: PTH119
    os.path.join("testrium", "__main__")  # noqa: PTH118
):
    catch_interrupts()
