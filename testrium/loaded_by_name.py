"""Every module of ours that is loaded by its name in a text: what other processes start with.

An import contract does not see such names, so they stand here and nowhere else. The commands of the
command line are the one other list, in `cli.main`, beside their help.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

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

# Entrypoints of units that Testrium itself adds to a group, or that stand for a kind.
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
