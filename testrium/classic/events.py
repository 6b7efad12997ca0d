"""The classic API: `Events_Manager`, `UnitStatus_Manager` and `Results_Manager`.

Under the runner an event is a probe of this process, reads go to the run's Data.db and waits to the
runner. Alone, the managers keep a Data.db of their own below `path`, or at `TESTRIUM_EVENT_DB`.
New code uses `testrium.unit()`.
"""

from __future__ import annotations

import os

from testrium.probe.environment import EVENT_DB as EVENT_DB_ENV
from testrium.probe.environment import PROBES
from testrium.probe.event import TYPES, check_unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping
    from typing import Any

    from testrium.classic.in_run import RunLog
    from testrium.classic.standalone import AloneLog

__all__ = [
    "EVENT_DB_ENV",
    "VALID_EVENT_TYPES",
    "Events_Manager",
    "Results_Manager",
    "UnitStatus_Manager",
    "resolve_database_path",
]

VALID_EVENT_TYPES = set(TYPES)


class _Connected:
    """What the managers share: a database, and a connection for callers that use SQL."""

    _log: AloneLog | RunLog
    _connection: sqlite3.Connection | None = None

    def __init__(self, path: str | os.PathLike[str] | None = ".") -> None:
        self.database_path = resolve_database_path(path)
        self._log = _log(self.database_path)

    @property
    def connection(self) -> sqlite3.Connection:
        """The same one at each use, with all that was emitted until now; in a run for reading only.

        `list_events` and `list_statuses` tell the same without SQL.
        """
        self._log.flush()
        if self._connection is None:
            self._connection = self._log.connection()
        return self._connection


