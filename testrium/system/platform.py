"""The seam between Testrium and the operating system: what it asks of one, and which one it is.

`linux` is complete. `portable` does with psutil what macOS, Windows and others let be done; what
that is less, docs/platforms.md tells. Nothing outside these modules, `keeper` and `worker` (Linux)
and `spawning` (all others) starts, lists or ends processes by other means.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, Protocol

from testrium.system.process_entry import ProcessEntry
from testrium.system.start_method import START_METHOD


class System(Protocol):
    """What the runner asks of an operating system; a module that has these functions."""

    def become_subreaper(self) -> None:
        """Become the parent of every descendant whose own parent ends, where that exists."""

    def die_with_parent(self, parent: int) -> None:
        """Have this process end when `parent` does."""

    def resume_children(self) -> None:
        """Let the children of this process go on that somebody has stopped (SIGSTOP)."""

    def suspended_ns(self) -> int:
        """For how long in all this machine was suspended; 0 where it does not tell."""

    def process_entry(self, pid: int) -> ProcessEntry | None:
        """The process `pid`, or None when it is gone."""

    def unit_processes(self, pid: int, keeper: int) -> list[ProcessEntry]:
        """The process of a unit and all below it that can be found, zombies too."""

    def tree(self, pid: int) -> list[ProcessEntry]:
        """Any process and all below it, zombies too; [] when it is gone."""

    def cpu_of_the_gone(self, keeper: int) -> float:
        """CPU time in seconds of the unit's orphans that have ended; 0 where nobody counts it."""

    def open_files(self, pid: int) -> int:
        """How many descriptors the process has; 0 when it is gone or not ours to ask."""

    def command_line(self, pid: int) -> str:
        """How the process was called, cut; its name in brackets if unknown."""

    def pids(self) -> set[int]:
        """All processes that can be seen."""

    def environment(self, pid: int) -> dict[str, str]:
        """The variables that a process began with; {} when it is gone or not ours to ask."""

    def file_behind(self, pid: int, fd: int) -> str:
        """The path behind a descriptor of a process; "" when it cannot be told."""

    def kill_if(self, pid: int, condition: Callable[[], bool]) -> bool:
        """SIGKILL the process if the condition holds once its number cannot become another's.

        Returns whether it is gone.
        """

    def end_orphans(self, spare: Collection[int], mark: str, units: Collection[int]) -> None:
        """Kill what a dead supervisor has left to this process.

        `spare` are children of this process's own; `mark` and `units` (pids) tell what was started,
        where it does not come to this process by itself.
        """

    def ports_of_the_kernel(self) -> frozenset[int]:
        """TCP ports that are given to clients, and those that an administrator has reserved."""

    def lock_ports(self, ports: Collection[int]) -> PortLock | None:
        """Reserve a block of ports among the runs of this machine; None: another has it.

        It ends with the process at the latest.
        """


class PortLock(Protocol):
    """A block of ports that is reserved; `taken` of them serve as the lock itself."""

    taken: frozenset[int]

    def close(self) -> None: ...


def _system() -> System:
    if START_METHOD == "fork":
        from testrium.system import kernel

        return kernel
    from testrium.system import portable

    return portable


system: Final = _system()
