"""What the control groups of this process allow it: containers and CI set such limits.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst, and cgroup-v1/ for the older kind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: Where the trees are mounted, on every distribution.
MOUNT = Path("/sys/fs/cgroup")

MEMBERSHIP = Path("/proc/self/cgroup")

#: Version 1 writes "no limit" as a number near 2**63.
_NO_LIMIT = 1 << 60


class Limits(NamedTuple):
    """What is left, over all control groups above this process; None where there is no limit.

    `memory` is in bytes, `cpus` in cores, `processes` how many more may be started.
    """

    memory: int | None = None
    cpus: float | None = None
    processes: int | None = None


def read_limits(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> Limits:
    """The limits of this process; without any where there are no control groups."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return Limits()
    memory: list[int] = []
    cpus: list[float] = []
    processes: list[int] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        tree = mount / controllers if controllers else mount
        for folder in _upwards(tree, path):
            memory += _numbers(folder / "memory.max", folder / "memory.limit_in_bytes")
            cpus += _cores(folder)
            most = _numbers(folder / "pids.max")
            processes += [limit - sum(_numbers(folder / "pids.current")) for limit in most]
    return Limits(min(memory, default=None), min(cpus, default=None), min(processes, default=None))


def _upwards(tree: Path, path: str) -> Iterator[Path]:
    """The folder of a control group and those above it, to the root of its tree.

    In a container the path may be one of the host, which is not there; the root is in any case.
    """
    folder = tree / path.strip("/")
    while folder != tree and folder.is_relative_to(tree):
        yield folder
        folder = folder.parent
    yield tree


def _numbers(*files: Path) -> list[int]:
    """The numbers that stand in those files that exist and hold a limit."""
    found = []
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            number = int(file.read_text())
            found += [number] if 0 <= number < _NO_LIMIT else []
    return found


def _cores(folder: Path) -> list[float]:
    with contextlib.suppress(OSError, ValueError):
        quota, period = map(int, (folder / "cpu.max").read_text().split())
        return [quota / period]
    quotas = _numbers(folder / "cpu.cfs_quota_us")
    return [quotas[0] / period for period in _numbers(folder / "cpu.cfs_period_us")[: len(quotas)]]