class Events_Manager(_Connected):
    """Emits the events of one unit and reads those of all.

    `Unit` is the unit's name, or "*" to read, wait for and correlate the events of every unit.
    """

    def __init__(self, Unit: str, path: str | os.PathLike[str] | None = ".") -> None:
        """Raises TypeError or ValueError for an invalid unit name."""
        if Unit != "*":
            check_unit(Unit)
        self.Unit = Unit
        super().__init__(path)

    def Set_Event(
        self,
        step: str | int,
        event_type: str = "Default",
        event_key: str | int | None = None,
        metadata: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Emit an event. Once this has returned, the event is not lost.

        Args:
            step: what was completed.
            event_type: one of `VALID_EVENT_TYPES`; Send and Receive need a key.
            event_key: what the event belongs to.
            metadata: anything that JSON can hold; `more` is added to it.

        Raises:
            TypeError, ValueError: this is not an event.
            OSError: it could not be written.
        """
        if self.Unit == "*":
            raise ValueError(
                "an event belongs to one unit, and '*' means all of them: name the unit"
            )
        if metadata is not None and not isinstance(metadata, dict):
            raise ValueError(f"metadata is a dictionary, not {type(metadata).__name__}")
        if isinstance(step, int):
            step = str(step)
        if isinstance(event_key, int):
            event_key = str(event_key)
        meta = {**metadata, **more} if metadata else more
        self._log.emit(self.Unit, step, event_type, event_key or None, meta)

    def flush(self) -> None:
        """Store all events so far in Data.db, so callers can read them with SQL."""
        self._log.flush()

    def list_events(self, unit: str | None = None) -> list[dict[str, Any]]:
        """The events of `unit` ("*" for all; by default of the manager's), in order of time.

        Each has ID, Unit, StepCompleted, EventType, EventKey ("" without a key), Time (seconds
        since 1970) and Metadata.
        """
        from testrium.classic import queries

        with self._log.reading() as connection:
            return queries.list_events(connection, self._log.shown, self._unit(unit))

    def List_Events(self) -> dict[str, dict[int, Any]]:
        """`list_events` as columns: name -> row number -> value."""
        from testrium.classic.queries import FIELDS

        events = self.list_events()
        return {name: {row: event[name] for row, event in enumerate(events)} for name in FIELDS}

    def completed_steps(self, unit: str | None = None) -> set[str]:
        """The steps that occurred at `unit`, by default the manager's."""
        return {event["StepCompleted"] for event in self.list_events(unit)}

    def correlate_send_receive(self) -> dict[str, Any]:
        """Send and Receive events of all units, paired by key.

        Returns:
            `paired` (event_key, send_unit, receive_unit, send_step, receive_step, latency in
            seconds), `orphan_sends`, `orphan_receives` (as in `list_events`), `duplicate_keys`
            (event_key, send_count, receive_count) and `average_latency` (0.0 without a pair).
        """
        from testrium.classic import queries

        with self._log.reading() as connection:
            return queries.correlate(connection, self._log.shown)

    def verify_required_events(self, units: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Which required events occurred.

        Args:
            units: dictionaries with `name`, `events`, and `enabled` (a disabled unit is left out).

        Returns:
            `completed` and `missing`: lists of dictionaries with `unit` and `step`.
        """
        done = {(event["Unit"], event["StepCompleted"]) for event in self.list_events("*")}
        required = [
            {"unit": unit["name"], "step": step}
            for unit in units
            if unit.get("enabled", True)
            for step in unit.get("events", ())
        ]
        return {
            "completed": [one for one in required if (one["unit"], one["step"]) in done],
            "missing": [one for one in required if (one["unit"], one["step"]) not in done],
        }

    def wait_for_event(
        self,
        step: str,
        unit: str | None = None,
        timeout: float = 10.0,
        poll_interval: float = 0.1,
        event_key: str | None = None,
    ) -> bool:
        """Block until the event is there; False when it was not within `timeout` seconds.

        In a run it is also False, with a RuntimeWarning, once the unit has ended for good; a unit
        that the run does not have is a ValueError.

        Past events count. `unit` is by default the manager's. `poll_interval` is the pause between
        two looks, in seconds, where the platform cannot tell that a file was written; elsewhere
        the event itself ends the wait.
        """
        return self._log.wait(self._unit(unit) or "*", step, event_key, timeout, poll_interval)

    def drop_events_table(self) -> None:
        """Forget all events. Under the runner they are evidence: they stay, with a warning."""
        self._log.drop_events()

    def _unit(self, unit: str | None) -> str | None:
        """The unit that is meant; None for all of them."""
        meant = self.Unit if unit is None else unit
        return None if meant == "*" else meant


class UnitStatus_Manager(_Connected):
    """Reads and writes the states of units."""

    VALID_STATES = frozenset(
        ("created", "starting", "ready", "running", "finished", "failed", "stopped")
    )

    def set_status(self, unit: str, status: str) -> None:
        """Raises ValueError for a status that is not in `VALID_STATES`."""
        if status not in self.VALID_STATES:
            known = ", ".join(sorted(self.VALID_STATES))
            raise ValueError(f"{status!r} is not a status of a unit: use one of {known}")
        self._log.set_status(str(unit), status)

    def get_status(self, unit: str) -> str | None:
        """None for a unit without a status."""
        return self.list_statuses().get(unit)

    def list_statuses(self) -> dict[str, str]:
        """The status of every unit that has one."""
        with self._log.reading() as connection:
            return dict(connection.execute("SELECT Unit, Status FROM UnitStatus ORDER BY Unit"))


class Results_Manager(_Connected):
    """Stores results of user code in the table `Results`."""

    def store_result(
        self,
        test_group: str,
        passed: bool,
        duration: float,
        average_latency: float | None,
        summary: Any,
    ) -> None:
        """Append a row.

        Args:
            test_group: a name.
            passed: whether it passed.
            duration: seconds.
            average_latency: seconds; None where there is none.
            summary: anything that JSON can hold; TypeError else.
        """
        self._log.store_result(
            test_group=test_group,
            passed=bool(passed),
            duration=duration,
            average_latency=average_latency,
            summary=summary,
        )


def resolve_database_path(path: str | os.PathLike[str] | None = ".") -> str:
    """Where the events are: `TESTRIUM_EVENT_DB` if set, else `path`.

    A path that ends in ".db" is the file itself; else it is the folder of Data.db, which is made if
    need be. Raises OSError.
    """
    given = os.environ.get(EVENT_DB_ENV)
    database = os.path.abspath(given or os.fspath(path or "."))  # noqa: PTH100 - see below
    if not given and not database.endswith(".db"):
        database = os.path.join(database, "Data.db")  # noqa: PTH118
    # pathlib would double what the import of this module costs every unit.
    os.makedirs(os.path.dirname(database), exist_ok=True)  # noqa: PTH103, PTH120
    return database


def _log(database_path: str) -> AloneLog | RunLog:
    """Where this process's events go: to the run that it belongs to, or to a file of its own."""
    if os.environ.get(PROBES):
        from testrium.classic.in_run import RunLog

        return RunLog(database_path)
    from testrium.classic.standalone import log_at

    return log_at(database_path)
