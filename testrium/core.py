"""Old import path: the command line as a function, its exit codes, and its parts."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from testrium.classic.events import (
    EVENT_DB_ENV,
    Events_Manager,
    Results_Manager,
    UnitStatus_Manager,
)
from testrium.classic.groups import (
    discover_tests,
    load_config,
    load_special_callbakcs,
    load_test_functions,
    resolve_template,
)
from testrium.classic.running import (
    build_parser,
    call_tail_function,
    handle_exception,
    print_summary,
    run_group,
    run_setup,
    run_test_functions,
    run_unit_processes,
)
from testrium.cli.main import entry
from testrium.errors import ExitCode

EXIT_SUCCESS = int(ExitCode.SUCCESS)

EXIT_FAILURE = int(ExitCode.FAILURE)

EXIT_NO_TESTS = int(ExitCode.NO_GROUPS)

EXIT_CONFIG_ERROR = int(ExitCode.CONFIG_ERROR)

__all__ = [
    "EVENT_DB_ENV",
    "EXIT_CONFIG_ERROR",
    "EXIT_FAILURE",
    "EXIT_NO_TESTS",
    "EXIT_SUCCESS",
    "Events_Manager",
    "Results_Manager",
    "UnitStatus_Manager",
    "build_parser",
    "call_tail_function",
    "discover_tests",
    "handle_exception",
    "load_config",
    "load_special_callbakcs",
    "load_test_functions",
    "main",
    "print_summary",
    "resolve_template",
    "run_cli",
    "run_group",
    "run_setup",
    "run_test_functions",
    "run_unit_processes",
]


def run_cli(argv: Sequence[str] | None = None) -> int:
    """Run the command line with these arguments (None: those of the process).

    Returns:
        The exit code.
    """
    return int(entry(sys.argv[1:] if argv is None else list(argv)))


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run_cli())


if __name__ == "__main__":
    main()
