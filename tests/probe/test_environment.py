from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from testrium.probe.environment import clock_domain


def test_processes_of_one_host_share_a_clock() -> None:
    code = "from testrium.probe.environment import clock_domain; print(clock_domain())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == clock_domain()


def test_it_names_the_boot_and_the_time_namespace() -> None:
    boot, namespace = clock_domain().split("/")
    assert Path("/proc/sys/kernel/random/boot_id").read_text().startswith(boot)
    assert namespace in str(Path("/proc/self/ns/time").readlink())
