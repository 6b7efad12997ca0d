"""What the runner breaks in this process: its failpoints and its clock.

At a failpoint the process asks the runner whether something is to be broken. The runner counts, so
`on` is exact over all starts and processes of a unit:

    {"op": "reached", "place": "host:received", "file": "...", "pid": 7, "seq": 3,
     "thread": ["", 7]}
        -> {"over": false, "acts": []}, mostly, or what to do, one after the other:
           {"do": "delay", "for_ns": 1000000, "fault": "delay at host:received"}

`thread` is the name of the thread, "" for the main one, and its number in the system. Where the
order of the run is explored, the answer comes once this thread may go on.

The answer comes once the probe is stored, and the fault too. Where it is `over`, nothing happens at
that probe any more: the process does not ask again, and a hot loop is as fast as without faults.

A clock that is off is a small file: the seconds that are added to the wall time of probes.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NoReturn

#: Seconds; for ever is many of them.
_LONG_S = 3600.0


class Failpoints:
    """The failpoints that concern this process. `listed` is the environment variable's value."""

    def __init__(self, listed: str, own_unit: str, points: str = "") -> None:
        """`points` are the places where it may be held, `*` for any."""
        self._places = set(listed.split("\n"))
        self._own_unit = own_unit
        self._points = [point.split(":", 1) for point in points.split("\n") if point]

    def reach(self, unit: str | None, step: str, file: str, pid: int, seq: int) -> None:
        """A probe was written; what is planned for it happens before this returns.

        Args:
            unit: whose probe it is; None for the process's own.
            step: the probe's step.
            file: where it was written.
            pid, seq: which line it is.

        Raises:
            InjectedFault: planned.
        """
        place = f"{unit or self._own_unit}:{step}"
        if place not in self._places and not self._is_point(unit or self._own_unit, step):
            return
        from testrium.probe.waiting import ask

        # Without a runner nothing is broken, and the supervisor ends this process.
        with suppress(RuntimeError):
            line = {"file": file, "pid": pid, "seq": seq, "thread": _this_thread()}
            answer = ask({"op": "reached", "place": place, **line})
            if answer["over"]:
                self._places.discard(place)
            for act in answer["acts"]:
                _obey(act)

    def _is_point(self, unit: str, step: str) -> bool:
        return any(of in ("*", unit) and at in ("*", step) for of, at in self._points)


def _this_thread() -> tuple[str, int]:
    """The name of this thread, "" for the main one, and its number in the system."""
    import _thread

    number = _thread.get_native_id()
    threading = sys.modules.get("threading")
    if threading is None or threading.current_thread() is threading.main_thread():
        return "", number
    return threading.current_thread().name, number


def _obey(act: dict[str, Any]) -> None:
    match act["do"]:
        case "delay" | "hang":
            _sleep(act["for_ns"])
        case "raise":
            from testrium.errors import InjectedFault

            raise InjectedFault(act["fault"])
        case "exit":
            _exit(act["code"])
        case "kill":
            _sleep(None)  # it is on its way


def _sleep(for_ns: int | None) -> None:
    if for_ns is not None:
        time.sleep(for_ns / 1e9)
    while for_ns is None:
        time.sleep(_LONG_S)


def _exit(code: int) -> NoReturn:
    """End at once, without what a program does at its end; but what it printed is kept."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def written(shift_ns: int) -> str:
    """The file's text, in seconds: `+3600.000000000`. faketime's library reads it too."""
    sign = "-" if shift_ns < 0 else "+"
    seconds, rest = divmod(abs(shift_ns), 1_000_000_000)
    return f"{sign}{seconds}.{rest:09d}\n"


def read_ns(path: str) -> int:
    """The time in the file, in ns; 0 without a file."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow to import
            text = file.read().strip()
    except OSError:
        return 0
    seconds, _, rest = text[1:].partition(".")
    shift_ns = int(seconds) * 1_000_000_000 + int(rest)
    return -shift_ns if text[0] == "-" else shift_ns
