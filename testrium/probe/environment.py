"""The environment variables that a group's processes get, and the name of their clock."""

from __future__ import annotations

import sys

#: What a process gets of the runner's environment with `inherit-env = false`.
MINIMAL: tuple[str, ...] = ("PATH", "HOME", "LANG", "TMPDIR")
if sys.platform == "win32":  # without these hardly any program starts there
    MINIMAL += ("SYSTEMROOT", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE")

RUN = "TESTRIUM_RUN"
RUN_DIR = "TESTRIUM_RUN_DIR"
GROUP = "TESTRIUM_GROUP"
UNIT = "TESTRIUM_UNIT"
MODE = "TESTRIUM_MODE"
#: The unit's own probe file: one line of JSON per probe.
PROBES = "TESTRIUM_PROBES"
#: The group run's `Data.db`; alone, where the classic API keeps its events.
EVENT_DB = "TESTRIUM_EVENT_DB"
TRACEPARENT = "TRACEPARENT"
#: Set where reference files are to be rewritten, by `testrium run --update-golden` or by hand.
UPDATE_GOLDEN = "TESTRIUM_UPDATE_GOLDEN"

#: With `testrium run --debug`: the two files that `breakpoint()` reads and writes, one a line.
DEBUG = "TESTRIUM_DEBUG"

# Between the runner and Testrium's own code in the unit; users do not rely on them.

#: The address that answers waits, see `testrium.probe.waiting`.
SOCKET = "TESTRIUM_SOCKET"
#: The clock that the runner's times are of, see `clock_domain`.
DOMAIN = "TESTRIUM_DOMAIN"
#: The units whose output is not in UTF-8: "unit=encoding" a line.
ENCODINGS = "TESTRIUM_ENCODINGS"
#: The probes at which this process asks whether something is to be broken: "unit:step" a line.
FAILPOINTS = "TESTRIUM_FAILPOINTS"
#: The probes at which this process asks whether it may go on, `*` for any: "unit:step" a line.
POINTS = "TESTRIUM_POINTS"
#: The file with the arguments that were generated for entrypoints, see `testing.generating`.
GENERATED = "TESTRIUM_GENERATED"
#: The file that says how far the clock of this process is off, see `testrium.probe.faults`.
CLOCK = "TESTRIUM_CLOCK"


#: The probe whose metadata are what the entrypoint of a fixture returns.
RETURNED = "TESTRIUM_RETURNED"
#: The file that the process of an entrypoint makes when the entrypoint has returned: without
#: it, code that is run for others (test functions, suites, setup.py) has ended it half-way.
CONCLUDED = "TESTRIUM_CONCLUDED"
#: The configuration by which coverage.py measures each Python process, see `cli.coverage`.
COVERAGE = "TESTRIUM_COVERAGE"


def clock_domain() -> str:
    """The name of this process's CLOCK_MONOTONIC: two times compare only if it is the same.

    On Linux that clock starts anew with each boot, and each time namespace may shift it
    (time_namespaces(7)). Elsewhere the host's name has to do.
    """
    import os

    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
            boot = file.read(13)  # 48 random bits; not with pathlib: its import takes 8 ms
    except OSError:
        import platform

        return platform.node() or "localhost"
    try:
        namespace = os.readlink("/proc/self/ns/time")  # noqa: PTH115 - as above
    except OSError:  # a kernel without time namespaces
        return boot
    return f"{boot}/{namespace[6:-1]}"  # without "time:[" and "]": it is stored with every event
