"""Whether the `${...}` in a group's texts name something that exists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from testrium.declared.units import Unit
from testrium.load.document import Spot, did_you_mean
from testrium.variables import VariableError, probe_field, references, substitute

_PROBE = "probe."
_FOLDERS = ("group.dir", "run.dir", "unit.dir", "mode")
#: Set by Testrium in the environment of every process.
_OWN_PREFIX = "env.TESTRIUM_"


class Scope:
    """What the texts of one unit, or of `[env]`, may refer to.

    Args:
        ports: the ports of every enabled unit.
        environment: the variables that `${env.NAME}` may name.
        params: the parameters that `${param.NAME}` may name.
        unit: the unit whose texts these are; None for `[env]` and `[[checks]]`.
        needs: tells the units whose events `${probe...}` may name; None where it cannot be used.
            A check may name all. Asked only where a text has such a reference.
        fixtures: those of the group.
    """

    def __init__(
        self,
        ports: Mapping[str, tuple[str, ...]],
        environment: frozenset[str],
        params: frozenset[str] = frozenset(),
        unit: str | None = None,
        needs: Callable[[], frozenset[str]] | None = None,
        fixtures: tuple[Unit, ...] = (),
    ) -> None:
        self.ports = ports
        self.environment = environment
        self.params = params
        self.unit = unit
        self.needs = needs
        self.fixtures = fixtures

    @cached_property
    def names(self) -> frozenset[str]:
        """What may be named besides events."""
        is_check = self.unit is None and self.needs is not None
        names = {
            *(name for name in _FOLDERS if name != "unit.dir" or not is_check),
            *(f"env.{name}" for name in self.environment),
            *(f"param.{name}" for name in self.params),
            *(f"unit.{unit}.port.{port}" for unit, ports in self.ports.items() for port in ports),
            *(f"port.{port}" for port in self.ports.get(self.unit or "", ())),
            *(f"{unit.name}.port.{port}" for unit in self.fixtures for port in unit.ports),
        }
        return frozenset(names)

    def error(self, name: str, extra: Iterable[str] = ()) -> str | None:
        """Why `${name}` cannot be resolved, or None.

        Args:
            name: what stands between the braces.
            extra: further names that are known in this text.
        """
        if name in self.names or name in extra:
            return None
        if name.startswith(_PROBE):
            return self._probe_error(name.removeprefix(_PROBE))
        for fixture in self.fixtures:
            if name.startswith(f"{fixture.name}.value."):
                usable = self.unit is not None or self.needs is not None
                return _value_error(name, fixture) if usable else _no_value_here(name)
        if name.startswith(_OWN_PREFIX) and self.unit is not None:
            return None
        guess = did_you_mean(name, sorted({*self.names, *extra}), 0.8)
        return f"unknown variable ${{{name}}}{guess}"

    def _probe_error(self, rest: str) -> str | None:
        if self.needs is None:
            return f"${{{_PROBE}{rest}}} cannot be used here"
        units = self.needs()
        if not any(rest.startswith(f"{unit}.") for unit in units):
            unit = rest.partition(".")[0]
            guess = did_you_mean(unit, sorted(units))
            where = "of this group" if self.unit is None else f"that {self.unit!r} depends on"
            return f"${{{_PROBE}{rest}}}: {unit!r} is no unit {where}{guess}"
        if probe_field(_PROBE + rest, units) is None:
            return f"${{{_PROBE}{rest}}} must have the form ${{probe.UNIT.STEP.FIELD}}"
        return None


def _no_value_here(name: str) -> str:
    variable = "TESTRIUM_FIXTURE_NAME_VALUE_FIELD"
    return f"${{{name}}} cannot be used here: it can in units, and all processes have {variable}"


def _value_error(name: str, fixture: Unit) -> str | None:
    """Why a `fixture.NAME.value.FIELD` cannot be resolved, or None."""
    if fixture.ready_event is None:
        return f"${{{name}}}: {fixture.file} has no ready_event, whose metadata its values are"
    if not name.removeprefix(f"{fixture.name}.value."):
        return f"${{{name}}} must have the form ${{{fixture.name}.value.FIELD}}"
    return None


def check_text(text: str, spot: Spot, scope: Scope, extra: Iterable[str] = ()) -> bool:
    """Note every reference in `text` that means nothing; whether there was none."""
    try:
        names = references(text)
    except VariableError as error:
        spot.wrong(str(error))
        return False
    reasons = [reason for name in dict.fromkeys(names) if (reason := scope.error(name, extra))]
    for reason in reasons:
        spot.wrong(reason)
    return not reasons


def check_pattern(text: str, spot: Spot, scope: Scope) -> frozenset[str]:
    """Check a regular expression that may hold references; the names of its groups."""
    from testrium.checks.patterns import NotationError, compiled  # few groups have patterns

    if not check_text(text, spot, scope):
        return frozenset()
    try:
        # What stands for a value is as long as its name: then columns are those of the text.
        return frozenset(compiled(substitute(text, _stand_in), text).groupindex)
    except NotationError as error:
        spot.wrong(str(error))
        return frozenset()


def _stand_in(name: str) -> str:
    return "x" * (len(name) + len("${}"))
