"""The options that choose groups, which `run` and `list` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def selecting(command: _Command) -> _Command:
    """Give a command the options of a `Selection`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option("--less", multiple=True, metavar="GROUP", help="Leave a group out (repeatable)."),
    click.option("--tag", default="", metavar="EXPR", help="Only groups whose tags satisfy EXPR."),
    click.option(
        "--grep", default="", metavar="REGEX", help="Only groups whose id or title matches."
    ),
    click.option(
        "--requirement",
        multiple=True,
        metavar="ID",
        help="Only groups that cover ID, or what matches it as a shell pattern (repeatable).",
    ),
    click.option("--all-modes", is_flag=True, help="Matrix combinations that are not primary too."),
    click.option("--failed", is_flag=True, help="Only what did not pass in the last run."),
)
