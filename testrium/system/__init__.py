"""The one seam to the operating system: processes, files, limits, how units are started.

Light, and below everything: it is asked before a command imports anything else.
"""

from __future__ import annotations

import os
import sys
from typing import Final, Literal

#: Set to "spawn" it makes Linux take the way of the other systems, for the tests of that way.
START_METHOD_VARIABLE: Final = "TESTRIUM_START_METHOD"


def is_portable() -> bool:
    """Whether fork, /proc, inotify and Unix sockets cannot be relied on; see docs/platforms.md."""
    return not sys.platform.startswith("linux") or os.environ.get(START_METHOD_VARIABLE) == "spawn"


StartMethod = Literal["fork", "spawn"]

#: How units are started in this process's runs: forked by keepers, or spawned.
START_METHOD: Final[StartMethod] = "spawn" if is_portable() else "fork"

#: Longest command line that is kept of a process, in characters.
COMMAND_LINE_LIMIT: Final = 300
