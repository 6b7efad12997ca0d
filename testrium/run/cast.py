"""The actors of one group together: what is known of all of them, and who waits for whom.

It is told of every change of an actor, and looks at that one and its dependants only. To look at
all of them would cost thousands of units millions of looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from testrium.declared.units import Unit
from testrium.evidence import UnitState
from testrium.run.change import Change


class Player(Protocol):
    """A unit, as far as others of its group depend on it; an actor is one."""

    @property
    def unit(self) -> Unit: ...

    @property
    def state(self) -> UnitState: ...

    @property
    def change(self) -> Change:
        """Wakes who waits for this one."""

    @property
    def gone(self) -> bool: ...

    @property
    def alive(self) -> bool: ...

    @property
    def passed_ready(self) -> bool: ...


class Cast:
    """Each set holds the names of the units that are so now. Fixtures do nothing by themselves."""

    def __init__(self, players: Mapping[str, Player]) -> None:
        self._players = players
        self._dependants: dict[str, list[str]] = {name: [] for name in players}
        for name, player in players.items():
            for needed in dict.fromkeys(player.unit.dependencies):
                self._dependants[needed].append(name)
        # Units with a process, but for fixtures: it lives, they are not gone, it does not run yet.
        self._alive: set[str] = set()
        self._present: set[str] = set()
        self._beginning: set[str] = set()
        self._to_end: set[str] = set()  # `self` units that are not gone
        self._opening: set[str] = set()  # fixtures that are not ready
        self._next: set[str] = set()  # units without a process that are about to begin
        self._lacking = {n: set(player.unit.dependencies) for n, player in players.items()}
        self._lost: dict[str, set[str]] = {name: set() for name in players}
        for player in players.values():
            self.update(player)

    def update(self, player: Player) -> None:
        """Something about this one may have changed: wake those whom it concerns."""
        unit = player.unit
        name, gone, ready = unit.name, player.gone, player.passed_ready
        if unit.scope:
            _put(self._opening, name, not (gone or ready))
        elif unit.has_process:
            _put(self._alive, name, player.alive)
            _put(self._present, name, not gone)
            begins = player.state in (UnitState.CREATED, UnitState.STARTING)
            _put(self._beginning, name, begins)
            _put(self._to_end, name, unit.stop == "self" and not gone)
        else:
            self._look_whether_next(player)
        for dependant in self.dependants(name):
            other = dependant.unit.name
            _put(self._lacking[other], name, not ready)
            _put(self._lost[other], name, gone and not ready)
            if not self._lacking[other] or self._lost[other]:
                dependant.change.notify()
            if not dependant.unit.has_process:
                self._look_whether_next(dependant)
        player.change.notify()

    def wake(self) -> None:
        """Something has changed that concerns everybody."""
        for player in self._players.values():
            player.change.notify()

    def may_start(self, name: str) -> bool:
        """Whether all that the unit depends on is ready."""
        return not self._lacking[name]

    def in_the_way(self, name: str) -> str | None:
        """The first of those it depends on that has ended without becoming ready."""
        return self._first(name, self._lost)

    def missing(self, name: str) -> str | None:
        """The first of those it depends on that is not ready."""
        return self._first(name, self._lacking)

    def dependants(self, name: str) -> Iterable[Player]:
        """Those who depend on this unit, in the declared order."""
        return (self._players[other] for other in self._dependants[name])

    @property
    def alive(self) -> bool:
        """Whether a process of a unit lives; those of fixtures do not count."""
        return bool(self._alive)

    @property
    def all_gone(self) -> bool:
        """Whether nobody can do anything any more."""
        return not (self._opening or self._present or self._next)

    @property
    def played(self) -> bool:
        """Whether everybody has begun, and those have ended who should by themselves."""
        return not (self._opening or self._beginning or self._next or self._to_end)

    def _look_whether_next(self, player: Player) -> None:
        name = player.unit.name
        begun = player.gone or player.state is not UnitState.CREATED
        held_up = self._lacking[name] and not self._lost[name]
        _put(self._next, name, not (begun or held_up or player.unit.scope))

    def _first(self, name: str, names: Mapping[str, set[str]]) -> str | None:
        found = names[name]
        if not found:
            return None
        return next(one for one in self._players[name].unit.dependencies if one in found)


def _put(names: set[str], name: str, belongs: bool) -> None:
    if belongs:
        names.add(name)
    else:
        names.discard(name)
