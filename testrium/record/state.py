"""The state folder: made and marked here, so that no other folder is ever taken for one."""

from __future__ import annotations

from pathlib import Path

MARK = ".testrium-state"

_MARK_TEXT = """\
This folder was made by Testrium: runs, and the history of their results.
It may be deleted at any time. `testrium clean` removes runs only beside this file.
"""
#: What may lie in a folder that was made before it could be marked.
_OWN = ("runs", "history.db")


def make_state_folder(folder: Path) -> None:
    """Make the folder, for its owner only, and mark it; git ignores what is in it.

    One that exists and holds what is not Testrium's is used and left unmarked. Raises OSError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_state_folder(folder):
        return
    if all(entry.name.startswith(_OWN) for entry in folder.iterdir()):
        _write(folder / MARK, _MARK_TEXT)
        _write(folder / ".gitignore", "*\n")


def is_state_folder(folder: Path) -> bool:
    """Whether Testrium made this folder."""
    return (folder / MARK).is_file()


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
