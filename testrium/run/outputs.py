"""Notes how long the logs of units are while probes come in, so that both can be told in one order.

Lines of a log have no time of their own. When events are stored, the sizes of the logs say which
lines were written by then: two system calls for each log, and nothing for who prints.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from testrium.evidence import Event
from testrium.run.folder import RunFolder

#: The units whose events came are looked at with every batch, all others at most this often, and
#: for at most this part of the time: there may be thousands.
OTHERS_NS = 20_000_000
SHARE = 0.05

#: More marks than this say no more to a reader.
MOST_MARKS = 5_000


class OutputMarks:
    """Marks of one group's run: (unit, time, bytes of stdout, bytes of stderr), where they grew."""

    def __init__(self, folder: RunFolder, units: Iterable[str]) -> None:
        self.marks: list[tuple[str, int, int, int]] = []
        self._logs = {unit: (str(folder.stdout(unit)), str(folder.stderr(unit))) for unit in units}
        self._sizes = dict.fromkeys(self._logs, (0, 0))
        self._all_seen_ns = 0
        self._cost_ns = 0  # of a look at all

    def see(self, events: tuple[Event, ...]) -> None:
        """These events were stored just now."""
        if len(self.marks) >= MOST_MARKS:
            return
        now_ns = time.monotonic_ns()
        if now_ns - self._all_seen_ns >= max(OTHERS_NS, self._cost_ns / SHARE):
            self.look()
        else:
            self._look_at({event.owner for event in events}, now_ns)

    def look(self) -> None:
        """Look at the logs of all units."""
        self._all_seen_ns = time.monotonic_ns()
        self._look_at(self._logs, self._all_seen_ns)
        self._cost_ns = time.monotonic_ns() - self._all_seen_ns

    def _look_at(self, units: Iterable[str], now_ns: int) -> None:
        for unit in units:
            if unit not in self._logs:
                continue
            stdout, stderr = self._logs[unit]
            sizes = _size(stdout), _size(stderr)
            if sizes != self._sizes[unit]:
                self._sizes[unit] = sizes
                self.marks.append((unit, now_ns, *sizes))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - with every batch; half the time of pathlib's
    except OSError:  # it has not written yet, or took its folder away
        return 0
