"""Old import path: the parts of `testrium.core` that programs call one by one.

Groups run as they do with `testrium run`. Functions and callbacks that are passed in run where they
are called, as they did.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from testrium.classic.groups import imported
from testrium.declared.groups import Scenario
from testrium.errors import ConfigError
from testrium.judging.group import classic_results
from testrium.plan.selection import Selection
from testrium.results import GroupResult, SilentObserver
from testrium.session import Request, load, plan, run_scenario
from testrium.words import Verdict

__all__ = [
    "build_parser",
    "call_tail_function",
    "handle_exception",
    "print_summary",
    "run_group",
    "run_setup",
    "run_test_functions",
    "run_unit_processes",
]


def build_parser() -> argparse.ArgumentParser:
    """A parser of the command line as 0.3.0 had it; `run_cli` takes more."""
    parser = argparse.ArgumentParser(prog="testrium", description="Testrium CLI")
    parser.add_argument("-v", "--verbose", action="store_true", help="Show logs")
    parser.add_argument("--less", nargs="+", help="Groups to leave out, by name")
    commands = parser.add_subparsers(dest="command", help="Commands")
    commands.add_parser("run", help="Run the groups")
    benchmark = commands.add_parser("benchmark", help="Measure this machine")
    benchmark.add_argument("--database", help="Store the score in this SQLite file")
    benchmark.add_argument("--iterations", type=int, default=3, help="Measure this often")
    old = commands.add_parser("gen-configs", help="Make a group of two units")
    old.add_argument("gen_path", nargs="?", default=None, help="The folder of the group")
    generate = commands.add_parser("gen", help="Make a group from a template")
    generate.add_argument("type", choices=["config-template"], help="The template")
    generate.add_argument("gen_path", nargs="?", default=".", help="The folder of the group")
    return parser


def run_group(
    base_dir: str | os.PathLike[str],
    dir_name: str,
    units: Sequence[Mapping[str, Any]],
    verbose: bool,
) -> dict[str, Any]:
    """Run one group, in its first mode.

    Args:
        base_dir: the folder that the group is in; the state folder is found from there.
        dir_name: the group's folder below it.
        units: those that the group has, as `discover_tests` gives them.
        verbose: print the output of the units.

    Returns:
        `name`, `passed`, `duration` (seconds), `tests` (as `tests_results` callbacks get them),
        `required` (`completed`, `missing`), `correlations`, and `runtime_db`, the store's path.

    Raises:
        ValueError: the group is wrong, or has other units.
    """
    scenario, result = _run(base_dir, dir_name, units, _Printing(verbose=verbose))
    data = _data(scenario, result)
    return {
        "name": dir_name,
        "passed": result.verdict in _PASSED,
        "duration": result.duration_s,
        "tests": data["tests_results"],
        "required": {"completed": data["events_completed"], "missing": data["events_missing"]},
        "correlations": data["correlations"],
        "runtime_db": str(_store(result)),
    }


def run_unit_processes(
    base_dir: str | os.PathLike[str],
    dir_name: str,
    units: Sequence[Mapping[str, Any]],
    configs: Mapping[str, Any],
    runtime_path: str | os.PathLike[str],
    runtime_db: str | os.PathLike[str],
) -> dict[str, Any]:
    """Run the units of one group, without its test functions and callbacks.

    Args:
        base_dir: the folder that the group is in.
        dir_name: the group's folder below it.
        units: those that the group has, as `discover_tests` gives them.
        configs: as `load_config` gives them; their `timeout` holds.
        runtime_path: a folder, which is made if need be.
        runtime_db: where to copy the store.

    Returns:
        `used_entrypoints`, `passed`, `duration` (seconds), `unit_results` (`name`, `passed`,
        `status`, `exitcode`) and `failures` (`unit`, `reason`).

    Raises:
        ValueError: the group is wrong, or has other units.
    """
    timeout_s = float(configs.get("Configs", configs).get("timeout", 30))

    def only_units(scenario: Scenario) -> Scenario:
        group = replace(scenario.group, test_modules=(), timeout_s=timeout_s)
        return scenario._replace(group=group)

    scenario, result = _run(base_dir, dir_name, units, _Printing(verbose=False), only_units)
    tests = _data(scenario, result)["tests_results"]
    details = tests[0]["details"] if tests else []
    os.makedirs(runtime_path, exist_ok=True)  # noqa: PTH103 - a text mostly
    with (
        closing(sqlite3.connect(_store(result))) as store,
        closing(sqlite3.connect(runtime_db)) as copy,
    ):
        store.backup(copy)
    return {
        "used_entrypoints": bool(details),
        "passed": result.verdict in _PASSED,
        "duration": result.duration_s,
        "unit_results": details,
        "failures": [
            {"unit": finding.unit or finding.where, "reason": finding.message}
            for finding in result.judgement.findings
        ],
    }


def run_setup(setup_path: str | os.PathLike[str]) -> None:
    """Import a file and call its `main()`, here. Raises what that raises."""
    imported(Path(setup_path)).main()


def run_test_functions(
    test_functions: Mapping[str, Callable[[], object]],
    extra_condition_fn: Callable[[str], object] | None,
) -> tuple[bool, list[dict[str, Any]]]:
    """Call test functions here, by their `priority`.

    Args:
        test_functions: by name, as `load_test_functions` gives them.
        extra_condition_fn: called with the name of each that passed, as `validate_test` is.

    Returns:
        Whether all passed, and for each `name`, `passed` and `total_time` (seconds).
    """
    results = []
    for name, function in sorted(
        test_functions.items(), key=lambda item: int(getattr(item[1], "testrium_priority", 0))
    ):
        started = time.time()
        print(f"Running test: {name}")  # noqa: T201 - as 0.3.0 did
        try:
            function()
            if extra_condition_fn is not None:
                answer = extra_condition_fn(name)
                assert answer is None or answer, f"validate_test returned {answer!r}"
        except Exception as error:  # noqa: BLE001 - user code: what it raises is a result
            results.append(handle_exception(name, started, error))
            continue
        took_s = time.time() - started
        print(f"{name}: PASSED in {took_s:.2f} seconds")  # noqa: T201
        results.append({"name": name, "passed": True, "total_time": took_s})
    return all(result["passed"] for result in results), results


def handle_exception(test_name: str, start_time: float, error: object) -> dict[str, Any]:
    """Print that a test that began at `start_time` (`time.time()`) failed; returns its result."""
    took_s = time.time() - start_time
    print(f"{test_name}: FAILED in {took_s:.2f} seconds\nError: {error}")  # noqa: T201
    return {"name": test_name, "passed": False, "total_time": took_s}


def call_tail_function(
    tests_results: Sequence[Mapping[str, Any]],
    events_completed: Sequence[Mapping[str, Any]],
    events_missing: Sequence[Mapping[str, Any]],
    correlations: Mapping[str, Any],
    tail_fn: Callable[[dict[str, Any]], object],
) -> bool:
    """Call a `tests_results` callback with its dictionary; whether it returned something truthy."""
    data = {
        "duration": sum(result["total_time"] for result in tests_results),
        "passed": all(result["passed"] for result in tests_results),
        "tests_results": tests_results,
        "events_completed": events_completed,
        "events_missing": events_missing,
        "correlations": correlations,
    }
    return bool(tail_fn(data))


def print_summary(results: Iterable[Mapping[str, Any]]) -> None:
    """Print what `run_group` has returned for each group."""
    for result in results:
        lines = [f"{result['name']}:", f"Elapsed time: {result['duration']:.4f}s"]
        lines += [
            f"  - {'PASS' if test['passed'] else 'FAIL'} {test['name']}" for test in result["tests"]
        ]
        if store := result.get("runtime_db"):
            lines.append(f"Runtime DB: {store}")
        lines.append("  All checks passed" if result["passed"] else "  Scenario failed")
        print("\n".join(lines))  # noqa: T201 - what it is for


_PASSED = (Verdict.PASS, Verdict.SKIP, Verdict.XFAIL)


class _Printing(SilentObserver):
    """Watches a run, and prints the output of its units where that is wanted."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose

    def unit_output(self, scenario: Scenario, unit: str, text: str) -> None:  # noqa: ARG002
        print(f"{unit}: {text}")  # noqa: T201 - what `verbose` is for


