"""The texts of a group that may hold `${...}`: whether each names something that exists."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any
from urllib.parse import urlsplit

from testrium.checks.patterns import NotationError, compiled
from testrium.declared.groups import Combination
from testrium.declared.units import FILLED_LATER, LogProbe, Readiness, Unit, exit_code_of
from testrium.load.document import Document, KeyPath, ProblemCollector, Spot
from testrium.load.units import UNREAD, UnitFile
from testrium.load.validate import Table
from testrium.phrases import did_you_mean
from testrium.variables import VariableError, as_text, probe_field, references, substitute
from testrium.words import EMPTY

_PROBE = "probe."
_FOLDERS = ("group.dir", "run.dir", "unit.dir", "mode")
#: Set by Testrium in the environment of every process.
_OWN_PREFIX = "env.TESTRIUM_"


#: The keys of a check that keep `${...}` until it is made.
_LATER_IN_CHECKS = frozenset(
    (
        *("file", "json", "exists", "absent", "value", "golden", "settings", "equals", "contains"),
        *("lacks", "sequence", "last", "ignore", "includes", "join", "extract"),
    )
)
_AT_LOADING = r"\$\$|\$\{(?P<name>(?:param|property)\.[^{}]*)\}"


def is_later(path: KeyPath) -> bool:
    """Whether a text of config.toml is filled in when the group runs."""
    return path[0] in ("env", "matrix") or (
        path[0] == "checks" and len(path) > 2 and path[2] in _LATER_IN_CHECKS
    )


def is_later_in_unit(path: KeyPath) -> bool:
    """Whether a text of a unit's file is filled in when the group runs."""
    return len(path) > 1 and path[1] in FILLED_LATER


def is_unread(name: str, names: Container[str]) -> bool:
    """Whether the name may be one of those that could not be read: `unit.api.port.*`, `param.*`."""
    parts = name.split(".")
    return any(".".join((*parts[:count], UNREAD)) in names for count in range(1, len(parts) + 1))


