"""The files that checks look at, and the reference files that they are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from testrium.errors import TestriumError

#: What must be held in memory as a whole (JSON, two sides of a comparison) may be so large (bytes).
MOST_AT_ONCE = 64_000_000


class UnreadableError(TestriumError):
    """A file that a check looks at is no file, too large, or cannot be read."""


class FileLines:
    """The lines of a file, without their ends, read anew each time; bytes that are no UTF-8 stay
    visible as `\\xff`. Only a line is held in memory, of a longer one `MOST_AT_ONCE`: logs may be
    large."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[str]:
        try:
            with self._path.open("rb") as file:
                while line := file.readline(MOST_AT_ONCE):
                    yield line.rstrip(b"\r\n").decode(errors="backslashreplace")
        except OSError as error:
            raise UnreadableError(f"{self._path} cannot be read: {error.strerror}") from error


def is_there(path: Path) -> bool:
    """Whether there is a file that can be read line by line: no folder, pipe or device.

    Raises UnreadableError where there is something else.
    """
    try:
        if not path.exists():
            return False
        if path.is_file():
            return True
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path} cannot be read: {error}") from error
    raise UnreadableError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}")


def whole_text(path: Path) -> str:
    """The text of a file that is not too large. Raises UnreadableError."""
    try:
        size = path.stat().st_size
        if size > MOST_AT_ONCE:
            raise UnreadableError(
                f"{path} has {size / 1e6:.0f} MB: more than {MOST_AT_ONCE / 1e6:.0f} MB"
                " are not compared"
            )
        return path.read_bytes().decode("utf-8-sig", errors="backslashreplace")
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error


def lines_of(text: str) -> list[str]:
    """The lines of a text as FileLines reads them."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def rewrite(path: Path, lines: list[str]) -> Path | None:
    """Write a reference file.

    Returns where the content is now that was there before, None if there was none.

    Raises UnreadableError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        old = None
        if path.exists():
            old = _unused(path)
            path.rename(old)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"{path} cannot be rewritten: {error.strerror}") from error
    return old


def _unused(path: Path) -> Path:
    """`NAME.old`, `NAME.old2`, ...: the first that is free, so that none is ever lost."""
    number = 1
    while True:
        old = path.with_name(f"{path.name}.old{number if number > 1 else ''}")
        if not old.exists():
            return old
        number += 1
