"""`testrium probe`: emit a probe from a shell script."""

from __future__ import annotations

import json

import click

from testrium.errors import UsageError
from testrium.model import EventType


@click.command(name="probe")
@click.argument("step")
@click.option(
    "--type",
    "kind",
    type=click.Choice([kind.value for kind in EventType]),
    default=EventType.DEFAULT.value,
    show_default=True,
)
@click.option("--key", help="What the event belongs to; Send and Receive need one.")
@click.option("--cause", multiple=True, metavar="KEY", help="A key that led to it (repeatable).")
@click.option("--meta", multiple=True, metavar="NAME=VALUE", help="Metadata (repeatable).")
def command(
    step: str, kind: str, key: str | None, cause: tuple[str, ...], meta: tuple[str, ...]
) -> int:
    """Emit the probe STEP for the unit that this process belongs to, with the time of the call.

    Does nothing outside a run. A VALUE that is a JSON number, true, false or null is kept as such.
    """
    from testrium.probe.emitter import emit

    try:
        emit(step, type=kind, key=key, cause=list(cause), meta=dict(map(_field, meta)))
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    return 0


def _field(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--meta {text!r}: expected NAME=VALUE")
    try:
        parsed = json.loads(value)
    except ValueError:
        return name, value
    return name, value if isinstance(parsed, str | dict | list) else parsed
