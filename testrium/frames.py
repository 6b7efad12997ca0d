"""Which frame of a Python traceback is the user's: what is below it is how libraries work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

#: The standard library, installed packages, and what has no file: `<frozen importlib._bootstrap>`.
_LIBRARY = re.compile(
    r"<(?!stdin>|string>).*>$|.*[/\\](?:[Ll]ib[/\\]python3\.\d+t?|site-packages|dist-packages)[/\\]"
    r"|.*[/\\]Python3?\d*[/\\]Lib[/\\]"
)
#: As this package was imported: in a checkout it is no installed package.
_OURS = str(PurePath(__file__).parent / "_").removesuffix("_")


def is_library(file: str) -> bool:
    """Whether the file of a frame belongs to a library, as far as its path tells."""
    return _LIBRARY.match(file) is not None or file.startswith(_OURS)


def deepest_own(files: Sequence[str]) -> int | None:
    """The index of the user's frame that was called last; the last of all if none is the user's.

    `files` are those of the frames, the outermost first. None where there are no frames.
    """
    own = [index for index, file in enumerate(files) if not is_library(file)]
    return own[-1] if own else len(files) - 1 if files else None
