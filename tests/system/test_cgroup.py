"""Limits of control groups, of both versions, in trees made of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from testrium.doctor import Limits, read_limits


def tree(root: Path, membership: str, files: dict[str, str]) -> Limits:
    for name, text in {"membership": membership, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_limits(root, root / "membership")


@pytest.mark.parametrize(
    ("membership", "files", "limits"),
    [
        ("0::/\n", {}, Limits()),
        (
            "0::/a/b\n",
            {
                "a/b/memory.max": "max\n",
                "a/memory.max": "500\n",
                "memory.max": "900\n",
                "a/b/cpu.max": "150000 100000\n",
                "a/cpu.max": "max 100000\n",
                "a/pids.max": "100\n",
                "a/pids.current": "30\n",
            },
            Limits(500, 1.5, 70),
        ),
        # In a container the path is the host's, and the container's own group is the root.
        ("0::/../host/x\n", {"memory.max": "700\n"}, Limits(700)),
        (
            "4:memory:/c\n3:cpu,cpuacct:/\n8:pids:/c\n0::/\n",
            {
                "memory/c/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/memory.limit_in_bytes": "800\n",
                "cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                "pids/c/pids.max": "10\n",
                "pids/c/pids.current": "4\n",
            },
            Limits(800, 0.5, 6),
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "1\n"}, Limits()),
    ],
)
def test_limits(tmp_path: Path, membership: str, files: dict[str, str], limits: Limits) -> None:
    assert tree(tmp_path, membership, files) == limits


def test_without_control_groups(tmp_path: Path) -> None:
    assert read_limits(tmp_path, tmp_path / "none") == Limits()


def test_of_this_process() -> None:
    limits = read_limits()
    assert limits.memory is None or limits.memory > 0
