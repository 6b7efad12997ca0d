"""A pattern that backtracks without end is broken off."""

from __future__ import annotations

import re
import signal
from contextlib import suppress

import pytest

from testrium.checks.patterns import TookTooLongError, at_most

# An error that comes while a callback of the garbage collector runs is printed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_search_is_broken_off() -> None:
    with pytest.raises(TookTooLongError, match=r"more than 0\.05 s of CPU time"), at_most(0.05):
        re.search(r"(a+)+$", "a" * 60 + "!")


def test_it_is_broken_off_although_the_first_error_is_lost() -> None:
    """An error that comes while a destructor runs is printed, and goes no further."""

    def searched() -> None:
        with suppress(TookTooLongError):
            re.search(r"(a+)+$", "a" * 60 + "!")
        re.search(r"(a+)+$", "a" * 60 + "!")

    with pytest.raises(TookTooLongError), at_most(0.05):
        searched()


def test_what_was_set_before_is_set_again() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    with at_most(10):
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 5
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
