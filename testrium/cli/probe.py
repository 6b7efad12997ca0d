"""`testrium probe`: emit a probe from a shell script."""

from __future__ import annotations

import json

import click

from testrium.errors import UsageError
from testrium.words import DIRECTIONS, EventType


@click.command(name="probe")
@click.argument("step", default="", metavar="[STEP]")
@click.option(
    "--type",
    "kind",
    type=click.Choice([kind.value for kind in EventType]),
    default=EventType.DEFAULT.value,
    show_default=True,
    help="Set the type of the event.",
)
@click.option("--key", help="Set the key; Send and Receive need one.")
@click.option(
    "--cause", multiple=True, metavar="KEY", help="Name a key that caused the event (repeatable)."
)
@click.option(
    "--meta",
    multiple=True,
    metavar="NAME=VALUE",
    help="Add metadata, or details of a metric (repeatable).",
)
@click.option(
    "--metric", type=(str, float), metavar="NAME VALUE", help="Report a metric instead of a STEP."
)
@click.option("--unit", default="", help="Set the unit of the metric.")
@click.option(
    "--better",
    type=click.Choice(DIRECTIONS),
    help="Set which direction is better (default: smaller).",
)
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

    With --metric, report a metric instead. Outside of a run nothing happens. A VALUE of metadata
    that is a JSON number, true, false or null keeps its type.
    """
    if (metric is None) is not bool(step):
        raise UsageError("expected a STEP or --metric NAME VALUE, and not both")
    from testrium.probe.emitter import emit
    from testrium.probe.emitter import metric as report

    try:
        if metric is not None:
            given = {"--key": key, "--cause": cause, "--type": kind != EventType.DEFAULT}
            for option, value in given.items():
                if value:
                    raise UsageError(f"{option} belongs to a STEP: a metric has none")
            report(*metric, unit, better or DIRECTIONS[0], dict(map(_field, meta)))
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
