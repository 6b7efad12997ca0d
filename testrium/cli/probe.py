"""`testrium probe`: emit a probe from a shell script."""

from __future__ import annotations

import json

import click

from testrium.errors import UsageError
from testrium.measures import DIRECTIONS
from testrium.words import EventType


@click.command(name="probe")
@click.argument("step", default="", metavar="[STEP]")
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
@click.option(
    "--metric", type=(str, float), metavar="NAME VALUE", help="Report a figure, in place of a STEP."
)
@click.option("--unit", default="", help="What the figure is measured in.")
@click.option("--better", type=click.Choice(DIRECTIONS), help="Default: smaller.")
def command(
    step: str,
    kind: str,
    key: str | None,
    cause: tuple[str, ...],
    meta: tuple[str, ...],
    metric: tuple[str, float] | None,
    unit: str,
    better: str | None,
) -> int:
    """Emit the probe STEP for the unit that this process belongs to, with the time of the call.

    With --metric: report a figure instead. Does nothing outside a run. A VALUE of metadata that is
    a JSON number, true, false or null is kept as such.
    """
    if (metric is None) is not bool(step):
        raise UsageError("either a STEP or --metric NAME VALUE")
    from testrium.probe.emitter import emit
    from testrium.probe.emitter import metric as report

    try:
        if metric is not None:
            report(*metric, unit, better or DIRECTIONS[0])
            return 0
        if unit or better:
            raise UsageError("--unit and --better belong to --metric")
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
