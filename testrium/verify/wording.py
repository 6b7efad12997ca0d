"""Numbers and lists as people say them; `testrium.measures` has figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: A key is text of up to 1 KiB; a sentence shows this much of it.
MOST_CHARACTERS = 60


def shown(text: str) -> str:
    """A key or another text of the code under test, cut to a length that fits a sentence."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def listed(names: Sequence[str]) -> str:
    """`k1`, `k1 and k2`, `k1 and 7 more`."""
    first = shown(names[0])
    if len(names) == 1:
        return first
    return f"{first} and " + (shown(names[1]) if len(names) == 2 else f"{len(names) - 1} more")


def number_of(count: int, noun: str) -> str:
    """`1 key`, `3 keys`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def times(count: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def close_to(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that `word` may be a misspelling of, if there is one."""
    from difflib import get_close_matches

    found = get_close_matches(word, [other for other in words if other != word], n=1, cutoff=0.75)
    return found[0] if found else None
