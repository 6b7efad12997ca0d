"""How a suite tells of its tests: a probe for each, once its outcome is known."""

from __future__ import annotations

import hashlib
from typing import Literal

import testrium.probe

Outcome = Literal["passed", "failed", "skipped", "unknown"]

#: The longest step (the contract's limit), and what is kept of long texts, in characters.
STEP_LENGTH = 200
_MESSAGE = 1_000
_TRACEBACK = 40_000


class Teller:
    """Emits a probe for every test, and knows how many there were."""

    def __init__(self) -> None:
        self.count = 0

    def tell(
        self,
        test: str,
        outcome: Outcome,
        *,
        duration_s: float = 0.0,
        message: str = "",
        traceback: str = "",
        **more: str,
    ) -> None:
        """Tell what a test came to.

        Args:
            test: its id within the suite.
            outcome: "unknown" is for what could not be asked.
            duration_s: how long it took, in seconds.
            message: the assertion that failed, or a reason; its first line is kept.
            traceback: as the interpreter prints it.
            more: further metadata, such as who answered.
        """
        self.count += 1
        texts = {
            "message": message.strip().partition("\n")[0][:_MESSAGE],
            "traceback": traceback[-_TRACEBACK:],
            **more,
        }
        testrium.probe.unit().probe(
            step_of(test),
            test=_storable(test),
            outcome=outcome,
            duration_s=round(duration_s, 6),
            **{name: _storable(text) for name, text in texts.items() if text},
        )

    def conclude(self) -> None:
        """A suite without tests proves nothing."""
        if not self.count:
            testrium.probe.unit().probe(
                "no-tests", test="", outcome="failed", message="no tests were found"
            )


def _storable(text: str) -> str:
    """The text with lone surrogates (undecodable names of files) escaped: JSON cannot hold them."""
    return text.encode(errors="backslashreplace").decode()


def step_of(test: str) -> str:
    """The id of a test as a step: without control characters, and not too long.

    Of a long one the end is replaced by a digest of the whole, so that steps stay different.
    """
    step = "".join(char if char.isprintable() else "?" for char in test) or "?"
    if len(step) <= STEP_LENGTH:
        return step
    digest = hashlib.sha256(test.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{step[: STEP_LENGTH - 9]}~{digest}"
