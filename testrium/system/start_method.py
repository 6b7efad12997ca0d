"""How units are started here: forked by keepers, or spawned.

Light, and below everything: it is asked before a command imports anything else. docs/platforms.md
tells what the other way means.
"""

from __future__ import annotations

import os
import sys
from typing import Final, Literal

#: Set to "spawn" it makes Linux take the way of the other systems, for the tests of that way.
START_METHOD_VARIABLE = "TESTRIUM_START_METHOD"


def is_portable() -> bool:
    """Whether fork, /proc, inotify and Unix sockets cannot be relied on."""
    return not sys.platform.startswith("linux") or os.environ.get(START_METHOD_VARIABLE) == "spawn"


StartMethod = Literal["fork", "spawn"]

#: How units are started in this process's runs: forked by keepers, or spawned.
START_METHOD: Final[StartMethod] = "spawn" if is_portable() else "fork"
