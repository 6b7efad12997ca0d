"""Which machine a result is of: figures of two machines do not compare."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

#: The first processor's entry is in here.
_ENOUGH = 4096


@cache
def machine_class() -> str:
    """The host's name, its processor and the number of cores: equal for runs that compare."""
    return f"{platform.node()}, {_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            lines = file.read(_ENOUGH).splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name.strip() == "model name":
            return value.strip()
    return platform.machine()
