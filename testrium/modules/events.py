"""Old import path of `testrium.classic.events`."""

from testrium.classic.events import (
    EVENT_DB_ENV,
    VALID_EVENT_TYPES,
    Events_Manager,
    Results_Manager,
    UnitStatus_Manager,
    resolve_database_path,
)

__all__ = [
    "EVENT_DB_ENV",
    "VALID_EVENT_TYPES",
    "Events_Manager",
    "Results_Manager",
    "UnitStatus_Manager",
    "resolve_database_path",
]
