"""The texts of units that may hold `${...}`, each checked where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from urllib.parse import urlsplit

from testrium.declared.units import Unit
from testrium.load.references import Scope, check_pattern, check_text
from testrium.load.shape import Reading
from testrium.load.suites import check_suite_texts
from testrium.load.unit_files import UnitFile
from testrium.variables import references, substitute


def check_unit_texts(
    files: Sequence[UnitFile],
    environment: Iterable[str],
    params: Iterable[str] = (),
    fixtures: tuple[Unit, ...] = (),
) -> None:
    """Note every `${...}` in the units' texts that names nothing.

    Args:
        files: the units of the group.
        environment: the variables that `${env.NAME}` may name: inherited ones and `[env]`.
        params: the parameters of the matrix.
        fixtures: those of the group.
    """
    variables = frozenset(environment)
    ports = enabled_ports(files)
    needs = {file.name: file["dependencies"] for file in files}
    for file in files:
        scope = Scope(
            ports if file["enabled"] else ports | {file.name: file["ports"]},
            variables,
            frozenset(params),
            file.name,
            partial(_all_needs, file.name, needs),
            fixtures,
        )
        for index, word in enumerate(file["command"] or ()):
            check_text(word, file.at("command").at(index), scope)
        for name, text in file["env"].items():
            check_text(text, file.at("env").at(name), scope)
        check_text(file["cwd"] or "", file.at("cwd"), scope)
        check_suite_texts(file, scope)
        if file["ready"] is not None:
            _check_ready(file["ready"], scope)
        for probe in file["probes"]:
            _check_log_probe(probe, scope)


def enabled_ports(files: Iterable[UnitFile]) -> dict[str, tuple[str, ...]]:
    """The ports of every unit that is started."""
    return {file.name: file["ports"] for file in files if file["enabled"]}


def _all_needs(name: str, needs: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """All units on which a unit depends, over any number of steps."""
    found: set[str] = set()
    waiting = list(needs[name])
    while waiting:
        if (each := waiting.pop()) not in found:
            found.add(each)
            waiting.extend(needs.get(each, ()))
    return frozenset(found)


def _check_ready(ready: Reading, scope: Scope) -> None:
    for kind, fault in (("tcp", _tcp_fault), ("http", _http_fault), ("file", lambda _: "")):
        text = ready[kind] or ""
        if not text or not check_text(text, ready.at(kind), scope):
            continue
        # Where only ports are put in, it is known what they look like.
        if _names_only_ports(text) and (wrong := fault(substitute(text, lambda _: "1"))):
            ready.at(kind).wrong(f"{text!r}: {wrong}")
    if ready["log"]:
        check_pattern(ready["log"], ready.at("log"), scope)
    for index, word in enumerate(ready["command"] or ()):
        check_text(word, ready.at("command").at(index), scope)
    for name, text in ready["settings"].items():
        check_text(text, ready.at("settings").at(name), scope)


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
        return f"is no URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "must be a URL that begins with http://HOST or https://HOST"
    return "" if text.isprintable() and " " not in text else "must be a URL without spaces"


def _check_log_probe(probe: Reading, scope: Scope) -> None:
    groups = check_pattern(probe["log"] or "", probe.at("log"), scope)
    check_text(probe["key"] or "", probe.at("key"), scope, groups)
    for name, text in probe["meta"].items():
        check_text(text, probe.at("meta").at(name), scope, groups)
