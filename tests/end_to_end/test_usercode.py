"""setup.py, test functions, callbacks and teardown.py."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace
from tests.end_to_end.conftest import DONE, PROBE


def test_setup_runs_before_units_and_teardown_always(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import pathlib
        def a():
            assert pathlib.Path("prepared").exists()
            testrium.unit().probe("done")
        """,
        setup="import pathlib\ndef main():\n    pathlib.Path('prepared').touch()\n",
        teardown="import pathlib\ndef main():\n    pathlib.Path('cleaned').touch()\n",
    )
    assert workplace.run().codes == []
    assert (workplace.folder / "group" / "cleaned").exists()


def test_after_a_failed_setup_no_unit_runs_but_teardown_does(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a")},
        DONE,
        setup="def main():\n    raise ValueError('no database')\n",
        teardown="import pathlib\ndef main():\n    pathlib.Path('cleaned').touch()\n",
    )
    outcome = workplace.run()
    assert outcome.codes[0] == "exception setup:ValueError"
    assert "notrun a" in outcome.codes
    assert (workplace.folder / "group" / "cleaned").exists()


def test_units_with_use_setup_wait_for_setup_ready_only(workplace: Workplace) -> None:
    workplace.group(
        {
            "db": 'entrypoint = "test_case:db"\nready_event = "up"',
            "a": 'entrypoint = "test_case:a"\nuse_setup = true\nunit_dependencies = ["db"]',
        },
        """
        import signal, pathlib
        def db():
            testrium.unit().probe("up")
            signal.pause()
        def a():
            assert pathlib.Path("filled").exists()
            testrium.unit().probe("done")
        """,
        setup="""
        import pathlib, testrium
        def main():
            me = testrium.unit()
            me.wait_for("db:up", timeout=5)   # a unit without use_setup runs beside setup
            pathlib.Path("filled").touch()
            me.probe("setup-ready")
            me.wait_for("a:done", timeout=5)
        """,
    )
    assert workplace.run().codes == []


def test_what_teardown_raises_is_found(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a")},
        DONE,
        teardown="def main():\n    raise OSError('still there')\n",
    )
    assert workplace.run().codes == ["exception teardown:OSError"]


TESTS = """
import os, pathlib, signal, time
from testrium.common.utils import test_config

def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

def service():
    testrium.unit().probe("up")
    signal.pause()

@test_config(priority=2)
def test_last():
    note("last")

@test_config(priority=1)
def test_first():
    note("first")

def test_zero():
    note("zero")

def validate_test(name):
    note(f"validate {name}")

def tests_results(data):
    note(f"results {data['passed']} {[t['name'] for t in data['tests_results']]}")
"""


def test_a_server_in_setup_serves_as_long_as_the_group_lasts(workplace: Workplace) -> None:
    """Also longer than `timeout`, which is only about its start."""
    workplace.group(
        {"a": PROBE.format(name="a") + "\nuse_setup = true"},
        """
        import time
        def a():
            testrium.unit().probe("done")
        def test_one():
            time.sleep(0.4)
        def test_two():
            time.sleep(0.3)
        """,
        configs="timeout = 0.6",
        setup="""
        import testrium, time
        def main():
            testrium.unit().probe("setup-ready")
            time.sleep(60)
        """,
    )
    outcome = workplace.run()
    assert (outcome.exit_code, outcome.codes) == (0, [])


def test_a_setup_that_never_becomes_ready_is_told(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a") + "\nuse_setup = true"},
        DONE,
        configs="timeout = 0.3",
        setup="import time\ndef main():\n    time.sleep(60)\n",
    )
    outcome = workplace.run()
    assert outcome.codes == ["hang setup", "notrun a", "missing a:done"]
    (message, *_) = [finding["message"] for finding in outcome.group["findings"]]
    assert message == ("setup.py neither returned from main() nor emitted setup-ready within 0.3 s")


SERVICE = {"service": 'entrypoint = "test_case:service"\nready_event = "up"\nstop = "runner"'}


def test_test_functions_run_by_priority_with_callbacks(workplace: Workplace) -> None:
    group = workplace.group(SERVICE, TESTS)
    outcome = workplace.run()
    assert outcome.codes == []
    assert (group / "notes").read_text().splitlines() == [
        "zero",
        "validate test_zero",
        "first",
        "validate test_first",
        "last",
        "validate test_last",
        "results True ['unit_processes', 'test_zero', 'test_first', 'test_last']",
    ]
    assert [test["name"] for test in outcome.group["tests"]] == [
        "test_zero",
        "test_first",
        "test_last",
    ]


def test_a_failing_test_function_and_callback_are_found(workplace: Workplace) -> None:
    workplace.group(
        SERVICE,
        """
        import signal
        def service():
            testrium.unit().probe("up")
            signal.pause()
        def test_sum():
            assert 1 + 1 == 3
        def test_fine():
            pass
        def test_never_validated():
            pass
        def steps():
            yield
        def validate_test(name):
            return steps() if "never" in name else name != "test_fine"
        def tests_results(data):
            return 0
        """,
    )
    outcome = workplace.run()
    assert sorted(outcome.codes) == [
        "test test_fine",
        "test test_never_validated",
        "test test_sum",
        "test tests_results",
    ]
    assert "test_sum" in outcome.stdout


