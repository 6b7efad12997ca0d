"""Folders of a run for its sockets: near the root, as a socket's path has few bytes.

A run that was killed leaves them; the next run knows them by the id in their names.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: The longest path of a Unix socket. Source: sun_path of unix(7), without the byte that ends it.
_SOCKET_PATH = 107
#: What a run appends to a folder: its name, characters that make it unique, a socket's name.
_APPENDED = len("/testrium-20261121-031500-ab12-12345678/waits")


def socket_folder(run: str) -> Path:
    """Make a folder for sockets of the run with this id. Raises OSError: there is no place."""
    return Path(tempfile.mkdtemp(prefix=_prefix(run), dir=short_folder()))


def short_folder() -> str:
    """The first folder for temporary files whose path leaves room for a socket's name.

    Raises OSError where there is none.
    """
    for folder in _folders():
        if len(os.fsencode(folder)) + _APPENDED <= _SOCKET_PATH and os.access(folder, os.W_OK):
            return folder
    wanted = " or ".join(_folders())
    raise OSError(f"no folder for sockets: {wanted} is too long or cannot be written; set TMPDIR")


def remove_left(run: str) -> None:
    """Remove what a run that is no more has left of its temporary folders."""
    for folder in _folders():
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                if entry.name.startswith(_prefix(run)) and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _prefix(run: str) -> str:
    return f"testrium-{run}-"


def _folders() -> Iterator[str]:
    """Where temporary files go, then where they go by default."""
    yield tempfile.gettempdir()
    yield from (folder for folder in ("/tmp", "/var/tmp") if os.path.isdir(folder))  # noqa: S108, PTH112
