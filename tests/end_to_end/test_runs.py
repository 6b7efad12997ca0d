"""What a run hears from its units and tells its user, and runs that are judged again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace
from tests.end_to_end.conftest import PROBE, wait_for_file


def test_log_lines_can_be_probes(workplace: Workplace) -> None:
    workplace.group(
        {
            "a": """
            command = ["sh", "-c", "echo job k1 stored in 5 ms; echo job k2 stored in 7 ms"]
            events = ["stored"]
            [["a".probes]]
            log = 'job (?P<id>\\w+) stored in (?P<ms>\\d+)'
            step = "stored"
            key = "${id}"
            meta = {ms = "${ms}"}
            """
        },
        tables='[[circuits]]\nname = "c"\nroute = ["a:stored"]\nkeys = "2"',
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.group["circuits"][0]["instances"] == 2


def test_values_of_probes_reach_dependants(workplace: Workplace) -> None:
    workplace.group(
        {
            "server": 'entrypoint = "test_case:server"\nready_event = "up"',
            "client": """
            command = ["sh", "-c", "test ${probe.server.up.port} = 4711"]
            unit_dependencies = ["server"]
            """,
        },
        """
        import signal
        def server():
            testrium.unit().probe("up", port=4711)
            signal.pause()
        """,
    )
    assert workplace.run().codes == []


def test_what_is_reported_at_once_ends_the_wait_for_readiness(workplace: Workplace) -> None:
    """Also where it is read before the runner has been told that the process runs."""
    workplace.group(
        {
            "server": 'entrypoint = "test_case:server"\nready_event = "up"\nready_timeout = 60',
            "client": 'command = ["true"]\nunit_dependencies = ["server"]',
        },
        """
        import signal
        def server():
            testrium.unit().exception(ValueError("no disk"))
            signal.pause()
        """,
        configs="timeout = 15",
    )
    assert workplace.run().codes == ["exception server:ValueError", "notrun client"]


@pytest.mark.parametrize(
    ("command", "timeout_s", "why"),
    [
        ("true", 60, "unit server ended with exit code 0, without the probe server:up"),
        ("sleep 30", 1, "no probe has given the value of its ${probe...}"),
    ],
)
def test_a_value_that_never_comes_does_not_pass(
    workplace: Workplace, command: str, timeout_s: int, why: str
) -> None:
    """And nobody waits for it once nobody is left who could tell it."""
    workplace.group(
        {
            "server": f'command = ["sh", "-c", "{command}"]\nstop = "runner"',
            "client": """
            command = ["sh", "-c", "test ${probe.server.up.port} = 4711"]
            unit_dependencies = ["server"]
            ready_timeout = 60
            """,
        },
        configs=f"timeout = {timeout_s}",
    )
    outcome = workplace.run()
    assert outcome.codes == ["unready client"]
    assert why in outcome.group["findings"][0]["message"]


def test_a_unit_without_a_process_gets_its_probes_from_others(workplace: Workplace) -> None:
    """That it has come to its end at once does not mean that nobody emits them."""
    workplace.group(
        {
            "pen": "",
            "writer": 'entrypoint = "test_case:writer"\nquiet = true',
            "client": """
            command = ["sh", "-c", "test ${probe.pen.up.port} = 4711"]
            unit_dependencies = ["pen"]
            """,
        },
        """
        def writer():
            testrium.unit("pen").probe("up", port=4711)
        """,
    )
    assert workplace.run().codes == []


def test_no_command_is_run(workplace: Workplace) -> None:
    workplace.group({"a": 'command = ["sh", "-c", "echo hello"]'})
    outcome = workplace.finish(workplace.start())
    assert outcome.exit_code == 0, outcome.stderr
    assert "1 passed" in outcome.stdout


def test_verbose_shows_the_output_of_units(workplace: Workplace) -> None:
    workplace.group({"a": 'command = ["sh", "-c", "echo hello; echo oops >&2"]'})
    outcome = workplace.finish(workplace.start("-v", "run"))
    assert "hello" in outcome.stdout
    assert "oops" in outcome.stdout


def test_groups_run_side_by_side(workplace: Workplace) -> None:
    code = """
    import time
    def a():
        testrium.unit().probe("done")
        time.sleep(0.6)
    """
    for name in ("one", "two", "three", "four"):
        workplace.group({"a": PROBE.format(name="a")}, code, name=name)
    outcome = workplace.run("-j", "4")
    assert outcome.exit_code == 0
    assert [group["id"] for group in outcome.report["groups"]] == ["four", "one", "three", "two"]
    assert outcome.report["duration_s"] < 4 * 0.6


def test_modes_and_repeats_are_results_of_their_own(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a")},
        """
        import logging, os
        def a():
            mode, level = os.environ["TESTRIUM_MODE"], logging.getLogger().level
            assert logging.getLevelName(level) == mode
            testrium.unit().probe("done")
        """,
        configs='test-modes = ["DEBUG", "WARNING"]\nrepeat = 1',
    )
    outcome = workplace.run()
    results = [(group["mode"], group["repeat"]) for group in outcome.report["groups"]]
    assert results == [("DEBUG", 0), ("DEBUG", 1), ("WARNING", 0), ("WARNING", 1)]
    assert len({group["run_dir"] for group in outcome.report["groups"]}) == 4


def test_verify_judges_a_stored_run_with_the_rules_of_now(workplace: Workplace) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:a"'}, 'def a():\n    testrium.unit().probe("done")\n'
    )
    assert workplace.run().exit_code == 0
    unit = group / "units" / "a.toml"
    unit.write_text(unit.read_text() + 'events = ["done", "never"]\n')
    outcome = workplace.finish(
        workplace.start("verify", "--json", str(workplace.folder / "report.json"))
    )
    assert outcome.exit_code == 1
    assert outcome.codes == ["missing a:never"]


def test_what_a_killed_runner_had_not_stored_is_recovered(workplace: Workplace) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:a"\nevents = ["last"]'},
        """
        import os, signal, time
        def a():
            me = testrium.unit()
            os.kill(int(open("runner").read()), signal.SIGSTOP)
            me.probe("last")
            open("emitted", "w").close()
            time.sleep(60)
        """,
    )
    process = workplace.start("run")
    (group / "runner").write_text(str(process.pid))
    wait_for_file(group / "emitted")
    process.kill()
    process.communicate()
    report = str(workplace.folder / "report.json")
    outcome = workplace.finish(workplace.start("verify", "--json", report))
    assert outcome.exit_code == 5
    assert outcome.codes[0] == "infra group"
    assert outcome.group["required"]["completed"] == [{"unit": "a", "step": "last"}]
