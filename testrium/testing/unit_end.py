"""The end of a unit of the run, told by the runner: as good for ending a wait as a process."""

from __future__ import annotations

import json
import os
import socket

from testrium.probe import environment as names
from testrium.probe.waiting import ENDED
from testrium.probe.wire import connected


class UnitEnd:
    """Learns when a unit has ended for good. Outside of a run nobody tells, and it never does."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._how: str | None = None
        self._answer = b""
        self._wire: socket.socket | None = None
        address = os.environ.get(names.SOCKET)
        if not address:
            return
        question = {"op": "end", "unit": unit, "asker": os.environ.get(names.UNIT, "")}
        try:
            self._wire = connected(address)
            self._wire.sendall(json.dumps(question).encode() + b"\n")
            self._wire.setblocking(False)
        except OSError:
            self._how = ENDED

    def fileno(self) -> int | None:
        """Readable when there is an answer; None where there will be none."""
        return None if self._wire is None else self._wire.fileno()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def described_end(self) -> str | None:
        """In words, "unit api ended with exit code 3"; None while it has not ended for good."""
        while self._how is None and self._wire is not None:
            try:
                part = self._wire.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                part = b""
            self._answer += part
            if not part:
                self._how = ENDED
            elif self._answer.endswith(b"\n"):
                self._how = json.loads(self._answer).get("end", ENDED)
        return self._how

    def last_output(self) -> str:
        """What the unit wrote last, for a message; "" where it has no output."""
        from testrium.testing.following import Log
        from testrium.testing.places import unit_logs

        try:
            log = Log(*unit_logs(self._unit).values())
        except (RuntimeError, ValueError):
            return ""
        for _ in log.lines():
            pass
        return log.last_seen()
