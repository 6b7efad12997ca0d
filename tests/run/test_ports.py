"""Ports are free, outside the kernel's range, and never given twice."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from testrium.errors import InfraError
from testrium.run import ports
from testrium.run.ports import BLOCK, PortAllocator, is_free
from testrium.system import kernel


def test_ports_are_outside_the_kernels_range() -> None:
    with PortAllocator().allocate(3) as lease:
        assert len(set(lease.ports)) == 3
        assert not set(lease.ports) & kernel.ports_of_the_kernel()
        assert all(map(is_free, lease.ports))


def test_fifty_groups_at_once_get_different_ports() -> None:
    allocators = [PortAllocator(), PortAllocator()]
    leases = [allocators[number % 2].allocate(7) for number in range(50)]
    given = [port for lease in leases for port in lease.ports]
    assert len(set(given)) == 350
    for lease in leases:
        lease.release()


def test_a_lease_may_be_longer_than_a_block() -> None:
    with PortAllocator().allocate(3 * BLOCK) as lease:
        assert len(set(lease.ports)) == 3 * BLOCK


def test_no_ports_cost_nothing() -> None:
    lease = PortAllocator().allocate(0)
    assert (lease.ports, lease.locks) == ((), ())


def test_released_ports_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator = only(monkeypatch, 20_000, 20_000 + BLOCK)
    lease = allocator.allocate(BLOCK // 2)
    with pytest.raises(InfraError, match="no 1 free TCP ports are left"):
        allocator.allocate(1)
    lease.release()
    allocator.allocate(1).release()


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_a_port_in_use_is_left_out(
    monkeypatch: pytest.MonkeyPatch, family: socket.AddressFamily, address: str
) -> None:
    first = 20_000 - 20_000 % BLOCK
    allocator = only(monkeypatch, first, first + BLOCK)
    with socket.create_server((address, first + 3), family=family):
        with allocator.allocate(BLOCK - 1) as lease:
            assert first + 3 not in lease.ports
        with pytest.raises(InfraError):
            allocator.allocate(BLOCK)


def test_another_run_keeps_its_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even while nobody listens on them yet; and gives them back however it ends."""
    code = (
        "from testrium.run import ports; ports._FIRST_PORT, ports._END = 20_000, 20_016\n"
        "lease = ports.PortAllocator().allocate(1); print('locked', flush=True); input()"
    )
    allocator = only(monkeypatch, 20_000, 20_016)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(InfraError):
            allocator.allocate(1)
        other.kill()
    allocator.allocate(1).release()


def test_where_everything_is_ephemeral(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "ports_of_the_kernel", lambda: frozenset(range(65_536)))
    with PortAllocator().allocate(1) as lease:
        assert len(lease.ports) == 1


def only(monkeypatch: pytest.MonkeyPatch, first: int, end: int) -> PortAllocator:
    """An allocator of few ports."""
    monkeypatch.setattr(ports, "_FIRST_PORT", first)
    monkeypatch.setattr(ports, "_END", end)
    return PortAllocator()
