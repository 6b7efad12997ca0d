"""How units are started here; apart from `platform`, as it is the first that a command asks."""

from __future__ import annotations

from typing import Final, Literal

from testrium.portability import is_portable

StartMethod = Literal["fork", "spawn"]

#: How units are started in this process's runs: forked by keepers, or spawned.
START_METHOD: Final[StartMethod] = "spawn" if is_portable() else "fork"