class Filling:
    """Fills `${param.…}` and `${property.…}` into documents before they are validated.

    Args:
        values: by the whole name; as they were written, so numbers stay numbers.
        as_written: file and line of texts that are nothing but one reference, and that become
            what was written and not its text.
        unset: names of properties without a value, and how to give them one.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        as_written: frozenset[tuple[str, int | None]] = frozenset(),
        unset: Mapping[str, str] = EMPTY,
    ) -> None:
        self.values = values
        self.unset = unset
        self._as_written = as_written
        #: Names that were filled in, and where a text was only a reference to no text.
        self.used: set[str] = set()
        self.whole: set[tuple[str, int | None]] = set()

    def of_properties(self) -> Filling:
        """The same for what several groups share, and no parameter of one of them may fill."""
        values = {name: each for name, each in self.values.items() if name.startswith("property.")}
        shared = Filling(values, self._as_written, self.unset)
        shared.whole = self.whole
        return shared

    def filled(
        self, document: Document, is_later: Callable[[KeyPath], bool], collector: ProblemCollector
    ) -> Document:
        """The document with what its texts name; what has no meaning is noted."""
        if not any(f"${{{kind}." in document.text for kind in ("param", "property")):
            return document
        tables = [key for key, value in document.data.items() if isinstance(value, dict)]
        document.main = document.main or tuple(tables[:1])
        spot = Spot(document, (), collector)
        data = {
            key: self._filled(value, spot.at(key), is_later) for key, value in document.data.items()
        }
        collector.tell_no_more()
        return Document(document.name, document.text, data, document.main)

    def _filled(self, value: Any, spot: Spot, is_later: Callable[[KeyPath], bool]) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(each, spot.at(key), is_later) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each, spot.at(n), is_later) for n, each in enumerate(value)]
        if not isinstance(value, str) or "${" not in value or is_later(spot.path):
            return value
        place = (spot.document.name, spot.document.line(spot.path))
        found = re.fullmatch(_AT_LOADING, value)
        if found and found["name"] in self.values:
            native = _native(self.values[found["name"]])
            if not isinstance(native, str):
                self.whole.add(place)
                if place in self._as_written:
                    self.used.add(found["name"])
                    return native
        return re.sub(_AT_LOADING, lambda match: self._one(match, spot), value)

    def _one(self, match: re.Match[str], spot: Spot) -> str:
        name = match["name"]
        if name is None:  # `$$`, which is read later
            return match[0]
        if name in self.values:
            self.used.add(name)
            return as_text(self.values[name])
        if is_unread(name, self.values):
            spot.collector.tell_nothing_at(spot.document.name, spot.document.line(spot.path))
            return match[0]
        if (how := self.unset.get(name)) is not None:
            spot.wrong(f"${{{name}}} has no value: {how}")
        else:
            scope = Scope({}, frozenset(), frozenset(self.values))
            spot.wrong(scope.error(name) or f"unknown variable ${{{name}}}")
        return match[0]


def _native(value: Any) -> Any:
    """The number that a text writes: a value of the environment or of `-X` is always a text."""
    if not isinstance(value, str) or not re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", value):
        return value
    return float(value) if "." in value else int(value)


class Scope:
    """What the texts of one unit, or of `[env]`, may refer to.

    Args:
        ports: the ports of every enabled unit.
        environment: the variables that `${env.NAME}` may name.
        params: the parameters and properties, by their whole names: `param.size`,
            `property.server`.
        unit: the unit whose texts these are; None for `[env]` and `[[checks]]`.
        needs: tells the units whose events `${probe...}` may name; None where it cannot be used.
            A check may name all. Asked only where a text has such a reference.
        fixtures: those of the group.
        unaddressed: the units whose host has no address, with that host.
    """

    def __init__(
        self,
        ports: Mapping[str, tuple[str, ...]],
        environment: frozenset[str],
        params: frozenset[str] = frozenset(),
        unit: str | None = None,
        needs: Callable[[], frozenset[str]] | None = None,
        fixtures: tuple[Unit, ...] = (),
        unaddressed: Mapping[str, str] = EMPTY,
    ) -> None:
        self.unaddressed = unaddressed
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
        reached = () if is_check else self.ports.keys() - self.unaddressed.keys()
        names = {
            *(name for name in _FOLDERS if name != "unit.dir" or not is_check),
            *(f"env.{name}" for name in self.environment),
            *self.params,
            *(f"unit.{unit}.port.{port}" for unit, ports in self.ports.items() for port in ports),
            *(f"unit.{unit}.address" for unit in reached),
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
        if is_unread(name, self.names):
            return None
        for unit, host in self.unaddressed.items():
            if name == f"unit.{unit}.address":
                return f"${{{name}}}: host {host!r} has no address: add it to [hosts.{host}]"
        if name.startswith(_PROBE):
            return self._probe_error(name.removeprefix(_PROBE))
        for fixture in self.fixtures:
            if name.startswith(f"{fixture.name}.value."):
                usable = self.unit is not None or self.needs is not None
                return _value_error(name, fixture) if usable else _no_value_here(name)
        if name.startswith(_OWN_PREFIX) and self.unit is not None:
            return None
        if f"env.{name}" in self.names:
            return f"unknown variable ${{{name}}}: for the environment write ${{env.{name}}}"
        if name.isidentifier() and name.isupper():
            return f"unknown variable ${{{name}}}, and {name} is not set in the environment"
        known = sorted(each for each in {*self.names, *extra} if not each.endswith(f".{UNREAD}"))
        guess = did_you_mean(name, known, 0.8)
        if name.startswith("env."):
            return f"${{{name}}}: {name.removeprefix('env.')} is not set in the environment{guess}"
        if name.startswith("param.") and not any(one.startswith("param.") for one in self.params):
            return f"${{{name}}}: the group has no [matrix] with parameters"
        if name.startswith("property.") and not any(
            one.startswith("property.") for one in self.params
        ):
            return f"${{{name}}}: the project file has no [properties] with a value"
        return f"unknown variable ${{{name}}}{guess}"

    def _probe_error(self, rest: str) -> str | None:
        if self.needs is None:
            return f"${{{_PROBE}{rest}}} cannot be used here: write a fixed value"
        units = self.needs()
        if not any(rest.startswith(f"{unit}.") for unit in units):
            unit = rest.partition(".")[0]
            guess = did_you_mean(unit, sorted(units))
            where = "of this group" if self.unit is None else f"that {self.unit!r} depends on"
            return f"${{{_PROBE}{rest}}}: {unit!r} is not a unit {where}{guess}"
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


def check_texts(
    table: Table[Any], fields: Iterable[str], scope: Scope, extra: Iterable[str] = ()
) -> None:
    """The same for all texts in some fields of a table."""
    for field in fields:
        for spot, text in table.texts(field):
            check_text(text, spot, scope, extra)


def check_pattern(text: str, spot: Spot, scope: Scope) -> frozenset[str]:
    """Check a regular expression that may hold references; the names of its groups."""
    if not check_text(text, spot, scope):
        return frozenset()
    try:
        # The replacement of a value is as long as its name: then columns are those of the text.
        return frozenset(compiled(substitute(text, _stand_in), text).groupindex)
    except NotationError as error:
        spot.wrong(str(error))
        return frozenset()


def _stand_in(name: str) -> str:
    return "x" * (len(name) + len("${}"))


def check_unit_texts(
    files: Sequence[UnitFile],
    environment: Iterable[str],
    params: Iterable[str] = (),
    fixtures: tuple[Unit, ...] = (),
    unaddressed: Mapping[str, str] = EMPTY,
) -> None:
    """Note every `${...}` in the units' texts that names nothing.

    `environment` are inherited variables and those of `[env]`; for the others see `Scope`.
    """
    variables = frozenset(environment)
    ports = enabled_ports(files)
    every = tuple(file.name for file in files)
    needs = {
        file.name: every if file.is_unread("dependencies") else file["dependencies"]
        for file in files
    }
    for file in files:
        scope = Scope(
            ports if file["enabled"] else ports | {file.name: file.ports},
            variables,
            frozenset(params),
            file.name,
            partial(_all_needs, file.name, needs),
            fixtures,
            unaddressed,
        )
        check_texts(file, ("command", "env", "cwd", "paths", "args", "settings"), scope)
        check_texts(file, ("exit",), Scope({}, frozenset(), frozenset(params)))
        for step in file.inners("steps"):
            check_texts(step, ("do", "expect"), scope)
        for ready in file.inners("ready"):
            _check_ready(ready, scope)
        for probe in file.inners("probes"):
            _check_log_probe(probe, scope)


def check_exit_codes(
    files: Iterable[UnitFile], values: Mapping[str, Any], combinations: Iterable[Combination]
) -> None:
    """Note every text of `exit` from which a combination makes something else than an exit code.

    Args:
        files: the units of the group.
        values: by the whole name, those of properties.
        combinations: those of the matrix, whose parameters count too.
    """
    texts = [each for file in files for each in file.texts("exit") if "${" in each[1]]
    if not texts:  # there may be a thousand combinations, and this is asked in each
        return
    filled = {
        each.suffix: {**values, **{f"param.{name}": one for name, one in each.values.items()}}
        for each in combinations
    }
    for spot, text in texts:
        codes: dict[str, str] = {}  # with the first combination that has it
        for suffix, known in filled.items():
            with suppress(VariableError):  # told already
                codes.setdefault(substitute(text, partial(_text_of, known)), suffix)
        for code, suffix in codes.items():
            try:
                exit_code_of(code)
            except ValueError as error:
                where = f" in {suffix}" if suffix else ""
                spot.wrong(f"{text!r} is {code!r}{where}: {error}")


def _text_of(values: Mapping[str, Any], name: str) -> str:
    return as_text(values[name])


def enabled_ports(files: Iterable[UnitFile]) -> dict[str, tuple[str, ...]]:
    """The ports of every unit that is started."""
    return {file.name: file.ports for file in files if file["enabled"]}


def _all_needs(name: str, needs: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """All units on which a unit depends, over any number of steps."""
    found: set[str] = set()
    waiting = list(needs[name])
    while waiting:
        if (each := waiting.pop()) not in found:
            found.add(each)
            waiting.extend(needs.get(each, ()))
    return frozenset(found)


def _check_ready(ready: Table[Readiness], scope: Scope) -> None:
    for kind, fault in (("tcp", _tcp_fault), ("http", _http_fault), ("file", lambda _: "")):
        text = ready[kind] or ""
        if not text or not check_text(text, ready.at(kind), scope):
            continue
        # Where only ports are put in, it is known what they look like.
        if _names_only_ports(text) and (wrong := fault(substitute(text, lambda _: "1"))):
            ready.at(kind).wrong(f"{text!r}: {wrong}")
    for kind in ("log", "error"):
        for spot, text in ready.texts(kind):
            check_pattern(text, spot, scope)
    check_texts(ready, ("command", "settings"), scope)


def _names_only_ports(text: str) -> bool:
    return all(name.split(".")[-2:-1] == ["port"] for name in references(text))


def _tcp_fault(text: str) -> str:
    """Why this cannot be `PORT` or `HOST:PORT`, or ""."""
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return "must be a port, from 1 to 65535, or HOST:PORT"
    return "" if not colon or host.strip() else "must have a host before the ':'"


def _http_fault(text: str) -> str:
    """Why this cannot be asked over HTTP, or ""."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return f"is not a URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "must be a URL that begins with http://HOST or https://HOST"
    return "" if text.isprintable() and " " not in text else "must be a URL without spaces"


def _check_log_probe(probe: Table[LogProbe], scope: Scope) -> None:
    groups = check_pattern(probe["pattern"], probe.at("pattern"), scope)
    check_texts(probe, ("key", "meta"), scope, groups)
    texts = (probe["key"] or "", *probe["meta"].values())
    if groups and not any(f"${{{group}}}" in text for group in groups for text in texts):
        first = min(groups)
        probe.at("pattern").notice(
            f'its group {first!r} is not used: for the key of the event add key = "${{{first}}}"'
        )
