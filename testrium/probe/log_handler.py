"""Probes from log records: a handler for Python's `logging`.

Loaded by `testrium.logging_handler`, so units that do not log pay nothing for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from testrium.probe.emitter import UnitProbes

_FIELDS = ("step", "type", "key", "cause", "unit")


class ProbeHandler(logging.Handler):
    """Emits a probe for each record that says so; all others are left to other handlers.

    A record says so by `extra={"testrium": {"step": "stored", "key": "k1"}}`. `step` is required;
    `type`, `key`, `cause` and `unit` are those of a probe, and every other field is metadata.
    What cannot be a probe is reported as `logging` reports errors of handlers: on stderr.
    """

    def emit(self, record: logging.LogRecord) -> None:
        fields = vars(record).get("testrium")
        if fields is None:  # loguru hands over what was bound as one dictionary
            bound = vars(record).get("extra")
            fields = bound.get("testrium") if isinstance(bound, Mapping) else None
        if fields is None:
            return
        try:
            _emit(fields)
        except Exception:  # noqa: BLE001 - as handlers do: code that logs must not break by it
            self.handleError(record)


def _emit(fields: Mapping[str, Any]) -> None:
    if not isinstance(fields, Mapping) or "step" not in fields:
        raise ValueError(f'testrium in a log record must be a table with "step", got {fields!r}')
    UnitProbes(fields.get("unit")).emit(
        fields["step"],
        fields.get("type", "Default"),
        fields.get("key"),
        fields.get("cause", ()),
        {name: value for name, value in fields.items() if name not in _FIELDS},
    )


def logging_handler(level: int | str = logging.NOTSET) -> ProbeHandler:
    """A handler that makes probes of records with `extra={"testrium": {"step": ..., "key": ...}}`.

    Add it to a logger: `logging.getLogger().addHandler(testrium.logging_handler())`. Outside of a
    run it does nothing. A logger's level comes first: `logging.getLogger().setLevel("INFO")` lets
    records of INFO through.

    Args:
        level: records below it are left out, as by every handler.
    """
    return ProbeHandler(level)
