"""Code that may take its process down, or keep it."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import pytest

from testrium.judging.workers import LostError, call_isolated


def test_what_comes_back() -> None:
    assert call_isolated(partial(max, 3, 7), 60) == 7
    assert call_isolated(os.getpid, 60) != os.getpid()


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (partial(signal.raise_signal, signal.SIGSEGV), "its process ended with SIGSEGV"),
        (partial(os._exit, 3), "its process ended with exit code 3"),
        (partial(os._exit, 0), "its process ended with exit code 0"),
    ],
)
def test_one_that_ends_its_process(work: partial[None], reason: str) -> None:
    with pytest.raises(LostError, match=reason):
        call_isolated(work, 60)


def test_one_that_never_returns() -> None:
    began = time.monotonic()
    with pytest.raises(LostError, match=r"took longer than 0\.2 s"):
        call_isolated(partial(time.sleep, 600), 0.2)
    assert time.monotonic() - began < 300
