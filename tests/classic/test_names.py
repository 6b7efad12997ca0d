"""The public names of 0.3.0, recorded from it: all are there, with its parameters."""

from __future__ import annotations

import importlib
import inspect
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testrium import core
from testrium.common import loaders
from testrium.common.generator.main import resolve_generation_path, resolve_template
from testrium.common.sql_pool import SQLiteConnectionPool
from testrium.modules.events import Events_Manager, Results_Manager, UnitStatus_Manager

NAMES = {
    "testrium.core": """
        EVENT_DB_ENV
        EXIT_CONFIG_ERROR
        EXIT_FAILURE
        EXIT_NO_TESTS
        EXIT_SUCCESS
        Events_Manager(Unit, path)
        Results_Manager(path)
        UnitStatus_Manager(path)
        build_parser()
        discover_tests(base_dir, exclude_tests, strict)
        load_config(config_path)
        load_special_callbakcs(dir_path)
        load_test_functions(dir_path)
        resolve_template(type, path)
        call_tail_function(tests_results, events_completed, events_missing, correlations, tail_fn)
        handle_exception(test_name, start_time, error)
        main()
        print_summary(results)
        run_cli(argv)
        run_group(base_dir, dir_name, units, verbose)
        run_setup(setup_path)
        run_test_functions(test_functions, extra_condition_fn)
        run_unit_processes(base_dir, dir_name, units, configs, runtime_path, runtime_db)
    """,
    "testrium.modules.events": """
        EVENT_DB_ENV
        Events_Manager(Unit, path)
        Events_Manager.drop_events_table()
        Events_Manager.list_events(unit)
        Events_Manager.List_Events()
        Events_Manager.Set_Event(step, event_type, kwargs)
        Events_Manager.completed_steps(unit)
        Events_Manager.wait_for_event(step, unit, timeout, poll_interval)
        Events_Manager.verify_required_events(units)
        Events_Manager.correlate_send_receive()
        Results_Manager(path)
        Results_Manager.store_result(test_group, passed, duration, average_latency, summary)
        UnitStatus_Manager(path)
        UnitStatus_Manager.set_status(unit, status)
        UnitStatus_Manager.get_status(unit)
        UnitStatus_Manager.list_statuses()
        VALID_EVENT_TYPES
        resolve_database_path(path)
    """,
    "testrium.common.loaders": """
        normalize_config(config)
        normalize_unit_config(config, unit_name)
        validate_unit_collection(units, configured_units)
        discover_tests(base_dir, exclude_tests, strict)
        load_config(config_path)
        load_special_callbakcs(dir_path)
        load_test_functions(dir_path)
        resolve_units(path, config_path)
    """,
    "testrium.common.utils": """
        log_test_time(func)
        print_banner(message, color)
        suppress_output()
        test_config(priority, parallelize)
        verify_condition(condition, message)
    """,
    "testrium.common.validate_configs": """
        CONFIG_DEFAULTS
        LEGACY_CONFIG_KEYS
        LEGACY_UNIT_KEYS
        UNIT_DEFAULTS
        VALID_DEBUG_MODES
        VALID_IN_EXCEPT
        normalize_config(config)
        normalize_unit_config(config, unit_name)
        validate_config(config)
        validate_unit(config)
        validate_unit_collection(units, configured_units)
    """,
    "testrium.common.sql_pool": """
        SQLiteConnectionPool(max_connections, database_path)
        SQLiteConnectionPool.get_connection()
        SQLiteConnectionPool.release_connection(connection)
        SQLiteConnectionPool.close_all_connections()
    """,
    "testrium.common.generator.main": """
        resolve_generation_path(path)
        resolve_template(type, path)
    """,
    "testrium.tools.benchmark": """
        BenchmarkResult(machine_id, cpu_score, memory_score, disk_score, io_score, score)
        BenchmarkResult.to_dict()
        calculate_machine_score(cpu_score, memory_score, disk_score, io_score)
        cpu_benchmark(iterations)
        disk_benchmark(iterations, size_kb)
        get_machine_id()
        io_benchmark(iterations, lines)
        memory_benchmark(iterations)
        normalize_duration(duration, machine_score, baseline_score)
        run_machine_benchmark(machine_id, iterations)
        save_benchmark_result(database_path, result)
    """,
}


def parameters_of(line: str) -> list[str]:
    inside = line.partition("(")[2].rstrip(")")
    return [name for name in inside.split(", ") if name and name != "kwargs"]


