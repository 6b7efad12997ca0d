"""An event as the code under test sees it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Event:
    """The stored record of a probe, as an answer to a wait.

    `t_ns` is CLOCK_MONOTONIC, taken in the emitting process; `wall_ns` is time since 1970.
    `cause` holds the keys that led to it, `meta` its metadata.
    """

    __slots__ = ("cause", "key", "meta", "pid", "seq", "step", "t_ns", "type", "unit", "wall_ns")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.unit: str = fields["unit"]
        self.step: str = fields["step"]
        self.type: str = fields["type"]
        self.key: str | None = fields["key"]
        self.cause: tuple[str, ...] = tuple(fields["cause"])
        self.t_ns: int = fields["t_ns"]
        self.wall_ns: int = fields["wall_ns"]
        self.pid: int = fields["pid"]
        self.seq: int | None = fields["seq"]
        self.meta: dict[str, Any] = fields["meta"]

    def __repr__(self) -> str:
        key = "" if self.key is None else f" key={self.key!r}"
        return f"<{self.type} {self.unit}:{self.step}{key}>"