def _run(
    base_dir: str | os.PathLike[str],
    dir_name: str,
    units: Sequence[Mapping[str, Any]],
    printing: _Printing,
    changed: Callable[[Scenario], Scenario] = lambda scenario: scenario,
) -> tuple[Scenario, GroupResult]:
    base = Path(base_dir).resolve()
    try:
        project, groups = load((str(base / dir_name),), base)
    except ConfigError as error:
        raise ValueError("; ".join(map(str, error.problems))) from error
    (scenario, *_) = plan(groups, Selection(), 0)
    names = sorted(unit["name"] for unit in units)
    if names != sorted(unit.name for unit in scenario.group.units):
        raise ValueError(f"the units of {dir_name} are not {', '.join(names)}")
    request = Request(
        paths=(dir_name,),
        cwd=base,
        selection=Selection(),
        observer=printing,
        verbose=printing.verbose,
    )
    scenario = changed(scenario)
    return scenario, run_scenario(request, project, scenario).groups[0]


def _data(scenario: Scenario, result: GroupResult) -> Mapping[str, Any]:
    return classic_results(scenario, _store(result), result.duration_s)


def _store(result: GroupResult) -> Path:
    if result.run_dir is None:
        raise ValueError(f"{result.scenario.id} was not run: {result.reason}")
    return result.run_dir / "Data.db"
