"""A group as its `config.toml` declares it, and the scenarios that are run from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from testrium.declared.checks import Check
from testrium.declared.circuits import Circuit, Rules
from testrium.declared.faults import (
    Chaos,
    Fault,
)
from testrium.declared.metrics import Metric
from testrium.declared.units import Unit
from testrium.errors import Problem
from testrium.words import (
    EMPTY,
)


class Combination(NamedTuple):
    """One value, as text, of each parameter of the `[matrix]`.

    One that is not `primary` is run only with `--all-modes`.
    """

    params: Mapping[str, str]
    primary: bool = True

    @property
    def suffix(self) -> str:
        """What it adds to the group's id: `[browser=a,size=1]`."""
        values = ",".join(f"{name}={value}" for name, value in self.params.items())
        return f"[{values}]" if values else ""


class Monitored(NamedTuple):
    """Processes of others to be sampled: the one with `pid`, or all whose command line matches.

    `name` is under what their samples are stored, as those of units are. `process` is a regular
    expression.
    """

    name: str
    pid: int | None = None
    process: str | None = None


class Group(NamedTuple):
    """A folder with `config.toml` and `units/*.toml`, as declared."""

    id: str
    folder: Path
    units: tuple[Unit, ...]
    enabled: bool = True
    timeout_s: float = 30.0
    repeat: int = 0
    debug_modes: tuple[str, ...] = ("DEBUG", "INFO", "WARNING", "EXCEPT")
    test_modes: tuple[str, ...] = ("DEBUG",)
    diagnostics: bool = True
    detect_bad_behavior: bool = True
    save_resume: bool = True
    gen_metrics: bool = True
    save_metrics: bool = True
    save_scores: bool = True
    use_ai: bool = False
    title: str = ""
    purpose: str = ""
    tags: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    skip: str = ""
    requires: tuple[str, ...] = ()
    expect_fail: str = ""
    order: int = 0
    exclusive: bool = False
    fixtures: tuple[str, ...] = ()
    inherit_env: bool = True
    env: Mapping[str, str] = EMPTY
    rules: Rules = Rules()
    circuits: tuple[Circuit, ...] = ()
    faults: tuple[Fault, ...] = ()
    chaos: Chaos | None = None
    checks: tuple[Check, ...] = ()
    metrics: tuple[Metric, ...] = ()
    monitors: tuple[Monitored, ...] = ()
    #: What `fixtures` names. Every unit of a scenario depends on all of them.
    fixture_units: tuple[Unit, ...] = ()
    #: Empty without `[matrix]`: then there is one result for each mode and repeat.
    matrix: tuple[Combination, ...] = ()
    has_setup: bool = False
    has_teardown: bool = False
    #: The modules with `test_*` functions or callbacks, test_case (which may define more) first.
    test_modules: tuple[str, ...] = ()
    notices: tuple[Problem, ...] = ()

    @property
    def linked_ports(self) -> Mapping[str, tuple[str, ...]]:
        """The ports, by unit, that everybody else reaches through a link: some fault breaks it."""
        ports: dict[str, dict[str, None]] = {}
        for fault in self.faults:
            if fault.port is not None:
                ports.setdefault(fault.unit, {})[fault.port] = None
        return {unit: tuple(names) for unit, names in ports.items()}


class Scenario(NamedTuple):
    """One result to be: a group in one mode, one combination of parameters, one repeat.

    `units` holds the enabled units in start order (dependencies first, ties by init). `skip` is
    the reason why it is not run, or "". `folder_name` is its folder below the run's folder, with
    `/`. `unmet` is the requirement that is missing where `--strict` makes that an error, or "".
    """

    id: str
    group: Group
    units: tuple[Unit, ...]
    mode: str = "DEBUG"
    params: Mapping[str, str] = EMPTY
    repeat: int = 0
    skip: str = ""
    folder_name: str = ""
    unmet: str = ""
    #: How much worse (0.2: 20 %) figures may be than in earlier runs, where [metrics] does not say.
    max_regression: float | None = None
