"""Free TCP ports for the units of all groups, and of all runs on this machine at once.

A port is chosen before its unit listens, so in between anybody could take it. The kernel's own
choices are kept out by staying outside its ephemeral range; other runs by a lock on a block of
ports, which vanishes with the process that holds it, however that ends (`platform`).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from functools import cached_property
from typing import Self

from testrium.errors import InfraError
from testrium.system.platform import system
from testrium.tuples import NamedTuple

# Below are the ports that people give to their own services by hand.
_FIRST_PORT = 10_000
_END = 65_536

#: How many ports one lock holds: one descriptor for a group of usual size.
BLOCK = 16


class Lease(NamedTuple):
    """Ports that no other run of Testrium gets until they are released."""

    ports: tuple[int, ...]
    locks: tuple[socket.socket, ...] = ()

    def release(self) -> None:
        for lock in self.locks:
            lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class PortAllocator:
    """Hands out free ports, from a random place on, so recently used ones can rest."""

    @cached_property
    def _blocks(self) -> dict[int, list[int]]:
        """Made at first use: it takes 10 ms, and most groups need no port."""
        kept_out = system.ports_of_the_kernel()
        ports = [port for port in range(_FIRST_PORT, _END) if port not in kept_out]
        if not ports:  # the ephemeral range is everything: rather a race than no port
            ports = list(range(_FIRST_PORT, _END))
        blocks: dict[int, list[int]] = {}
        for port in ports:
            blocks.setdefault(port // BLOCK, []).append(port)
        return blocks

    def allocate(self, count: int) -> Lease:
        """Reserve `count` ports on which both IPv4 and IPv6 servers can listen.

        Raises:
            InfraError: too few are free.
        """
        ports: list[int] = []
        locks: list[socket.socket] = []
        for block in self._from_a_random_one() if count else ():
            if (reserved := system.lock_ports(self._blocks[block])) is None:
                continue
            lock, taken = reserved
            locks.append(lock)
            ports.extend(filter(is_free, (n for n in self._blocks[block] if n not in taken)))
            if len(ports) >= count:
                break
        lease = Lease(tuple(ports[:count]), tuple(locks))
        if len(lease.ports) < count:
            lease.release()
            raise InfraError(f"no {count} free TCP ports are left")
        return lease

    def _from_a_random_one(self) -> Iterator[int]:
        blocks = list(self._blocks)
        start = int.from_bytes(os.urandom(4)) % len(blocks)
        yield from blocks[start:]
        yield from blocks[:start]


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now, on any address, without SO_REUSEADDR."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
        try:
            with socket.socket(family, socket.SOCK_STREAM) as server:
                if family == socket.AF_INET6:
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                server.bind((address, port))  # nothing listens, and only for a moment
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                return False
    return True
