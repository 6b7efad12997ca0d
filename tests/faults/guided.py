"""Fuzzes one reader as its coverage leads: python guided.py READER FOLDER [options of libFuzzer].

A program of its own, which `test_guided.py` starts: libFuzzer ends its process. It stops at the
first exception that a reader does not mean, and at an input that takes too long; FOLDER is for
what the reader needs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

atheris: Any = import_module("atheris")  # by name: it is installed where somebody wants it

with atheris.instrument_imports(include=["testrium", "tomllib"]):
    from testrium.declared.circuits import RouteError, parse_hop
    from testrium.errors import ConfigError, UsageError
    from testrium.load import load_groups
    from testrium.plan.scenarios import plan_scenarios
    from testrium.plan.selection import Selection
    from testrium.record.probe_file import BadLineError, parse_line

UNIT = '["{name}"]\ninit = {init}\nentrypoint = "test_case:main"\n'


def groups(place: Path) -> Callable[[bytes], None]:
    """The loader: the input is a config.toml."""
    (place / "units").mkdir()
    (place / "test_case.py").write_text("def main(): pass\n")
    for init, name in enumerate("ab"):
        (place / "units" / f"{name}.toml").write_text(UNIT.format(name=name, init=init))

    def read(content: bytes) -> None:
        (place / "config.toml").write_bytes(content)
        try:
            plan_scenarios(load_groups([], cwd=place), Selection())
        except (ConfigError, UsageError) as error:
            if not str(error):
                raise RuntimeError("refused without a word") from error

    return read


def routes(_: Path) -> Callable[[bytes], None]:
    """The parser of hops."""

    def read(content: bytes) -> None:
        try:
            parse_hop(content.decode(errors="surrogateescape"))
        except RouteError as error:
            if "column" not in str(error):
                raise RuntimeError("refused without a place") from error

    return read


def lines(_: Path) -> Callable[[bytes], None]:
    """The reader of probe files."""

    def read(content: bytes) -> None:
        try:
            parse_line(content)
        except BadLineError as error:
            str(error).encode()

    return read


READERS = {"groups": groups, "routes": routes, "lines": lines}

if __name__ == "__main__":
    program, reader, folder, *options = sys.argv
    atheris.Setup([program, *options], READERS[reader](Path(folder)))
    atheris.Fuzz()
