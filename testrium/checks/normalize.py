"""What makes two outputs comparable: text that differs from run to run becomes the same text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from testrium.checks.calling import called
from testrium.checks.patterns import NotationError, compiled
from testrium.declared.checks import Normalizer

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
_ZONE = r"(?:Z\b|UTC\b|GMT\b|[+-]\d{2}:?\d{2}\b)"
_TIME = rf"\d{{1,2}}:\d{{2}}(?::\d{{2}}(?:[.,]\d+)?)?(?:\s?[AP]M\b)?(?:\s?{_ZONE})?"
_DATE = (
    r"\d{4}[-/.]\d{2}[-/.]\d{2}"  # 2026-11-21
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"  # 21.11.2026, 11/21/2026
    rf"|(?:{_DAY},?\s+)?{_MONTH}\s+\d{{1,2}}(?:,?\s+\d{{4}}\b)?"  # Sat Nov 21, Nov 21 2026
    rf"|(?:{_DAY},?\s+)?\d{{1,2}}[ -]{_MONTH}(?:[ -]\d{{4}}\b)?"  # 21 Nov 2026
)

_PORT = (
    r"(?i)(?P<before>localhost:|\b\d{1,3}(?:\.\d{1,3}){3}:|\[[0-9a-f:.]+\]:|//[\w.-]+:|\*:"
    r"|\bport['\"]?\s*[=:]?\s*)\d{1,5}\b"
)

#: Every normaliser that has a name: what it looks for, and what it puts in its place.
NAMED: Final[Mapping[str, tuple[str, str]]] = {
    "datetime": (
        rf"\b(?:(?:{_DATE})(?:(?:[T ]|,? +){_TIME}(?: \d{{4}}\b)?)?|{_TIME})",
        "<datetime>",
    ),
    "number": (r"0[xX][0-9a-fA-F]+|[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?", "<number>"),
    "port": (_PORT, r"\g<before><port>"),
    "path": (r"(?<![\w/:<.~])(?:~(?=/)|/+[\w.@%+~=,-]+)(?:/+[\w.@%+~=,-]+)*/*", "<path>"),
}


def check_normalizer(normalizer: Normalizer) -> None:
    """Raise NotationError if a normaliser of the user's own cannot be applied."""
    if not normalizer.name and not normalizer.plugin:
        pattern = compiled(normalizer.sub)
        try:
            pattern.sub(normalizer.by, "")
        except (re.error, IndexError) as error:
            raise NotationError(normalizer.by, 1, f"cannot be put in: {error}") from error


def normalized_by(normalizers: Iterable[Normalizer]) -> Callable[[str], str]:
    """The function that applies `normalizers`, one after the other. Raises NotationError."""
    steps: list[Callable[[str], str]] = []
    for normalizer in normalizers:
        if normalizer.plugin:
            steps.append(partial(called, normalizer.plugin))
            continue
        check_normalizer(normalizer)
        sub, by = NAMED[normalizer.name] if normalizer.name else (normalizer.sub, normalizer.by)
        steps.append(partial(compiled(sub).sub, by))

    def normalize(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return normalize
