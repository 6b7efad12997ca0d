"""Every module of ours that is loaded by its name in a text: what other processes start with.

An import contract does not see such names, so they stand here and nowhere else. The commands of the
command line are the one other list, in `cli.main`, beside their help. Of other packages one part is
loaded so, see `compiled_core`.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

# What the programs of a run call first: `module:function`.
SUPERVISOR = "testrium.run.supervisor.server:main"
SPAWNING_SUPERVISOR = "testrium.run.supervisor.spawn:main"
#: It calls entrypoints, and reports what they raise.
UNIT_PROGRAM = "testrium.run.supervisor.program"
SPAWNED_UNIT = f"{UNIT_PROGRAM}:run_spawned_unit"
FRESH_UNIT = "testrium.run.supervisor.keeper:run_fresh_unit"
#: What the far end of a host's pipe runs.
AGENT = "testrium.run.hosts.agent:serve"
PLUGIN_WRITER = "testrium.report.plugin_writer:serve"

# Entrypoints of units that Testrium itself adds to a group, or that belong to a kind.
LINKS = "testrium.run.faults.links.process:serve"
OTLP_RECEIVER = "testrium.run.telemetry.receiver:serve"
TAPS = "testrium.run.faults.links.tapping:serve"
GENERATOR = "testrium.testing.generating:serve"
TEST_FUNCTIONS = "testrium.run.test_runner:serve"
PLUGIN_UNIT = "testrium.plugins.in_unit:run_unit"
SUITES: Mapping[str, str] = {
    "pytest": "testrium.suites.pytest_suite:main",
    "unittest": "testrium.suites.unittest_suite:main",
    "doctest": "testrium.suites.doctest_suite:main",
    "manual": "testrium.suites.manual:main",
}

#: The module that `python -m` runs to ask a plugin whether its unit is ready.
PLUGIN_READINESS = "testrium.plugins.in_unit"

#: What the supervisor imports for the units that it forks, and has no use for itself.
PRELOADED = (
    "logging",
    "testrium.classic.events",
    "testrium.classic.in_run",
    "testrium.probe",
    "testrium.probe.waiting",
)


def import_of(reference: str) -> str:
    """The statement that imports what `reference` names, for `python -c`."""
    module, function = reference.split(":")
    return f"from {module} import {function}"


_PYDANTIC_CORE = "pydantic_core"
_COMPILED = f"{_PYDANTIC_CORE}._pydantic_core"


#: What Testrium uses of it.
_USED = ("SchemaValidator", "ValidationError", "from_json", "to_json")


def compiled_core() -> ModuleType:
    """The compiled part of `pydantic_core`: it validates, and reads and writes JSON.

    The package around it makes a TypedDict of each kind of schema, for type checkers. Importing
    that takes longer than loading a group, and no run needs it; a later import of it finds its
    compiled part here. Where a version of the package has no such part, or one that needs the
    package or has other names, the package itself is imported: it has these names for everyone.
    """
    module = sys.modules.get(_COMPILED) or _alone()
    if module is None:
        package = importlib.import_module(_PYDANTIC_CORE)
        module = sys.modules.get(_COMPILED, package)
    complete = all(hasattr(module, name) for name in _USED)
    return module if complete else importlib.import_module(_PYDANTIC_CORE)


def _alone() -> ModuleType | None:
    """The compiled part without its package; None where it is not to be had so."""
    if _PYDANTIC_CORE in sys.modules:  # it is being imported
        return None
    package = PathFinder.find_spec(_PYDANTIC_CORE)
    spec = package and PathFinder.find_spec(_COMPILED, package.submodule_search_locations)
    if not spec or spec.loader is None:
        return None
    from importlib.util import module_from_spec  # no process but the runner's needs it

    module = sys.modules[_COMPILED] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError:
        del sys.modules[_COMPILED]
        return None
    return module
