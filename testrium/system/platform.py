"""What Testrium asks of an operating system that psutil does not know: how units are kept.

`kernel` is Linux, where a keeper adopts what a unit starts. `portable` does what macOS, Windows and
others let be done; what that is less, docs/platforms.md tells. Nothing outside this room, `keeper`,
`fork` (Linux) and `spawn` (all others) starts, lists or ends processes by other means.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final, Protocol

from testrium.system import START_METHOD

if TYPE_CHECKING:
    import socket


class System(Protocol):
    """What the runner asks of an operating system; a module that has these functions."""

    def proc_problem(self) -> str:
        """Why processes cannot be looked after here, in words; "" where they can."""

    def become_subreaper(self) -> None:
        """Become the parent of every descendant whose own parent ends, where that exists."""

    def die_with_parent(self, parent: int) -> None:
        """Have this process end when `parent` does."""

    def resume_children(self) -> None:
        """Resume children of this process that are stopped (SIGSTOP)."""

    def suspended_ns(self) -> int:
        """For how long in all this machine was suspended; 0 where it does not tell."""

    def unit_pids(self, pid: int, keeper: int) -> list[int]:
        """The process of a unit and all below it that can be found, zombies too."""

    def activity(self, pid: int) -> object | None:
        """What all processes below `pid` have run so far, to compare; None while one runs."""

    def has_thread(self, pid: int, thread: int) -> bool:
        """Whether the process has a thread of this number; where that is not known, whether it is
        there.
        """

    def end_orphans(self, spare: Collection[int], mark: str, units: Collection[int]) -> None:
        """Kill what a dead supervisor has left to this process.

        `spare` are children of this process's own; `mark` and `units` (pids) tell what was started,
        where it does not come to this process by itself.
        """

    def socket_owner(self, peer: tuple[Any, ...], own: tuple[Any, ...]) -> list[int]:
        """The process with the other end of a TCP connection of this machine, and those above it.

        `peer` and `own` are the addresses of both ends, seen from here; [] where it is not found.
        """

    def ports_of_the_kernel(self) -> frozenset[int]:
        """TCP ports that are given to clients, and those that an administrator has reserved."""

    def listening_ports(self) -> frozenset[int] | None:
        """The TCP ports of this machine with a listener; None where this is unknown.

        It disturbs no server: some take one connection only.
        """

    def lock_ports(self, ports: Collection[int]) -> tuple[socket.socket, frozenset[int]] | None:
        """Reserve a block of ports among the runs of this machine; None: another has it.

        The socket reserves it until it is closed; some of the ports serve as the lock itself.
        """


def _system() -> System:
    if START_METHOD == "fork":
        from testrium.system import kernel

        return kernel
    from testrium.system import portable

    return portable


system: Final = _system()
