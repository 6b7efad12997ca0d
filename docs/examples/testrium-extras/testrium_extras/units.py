"""A kind of unit: `kind = "countdown"`, `settings = {from = "3"}`."""

from collections.abc import Mapping

import testrium


def countdown(settings: Mapping[str, str]) -> None:
    """Emit a probe for each number. To be a program instead, return its command as a list."""
    for number in range(int(settings["from"]), 0, -1):
        testrium.unit().probe("counted", key=str(number))
