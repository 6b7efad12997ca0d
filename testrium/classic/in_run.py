"""The classic API under the runner."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from testrium.probe import environment as names
from testrium.probe.emitter import emitter_of
from testrium.probe.waiting import ask, wait_request

if TYPE_CHECKING:
    import sqlite3


class RunLog:
    """Probes of this process; reads of the run's Data.db, which only the runner writes."""

    #: In SQL, which events there are: those of the current attempt.
    shown = (
        "coalesce(Attempt, 1) = coalesce((SELECT Value FROM Meta WHERE Name = 'attempt'), 1) + 0"
    )

    def __init__(self, database: str) -> None:
        self._database = database
        self._emitter = emitter_of(os.environ[names.PROBES], os.environ.get(names.DOMAIN, ""))
        self._own_unit = os.environ.get(names.UNIT)

    def emit(
        self, unit: str, step: str, type_: str, key: str | None, meta: Mapping[str, Any]
    ) -> None:
        foreign = None if unit == self._own_unit else unit
        self._emitter.emit(step, type_, key, (), meta, foreign)

    def flush(self) -> None:
        ask({"op": "sync"})

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The run's Data.db, with all that was emitted until now."""
        from testrium.record.database import open_reader

        self.flush()
        with contextlib.closing(open_reader(self._database)) as connection:
            yield connection

    def connection(self) -> sqlite3.Connection:
        """A connection for reading with SQL; only the runner writes what a run stores."""
        from testrium.record.database import open_reader

        self.flush()
        return open_reader(self._database)

    def wait(
        self,
        unit: str,
        step: str,
        key: str | None,
        timeout_s: float,
        poll_s: float,  # noqa: ARG002 - the runner answers at once
    ) -> bool:
        asker = os.environ.get(names.UNIT, "")
        request = wait_request(f"{unit}:{step}", key, timeout_s, asker=asker)
        try:
            answer = ask(request, timeout_s)
        except TimeoutError:
            return False
        if ended := answer.get("ended"):
            words = f"wait_for_event: no {unit}:{step} will come: {ended}"
            warnings.warn(words, RuntimeWarning, stacklevel=3)
        return answer["event"] is not None

    def drop_events(self) -> None:
        warnings.warn(
            "drop_events_table: the events of a run are its evidence, they stay",
            RuntimeWarning,
            stacklevel=3,
        )

    def set_status(self, unit: str, status: str) -> None:
        ask({"op": "status", "unit": unit, "status": status})

    def store_result(self, **result: Any) -> None:
        ask({"op": "result", **result})