def test_parallel_test_functions_really_run_side_by_side(workplace: Workplace) -> None:
    workplace.group(
        SERVICE,
        """
        import signal
        from testrium.common.utils import test_config
        def service():
            testrium.unit().probe("up")
            signal.pause()
        @test_config(parallelize=True)
        def test_ping():
            me = testrium.unit()
            me.probe("ping")
            me.wait_for("tests:pong", timeout=5)
        @test_config(parallelize=True)
        def test_pong():
            me = testrium.unit()
            me.wait_for("tests:ping", timeout=5)
            me.probe("pong")
        """,
    )
    assert workplace.run().codes == []


def test_a_test_function_that_kills_its_process_is_one_finding(workplace: Workplace) -> None:
    workplace.group(
        SERVICE,
        """
        import os, signal
        def service():
            testrium.unit().probe("up")
            signal.pause()
        def test_bad():
            os._exit(9)
        """,
    )
    outcome = workplace.run()
    assert "test test_bad" in outcome.codes
    assert outcome.exit_code == 1


def test_probes_of_test_functions_drive_a_circuit(workplace: Workplace) -> None:
    workplace.group(
        {**SERVICE, "driver": 'events = ["asked"]'},
        """
        import signal
        def service():
            me = testrium.unit()
            me.probe("up")
            me.wait_for("driver:asked", timeout=8)
            me.receive("answered", key="k1")
            signal.pause()
        def test_drive():
            testrium.unit("driver").send("asked", key="k1")
        """,
        tables='[[circuits]]\nname = "ask"\nroute = ["driver:asked", "service:answered"]',
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.report["duration_s"] < 8


def test_a_test_process_that_ends_half_way_is_a_crash(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a")},
        DONE
        + """
import os
def test_first(): pass
def test_second(): os._exit(0)
def test_third(): pass
""",
    )
    workplace.env |= {"GITHUB_ACTIONS": "true"}
    outcome = workplace.run()
    assert outcome.codes == ["crash tests", "test test_second", "test test_third"]
    tests = outcome.group["tests"]
    assert [test["verdict"] for test in tests] == ["pass", "fail", "fail"]
    assert tests[1]["message"] == "the test process ended with exit code 0 during the test"
    assert tests[2]["message"].startswith("did not run")
    lines = (workplace.folder / "group/test_case.py").read_text().splitlines()
    assert [lines[test["line"] - 1].split("(")[0] for test in tests] == [
        "def test_first",
        "def test_second",
        "def test_third",
    ]
    assert f"::error file=group/test_case.py,line={tests[1]['line']}," in outcome.stdout


def test_setup_that_ends_half_way_is_a_crash(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a")},
        DONE,
        setup="import os\ndef main():\n    os._exit(0)\n",
    )
    assert workplace.run().codes[0] == "crash setup"


def test_test_functions_are_found_in_every_module(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a")},
        DONE + "\ndef test_total(): pass\n",
        more="from test_case import test_total as test_too\ndef test_total():\n    assert 1 == 2\n",
        helper="def prepare(): pass\n",
    )
    outcome = workplace.run()
    assert outcome.codes == ["test more:test_total"]
    assert [test["name"] for test in outcome.group["tests"]] == [
        "test_case:test_total",
        "more:test_total",
    ]


def test_a_test_passes_with_none_or_true_only(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a")},
        DONE
        + """
import testrium.testing
def test_false(): return False
def test_generator(): yield
def test_true(): return True
async def test_async(): return None
def test_skipped(): testrium.testing.skip("no network here")
def test_skipped_as_unittest_does():
    import unittest
    assert unittest
    testrium.testing.skip("no printer either")
""",
    )
    outcome = workplace.run()
    assert outcome.codes == ["test test_false", "test test_generator"]
    verdicts = {test["name"]: test["verdict"] for test in outcome.group["tests"]}
    assert verdicts["test_true"] == verdicts["test_async"] == "pass"
    assert verdicts["test_skipped"] == verdicts["test_skipped_as_unittest_does"] == "skip"
    (_, finding) = outcome.group["findings"]
    assert "test_generator (test_case.py:" in finding["message"]


def test_a_unit_that_returns_or_exits_has_come_to_its_end(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a") + "\nuse_setup = true"},
        DONE,
        setup="import sys\ndef main():\n    sys.exit()\n",
    )
    assert workplace.run().codes == []


def test_a_command_that_is_python_dies_of_its_exception(workplace: Workplace) -> None:
    unit = f'command = ["{sys.executable}", "script.py"]'
    script = "import testrium\ntestrium.unit().probe('up')\nraise ValueError('no')\n"
    workplace.group({"a": unit}, script=script)
    assert workplace.run().codes == ["exception a:ValueError"]


def test_a_module_of_the_group_that_hides_one_of_python_is_named(workplace: Workplace) -> None:
    code = "def a():\n    testrium.unit().probe('x', y=1)\n"
    folder = workplace.group({"a": 'entrypoint = "test_case:a"'}, code, json="X = 1\n")
    finding = workplace.run().group["findings"][0]
    assert f"{folder / 'json.py'} hides Python's own module 'json': rename it" in finding["hints"]
