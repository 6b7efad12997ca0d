"""Whether this process must do with what every system has; docs/platforms.md tells what that means.

Light, and below everything: it is asked before a command imports anything else.
"""

from __future__ import annotations

import os
import sys

#: Set to "spawn" it makes Linux take the way of the other systems, for the tests of that way.
START_METHOD = "TESTRIUM_START_METHOD"


def is_portable() -> bool:
    """Whether there is no fork, /proc, inotify and Unix socket to rely on."""
    return not sys.platform.startswith("linux") or os.environ.get(START_METHOD) == "spawn"
