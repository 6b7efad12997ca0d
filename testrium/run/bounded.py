"""Patterns of users that are searched here: an endless one must not hold up all groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from testrium.errors import InfraError

#: How long the search of what was read at once may take (seconds of CPU time). That is some
#: 100 KB, which an honest pattern searches in milliseconds.
LIMIT_S = 1.0


@contextmanager
def bounded(pattern: Callable[[], str]) -> Iterator[None]:
    """Limit a search of many lines: the limit costs microseconds, too much for each line.

    Args:
        pattern: says whose pattern is searched, and which.

    Raises:
        InfraError: it took too long.
    """
    from testrium.checks.patterns import TookTooLongError, at_most

    try:
        with at_most(LIMIT_S):
            yield
    except TookTooLongError as error:
        raise InfraError(f"{pattern()} {error}: does it backtrack?") from error