@pytest.mark.parametrize("module", NAMES)
def test_each_name_takes_the_parameters_that_it_took(module: str) -> None:
    for line in NAMES[module].split("\n"):
        name = line.strip().partition("(")[0]
        found: Any = importlib.import_module(module)
        for part in name.split(".") if name else ():
            found = getattr(found, part)
        if wanted := parameters_of(line):
            assert set(wanted) <= set(inspect.signature(found).parameters), line
        assert "(" not in line or callable(found)


def test_what_is_gone_says_what_took_its_place() -> None:
    with pytest.warns(UserWarning, match="`testrium serve` took its place"):
        importlib.import_module("testrium.tools.dashborad")
    with pytest.raises(ImportError, match="`testrium serve` took its place"):
        from testrium.tools.dashborad import app  # noqa: F401
    done = subprocess.run(
        [sys.executable, "-m", "testrium.tools.dashborad", "--help"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Usage: testrium serve" in done.stdout


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A group whose one test of three fails."""
    group = tmp_path / "test_a"
    (group / "units").mkdir(parents=True)
    (group / "config.toml").write_text('["Configs"]\nunits = ["a"]\ntimeout = 9\n')
    unit = '["a"]\ninit = 0\nentrypoint = "test_case:a"\nevents = ["ready"]\n'
    (group / "units" / "a.toml").write_text(unit)
    (group / "test_case.py").write_text(
        """
from testrium.common.utils import test_config
from testrium.modules.events import Events_Manager
def a():
    Events_Manager(Unit="a", path=".").Set_Event("ready")
def test_fine():
    pass
def tests_results(data):
    return True
"""
    )
    (group / "more.py").write_text(
        """
from testrium.common.utils import test_config
@test_config(priority=-1)
def test_wrong():
    assert 0, "why"
def validate_test(name):
    return True
"""
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_functions_and_callbacks_of_a_folder(base: Path) -> None:
    assert list(loaders.load_test_functions(base / "test_a")) == ["test_fine", "test_wrong"]
    callbacks = loaders.load_special_callbakcs(str(base / "test_a"))
    assert list(callbacks) == ["validate_test", "tests_results"]
    assert all(callable(each) for each in callbacks.values())
    (base / "test_a" / "more.py").unlink()
    assert loaders.load_special_callbakcs(base / "test_a")["validate_test"] is None
    for load in (loaders.load_test_functions, loaders.load_special_callbakcs):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            load(base / "nowhere")


def test_units_of_a_config(base: Path) -> None:
    config = base / "test_a" / "config.toml"
    (unit,) = loaders.resolve_units(base / "test_a" / "units", config)
    assert (unit["name"], unit["events"], unit["ready_timeout"]) == ("a", ["ready"], 10)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        loaders.resolve_units(base / "nowhere", config)
    (base / "test_a" / "units" / "a.toml").write_text("[b]\n")
    with pytest.raises(ValueError, match=r"a.toml has no table \[a\]"):
        loaders.resolve_units(base / "test_a" / "units", config)


def test_a_group_and_its_units_run_one_by_one(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a process of its own: the supervisor must not inherit what pytest has open."""
    code = """
import json, sys
from testrium import core
from testrium.common import loaders
((name, units),) = loaders.discover_tests(".", [])
group = core.run_group(".", name, units, False)
configs = loaders.load_config("test_a/config.toml")
alone = core.run_unit_processes(".", name, units, configs, "copy", "copy/Data.db")
json.dump([group, alone], sys.stdout)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=base
    )
    group, alone = json.loads(done.stdout)
    details = [{"name": "a", "passed": True, "status": "finished", "exitcode": 0}]
    assert (group["name"], group["passed"]) == ("test_a", False)
    assert [(test["name"], test["passed"]) for test in group["tests"]] == [
        ("unit_processes", True),
        ("test_wrong", False),
        ("test_fine", True),
    ]
    assert group["tests"][0]["details"] == details
    assert group["required"] == {"completed": [{"unit": "a", "step": "ready"}], "missing": []}
    assert group["correlations"]["paired"] == []
    assert steps_in(group["runtime_db"]) == ["ready"]
    assert (alone["passed"], alone["used_entrypoints"]) == (True, True)
    assert (alone["unit_results"], alone["failures"]) == (details, [])
    assert steps_in(base / "copy" / "Data.db") == ["ready"]
    core.print_summary([group])
    said = capsys.readouterr().out
    assert "  - FAIL test_wrong\n" in said
    assert "  Scenario failed\n" in said


def steps_in(database: str | Path) -> list[str]:
    connection = sqlite3.connect(database)
    try:
        return [step for (step,) in connection.execute("SELECT StepCompleted FROM Events")]
    finally:
        connection.close()


def test_a_group_with_other_units_or_a_mistake_is_refused(base: Path) -> None:
    with pytest.raises(ValueError, match="the units of test_a are not b"):
        core.run_group(base, "test_a", [{"name": "b"}], False)
    (base / "test_a" / "config.toml").write_text('[Configs]\nunits = ["a"]\ntimeout = 0\n')
    with pytest.raises(ValueError, match=r"test_a/config.toml:3: timeout: must be a positive"):
        core.run_group(base, "test_a", [{"name": "a"}], False)


def test_test_functions_run_here(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> None:
        raise ValueError("why")

    given: dict[str, Callable[[], object]] = {"wrong": wrong, "fine": lambda: None}
    passed, results = core.run_test_functions(given, None)
    assert (passed, [result["passed"] for result in results]) == (False, [False, True])
    assert "wrong: FAILED in 0.00 seconds\nError: why" in capsys.readouterr().out
    assert core.run_test_functions({"fine": lambda: None}, lambda _: False)[0] is False
    assert core.run_test_functions({"fine": lambda: None}, lambda _: None)[0] is True


def test_the_tail_function_gets_its_dictionary() -> None:
    got: list[dict[str, Any]] = []
    results = [{"name": "t", "passed": True, "total_time": 0.5}] * 2
    missing = [{"unit": "a", "step": "s"}]

    def tail(data: dict[str, Any]) -> None:
        got.append(data)

    assert core.call_tail_function(results, [], missing, {"paired": []}, tail) is False
    assert got == [
        {
            "duration": 1.0,
            "passed": True,
            "tests_results": results,
            "events_completed": [],
            "events_missing": missing,
            "correlations": {"paired": []},
        }
    ]


def test_setup_runs_here(tmp_path: Path) -> None:
    setup = tmp_path / "setup.py"
    setup.write_text("import neighbour\ndef main():\n    neighbour.made.append(1)\n")
    (tmp_path / "neighbour.py").write_text("made = []\n")
    core.run_setup(setup)
    assert sys.modules.pop("neighbour").made == [1]
    with pytest.raises(FileNotFoundError, match="no such file"):
        core.run_setup(tmp_path / "none.py")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-v --less a b --less c run", {"verbose": True, "less": ["c", "run"], "command": None}),
        ("run", {"verbose": False, "less": None, "command": "run"}),
        ("benchmark --database x --iterations 2", {"database": "x", "iterations": 2}),
        ("gen config-template", {"command": "gen", "type": "config-template", "gen_path": "."}),
        ("gen-configs x", {"command": "gen-configs", "gen_path": "x"}),
    ],
)
def test_the_parser(line: str, expected: dict[str, Any]) -> None:
    assert vars(core.build_parser().parse_args(line.split())).items() >= expected.items()


def test_connections_are_lent_and_given_back(path: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        SQLiteConnectionPool(0, f"{path}/x.db")
    pool = SQLiteConnectionPool(1, f"{path}/x.db")
    first = pool.get_connection()
    with pytest.raises(RuntimeError, match="No available connections"):
        pool.get_connection()
    pool.release_connection(first)
    assert pool.get_connection() is first
    pool.release_connection(first)
    pool.close_all_connections()
    with pytest.raises(sqlite3.ProgrammingError):
        first.execute("SELECT 1")


def test_templates_fill_in_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_generation_path(None) == str(tmp_path)
    assert resolve_generation_path("a") == str(tmp_path / "a")
    (tmp_path / "config.toml").write_text("mine")
    resolve_template("config-template")
    assert (tmp_path / "config.toml").read_text() == "mine"
    assert (tmp_path / "test_case.py").exists()
    assert "config.toml already exists" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no template 'nope'"):
        resolve_template("nope")


def test_managers_have_a_connection(path: str) -> None:
    manager = Events_Manager("a", path)
    manager.Set_Event("s")
    query = "SELECT Unit, StepCompleted FROM Events"
    assert manager.connection.execute(query).fetchall() == [("a", "s")]
    manager.Set_Event("t")
    assert manager.connection.execute(query).fetchall() == [("a", "s"), ("a", "t")]
    UnitStatus_Manager(path).set_status("a", "ready")
    assert UnitStatus_Manager(path).connection.execute(
        "SELECT Status FROM UnitStatus"
    ).fetchall() == [("ready",)]
    Results_Manager(path).connection.execute("SELECT * FROM Results").fetchall()
