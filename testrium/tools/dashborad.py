"""Old import path of a dashboard that needed Dash; `testrium serve` took its place.

Importing it warns, `python -m testrium.tools.dashborad` serves, and its names are gone.
"""

from __future__ import annotations

import sys
import warnings
from typing import NoReturn

_GONE = (
    "the dashboard of 0.3.0 is gone: the command `testrium serve` took its place, and"
    " `testrium report` makes pages (docs/reference/classic-api.md#what-is-different)"
)


def __getattr__(name: str) -> NoReturn:
    if name.startswith("__"):  # what the import system looks for
        raise AttributeError(name)
    raise ImportError(_GONE)


if __name__ == "__main__":
    from testrium.cli.main import entry

    sys.exit(entry(["serve", *sys.argv[1:]]))
warnings.warn(_GONE, stacklevel=2)
