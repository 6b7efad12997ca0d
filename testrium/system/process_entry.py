"""A process as an operating system lists it."""

from __future__ import annotations

from typing import NamedTuple

#: Longest command line that is kept of a process, in characters.
COMMAND_LINE_LIMIT = 300


class ProcessEntry(NamedTuple):
    """A process as it is now.

    `state` is one letter, `Z` for a zombie. `cpu_s` is its own CPU time, `waited_cpu_s` that of the
    children that it waited for. `rss` is its resident memory in bytes, shared pages included.
    """

    pid: int
    state: str
    parent: int
    group: int
    session: int
    cpu_s: float
    waited_cpu_s: float
    threads: int
    rss: int

    @property
    def alive(self) -> bool:
        return self.state not in "ZXx"
