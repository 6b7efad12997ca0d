"""Arguments of entrypoints that Hypothesis draws: in the generator's process, and in units.

`serve` runs beside the runner and asks it to try examples, one JSON line each over its standard
input and output:

    <- {"folders": [...], "units": {"client": "test_case:client"}, "examples": 50, "seed": 1,
        "database": "...", "file": "...", "orders": 0}
    -> {"units": ["client"]}
    -> {"text": {"client": "[('put', 1)]"}, "order": 0}     the file holds the arguments
    <- {"failed": "lost at worker:done"}                     or "", where it did not fail
    -> {"done": {"client": "[]"} or null, "flaky": ""}       the smallest that fails
    -> {"error": "..."}                                      in place of any of them
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import random
import sys
from collections.abc import Mapping
from typing import IO, Any

from testrium.probe.environment import GENERATED, RUN, UNIT
from testrium.system.platform import system
from testrium.tracebacks import error_with_place

#: How many examples are drawn for a plain run: the first ones are the simplest.
_DRAWN = 10

#: Characters of an argument that are shown.
_LONGEST = 20_000


def argument(strategy: Any) -> Any:
    """The argument of the entrypoint of this process."""
    path = os.environ.get(GENERATED)
    if path:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            return pickle.load(file)[os.environ[UNIT]]  # noqa: S301 - the runner's own
    value = _drawn(strategy)
    print(f"testrium: generated {value!r}")  # noqa: T201 - it goes to the unit's log
    return value


def _drawn(strategy: Any) -> Any:
    from hypothesis import HealthCheck, Phase, given, seed, settings

    values: list[Any] = []

    @seed(random.Random(os.environ.get(RUN)).getrandbits(32))  # noqa: S311 - one for each run
    @settings(
        max_examples=_DRAWN,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(value: Any) -> None:
        values.append(value)

    draw()
    return values[-1]


class _GivenUpError(Exception):
    """The runner wants no more examples."""


class _Wire:
    """The lines to the runner and from it."""

    def __init__(self, reading: IO[str], writing: IO[str]) -> None:
        self._reading, self._writing = reading, writing

    def tell(self, **message: Any) -> None:
        self._writing.write(json.dumps(message) + "\n")
        self._writing.flush()

    def receive(self) -> dict[str, Any]:
        """The next line. Raises _GivenUpError: there is none."""
        line = self._reading.readline()
        if not line:
            raise _GivenUpError
        answer: dict[str, Any] = json.loads(line)
        return answer


def serve(runner: int) -> None:
    """Draw examples and have them tried; ends with its standard input. `runner` is the parent."""
    system.die_with_parent(runner)
    wire = _Wire(os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)  # what the group's code prints
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        order = wire.receive()
        sys.path[:0] = order["folders"]
        strategies = {
            unit: strategy
            for unit, reference in order["units"].items()
            if (strategy := _strategy(reference)) is not None
        }
        wire.tell(units=list(strategies))
        if strategies:
            _search(wire, order, strategies)
    except _GivenUpError:
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the group's code
        wire.tell(error=error_with_place(error))


def _strategy(reference: str) -> Any:
    module, _, name = reference.partition(":")
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    return getattr(function, "testrium_strategy", None)


def _search(wire: _Wire, order: Mapping[str, Any], strategies: Mapping[str, Any]) -> None:
    from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
    from hypothesis import strategies as st
    from hypothesis.database import DirectoryBasedExampleDatabase
    from hypothesis.errors import Flaky

    last: dict[str, str] = {}
    kinds: dict[str, type[Exception]] = {}

    @settings(
        max_examples=order["examples"],
        phases=[Phase.reuse, Phase.generate, Phase.shrink],
        database=DirectoryBasedExampleDatabase(order["database"]),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
    )
    @seed(order["seed"])  # above the settings it would take the database away
    @given(st.fixed_dictionaries(dict(strategies)), st.integers(0, order["orders"]))
    def example(arguments: dict[str, Any], number: int) -> None:
        last.clear()
        last.update({unit: repr(value)[:_LONGEST] for unit, value in arguments.items()})
        with open(order["file"], "wb") as file:  # noqa: PTH123
            pickle.dump(arguments, file)
        wire.tell(text=last, order=number)
        if failed := wire.receive()["failed"]:
            # Hypothesis tells failures apart by the type and the line of what is raised.
            raise kinds.setdefault(failed, type("Failed", (_FailedError,), {}))(failed)

    try:
        example()
    except _FailedError:
        wire.tell(done=last, flaky="")
    except Flaky as error:
        wire.tell(done=last, flaky=str(error).partition("\n")[0])
    else:
        wire.tell(done=None, flaky="")


class _FailedError(Exception):
    """The run of an example has failed."""
