"""What users of other system-test tools rely on: a test for each family of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Outcome, Workplace

#: Units have a process so that the group is more than its test functions.
IDLE = {"idle": 'command = ["true"]'}
IMPORTS = "import os, sys, time\nfrom pathlib import Path\nfrom testrium import testing\n"

#: Each family, and where its test is: here, or in the file that is named.
FAMILIES = {
    "foreground and background process": "test_processes_of_a_test_function",
    "expected exit status": "test_processes_of_a_test_function",
    "stdin": "test_processes_of_a_test_function",
    "exact environment": "test_processes_of_a_test_function",
    "working folder": "test_processes_of_a_test_function",
    "timeout within 0.5 s of its limit": "test_a_limit_is_kept",
    "wait for a line, with an error pattern": "test_waits_end_early",
    "wait for a line of a dying process": "test_waits_end_early",
    "wait for a socket": "test_waits_end_early",
    "port pool": "run/test_ports.py::test_fifty_groups_at_once_get_different_ports",
    "ordered lines": "test_ordered_lines_and_differences",
    "difference with ignored lines": "test_ordered_lines_and_differences",
    "several outcomes, the worst first": "test_the_worst_outcome_wins_and_nothing_hides_it",
    "a skip hides no failure": "test_the_worst_outcome_wins_and_nothing_hides_it",
    "nested defaults": "test_nested_defaults_and_modes",
    "two by two modes": "test_nested_defaults_and_modes",
    "cleanup that fails": "test_a_cleanup_that_fails",
    "control characters in reports": "test_control_characters_stay_text",
    "a cleanup that fails behind a failure": "test_a_cleanup_that_fails_hides_no_failure",
    "purge rules": "test_what_is_purged_and_what_is_packed",
    "archive": "test_what_is_purged_and_what_is_packed",
    "comparison with earlier runs": "test_a_figure_is_compared_with_earlier_runs",
    "steps by hand": "end_to_end/test_suites.py::test_a_person_answers_at_the_terminal",
    "steps by hand, unattended": "test_manual_steps_are_unknown_where_no_person_can_answer",
    "unpacking an archive": "testing/test_files.py::test_archives",
}


def results_of(outcome: Outcome) -> dict[str, bool]:
    return {test["name"]: test["passed"] for test in outcome.group["tests"]}


def message_of(outcome: Outcome, name: str) -> str:
    [test] = [test for test in outcome.group["tests"] if test["name"] == name]
    return str(test["message"])


def explained(outcome: Outcome) -> dict[str, Any]:
    return {
        f"{one['code']} {one['where']}": one["explained_by"] for one in outcome.group["findings"]
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_its_test(family: str) -> None:
    file, _, name = FAMILIES[family].rpartition("::")
    path = Path(__file__).parents[1] / file if file else Path(__file__)
    assert f"\ndef {name}(" in path.read_text()


def test_processes_of_a_test_function(workplace: Workplace) -> None:
    """Foreground and background, exit status, input, exact environment, working folder."""
    code = """
    def test_foreground():
        assert testing.run(["sh", "-c", "cat; exit 3"], stdin="in", exit=3).stdout == "in"

    def test_environment():
        assert testing.run(["env"], env={"A": "1"}, inherit_env=False).stdout == "A=1\\n"

    def test_folder():
        with testing.work_folder() as folder:
            assert testing.run(["pwd"], cwd=folder).stdout.strip() == str(folder.resolve())

    def test_wrong_status():
        testing.run(["sh", "-c", "echo the reason >&2; exit 4"])

    def test_background():
        server = testing.start(
            [sys.executable, "-uc", "import time; print('up'); time.sleep(60)"], ready={"log": "up"}
        )
        testing.start(["sleep", "60"], name="forgotten")
        assert server.stop() == -15
    """
    workplace.group(IDLE, IMPORTS + _dedented(code))
    outcome = workplace.run()
    failed = [name for name, passed in results_of(outcome).items() if not passed]
    assert failed == ["test_wrong_status"]
    assert "sh ended with exit code 4, expected exit code 0" in message_of(outcome, failed[0])
    assert "the reason" in message_of(outcome, failed[0])
    # What was forgotten is stopped with its unit: no leak, and no survivor (`run` looks for those).
    assert list(explained(outcome)) == ["test test_wrong_status"]
    [log] = workplace.folder.glob(".testrium/runs/*/group/units/tests/forgotten/stdout.log")
    assert log.stat().st_size == 0


def test_a_limit_is_kept(workplace: Workplace) -> None:
    """A timeout comes within 0.5 s of its limit; the best of several, for the machine is shared."""
    code = """
    def test_limit():
        # One of many is enough: on a busy machine most come late for no reason of ours.
        took = [seconds() for _ in range(3)]
        while min(took) >= 1 and len(took) < 20:
            took.append(seconds())
        testing.check_that("0.5 <= took < 1", took=min(took))

    def seconds():
        began = time.monotonic()
        try:
            testing.run(["sleep", "60"], timeout=0.5)
        except TimeoutError:
            return time.monotonic() - began
    """
    workplace.group(IDLE, IMPORTS + _dedented(code), configs="timeout = 50")
    assert results_of(workplace.run()) == {"test_limit": True}


def test_waits_end_early(workplace: Workplace) -> None:
    """For a line, with an error pattern and a dying process; for a socket; for a probe."""
    code = """
    PRINT = [sys.executable, "-uc"]

    def test_error_line():
        process = testing.start([*PRINT, "print('ERROR: no disk'); import time; time.sleep(60)"])
        testing.wait_for_log(process, "ready", error="ERROR", timeout=50)

    def test_dying_process():
        testing.wait_for_log(testing.start([*PRINT, "raise SystemExit(3)"]), "ready", timeout=50)

    def test_dying_sender():
        process = testing.start([*PRINT, "raise SystemExit(3)"], name="sender")
        testing.wait_for_probe("idle:never", process=process, timeout=50)

    def test_dead_unit():
        testing.wait_for_probe("crasher:never", timeout=50)

    def test_log_of_dead_unit():
        testing.wait_for_log("crasher", "never", timeout=50)

    def test_dead_server():
        testing.wait_for_port(testing.free_port(), process="crasher", timeout=50)

    def test_what_a_dead_unit_left():
        assert testing.wait_for_probe("crasher:last").meta == {"n": 2}
        testing.wait_for_log("crasher", "no disk")

    def test_what_comes():
        port = testing.free_port()
        serve = "import socket, sys\\ns = socket.create_server(('127.0.0.1', int(sys.argv[1])))"
        serve += "\\nsys.stdin.read()"
        command = [*PRINT, serve, str(port)]
        with testing.start(command, stdin=testing.PIPE, ready={"tcp": port}) as process:
            testing.wait_for_port(port, process=process)
            assert testing.wait_for_probe("service:up", process=process).meta == {"n": 1}
            assert testing.wait_for_log("service", "^up (?P<n>1)$")["n"] == "1"

    def crasher():
        testrium.unit().probe("last", n=2)
        print("no disk", flush=True)
        os.kill(os.getpid(), 11)

    def service():
        import testrium, signal
        print("up 1", flush=True)
        testrium.unit().probe("up", n=1)
        signal.pause()
    """
    units = {
        "service": 'entrypoint = "test_case:service"\nstop = "runner"',
        "crasher": 'entrypoint = "test_case:crasher"\nin-except = "Resume"',
    }
    workplace.group(units | IDLE, IMPORTS + _dedented(code), configs="timeout = 60")
    began = time.monotonic()
    outcome = workplace.run()
    assert time.monotonic() - began < 45, "nobody waited for a timeout"
    assert results_of(outcome) == {
        "test_error_line": False,
        "test_dying_process": False,
        "test_dying_sender": False,
        "test_dead_unit": False,
        "test_dead_server": False,
        "test_log_of_dead_unit": False,
        "test_what_a_dead_unit_left": True,
        "test_what_comes": True,
    }
    assert "because of this one: ERROR: no disk" in message_of(outcome, "test_error_line")
    assert "ended with exit code 3" in message_of(outcome, "test_dying_process")
    assert "sender ended with exit code 3" in message_of(outcome, "test_dying_sender")
    for name in ("test_dead_unit", "test_log_of_dead_unit", "test_dead_server"):
        assert "unit crasher was ended by SIGSEGV" in message_of(outcome, name)
        assert "| no disk" in message_of(outcome, name)


def test_ordered_lines_and_differences(workplace: Workplace) -> None:
    tables = """
    [[checks]]
    name = "in order"
    log = "app"
    sequence = ["one", "three"]
    [[checks]]
    name = "out of order"
    log = "app"
    sequence = ["three", "one"]
    [[checks]]
    name = "as before"
    log = "app"
    golden = "expected.txt"
    ignore = ["^pid"]
    normalize = ["number"]
    [[checks]]
    name = "not as before"
    log = "app"
    golden = "expected.txt"
    ignore = ["^pid"]
    """
    script = "echo one 1; echo pid $$; echo two 2; echo three 3"
    group = workplace.group({"app": f"command = ['sh', '-c', '{script}']"}, tables=tables)
    (group / "expected.txt").write_text("one 7\ntwo 8\npid x\nthree 9\n")
    outcome = workplace.run()
    assert explained(outcome) == {"check out of order": None, "check not as before": None}
    [changed] = [one for one in outcome.group["checks"] if one["name"] == "not as before"]
    lines = "\n".join(changed["details"])
    assert "-one 7" in lines
    assert "+one 1" in lines
    assert "pid" not in lines


def test_the_worst_outcome_wins_and_nothing_hides_it(workplace: Workplace) -> None:
    """Several outcomes in one group: the cause first. A skipped group hides no failing one."""
    units = {
        "app": 'command = ["sh", "-c", "echo half; exit 3"]',
        "later": 'command = ["true"]\nunit_dependencies = ["app"]\nquiet = true',
    }
    tables = '[[checks]]\nname = "whole"\nlog = "app"\ncontains = "whole"'
    workplace.group(units, tables=tables, name="failing")
    workplace.group(IDLE, name="passing")
    workplace.group(IDLE, configs='skip = "not today"', name="skipped")
    outcome = workplace.run()
    verdicts = {group["id"]: group["verdict"] for group in outcome.report["groups"]}
    assert verdicts == {"failing": "fail", "passing": "pass", "skipped": "skip"}
    assert (outcome.exit_code, outcome.report["verdict"]) == (1, "fail")
    [failing] = [group for group in outcome.report["groups"] if group["id"] == "failing"]
    found = [(one["code"], one["where"], one["explained_by"]) for one in failing["findings"]]
    assert found[0] == ("crash", "app", None)
    assert ("check", "whole", "crash app") in found


def test_nested_defaults_and_modes(workplace: Workplace) -> None:
    """Defaults of the project and of folders, a matrix of two by two, and what each run sees."""
    defaults = '[Configs]\ntags = ["%s"]\n[unit]\nenv = {A = "%s"}\n'
    top = workplace.folder / "testrium.toml"
    workplace.write(top, 'state = ".testrium"\n' + defaults % ("outer", "outer"))
    workplace.write(workplace.folder / "shop/testrium.toml", defaults % ("shop", "project"))
    workplace.group(
        {"app": "command = ['sh', '-c', 'echo $A $TESTRIUM_PARAM_X ${param.y}']"},
        configs="",
        name="shop/cart",
        tables="[matrix]\nx = [1, 2]\ny = ['a', 'b']\n"
        '[[checks]]\nname = "seen"\nlog = "app"\nlast = "^project ${param.x} ${param.y}$"',
    )
    outcome = workplace.run()
    assert [group["params"] for group in outcome.report["groups"]] == [
        {"x": x, "y": y} for x in "12" for y in "ab"
    ]
    assert outcome.exit_code == 0
    listed = workplace.finish(workplace.start("list", "--tag", "shop and outer"))
    assert "shop/cart" in listed.stdout


def test_a_cleanup_that_fails_hides_no_failure(workplace: Workplace) -> None:
    fails = "def main():\n    raise RuntimeError('the disk is full')\n"
    workplace.group({"app": 'command = ["sh", "-c", "exit 3"]'}, teardown=fails)
    assert workplace.run().codes == ["crash app", "exception teardown:RuntimeError"]


def test_a_cleanup_that_fails(workplace: Workplace) -> None:
    workplace.group(IDLE, teardown="def main():\n    raise RuntimeError('the disk is full')\n")
    outcome = workplace.run()
    assert outcome.codes == ["exception teardown:RuntimeError"]
    assert outcome.exit_code == 1


def test_control_characters_stay_text(workplace: Workplace) -> None:
    script = r'printf "\033[2J\007bad \377\n"'
    tables = '[[checks]]\nname = "clean"\nlog = "app"\nlacks = "bad"'
    workplace.group({"app": f"command = ['sh', '-c', '{script}']"}, tables=tables)
    junit, page = workplace.folder / "junit.xml", workplace.folder / "page.html"
    outcome = workplace.run("--junit", str(junit), "--html", str(page))
    assert outcome.exit_code == 1
    for text in (outcome.stdout, junit.read_text(), page.read_text()):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "bad" in text


def test_what_is_purged_and_what_is_packed(workplace: Workplace) -> None:
    """Only the folders of what failed stay; the archive of the run can be shown elsewhere."""
    workplace.group({"app": 'command = ["false"]'}, name="failing")
    workplace.group(IDLE, name="passing")
    outcome = workplace.run("--keep", "failed", "--archive", "run.zip")
    kept = {group["id"]: group["run_dir"] is not None for group in outcome.report["groups"]}
    assert kept == {"failing": True, "passing": False}
    shown = workplace.finish(workplace.start("show", "run.zip", "--plain"))
    assert "crash at app" in shown.stdout


def test_a_figure_is_compared_with_earlier_runs(workplace: Workplace) -> None:
    """Against the runs that passed, once there are enough of them; a slower one is no baseline."""
    keys = """command = ["sh", "-c", '''
        echo '{"metric": "rows", "better": "larger", "value": '$${ROWS:-100}'}' \\
            >> "$TESTRIUM_PROBES"
        ''']"""
    tables = '[metrics]\nrows = {min = 1, max-regression = "20%"}'
    workplace.group({"loader": keys}, tables=tables)
    for _ in range(5):
        outcome = workplace.run()
        assert outcome.exit_code == 0, outcome.stdout
        assert "not enough runs to compare" in outcome.stdout
    for rows, codes in (("98", []), ("50", ["metric rows"]), ("50", ["metric rows"])):
        workplace.env["ROWS"] = rows
        assert workplace.run().codes == codes


def test_manual_steps_are_unknown_where_no_person_can_answer(workplace: Workplace) -> None:
    keys = """
    kind = "manual"
    [[look.steps]]
    name = "cart"
    do = "Open the cart"
    expect = "It is empty"
    """
    workplace.group({"look": keys})
    outcome = workplace.run()
    assert (outcome.exit_code, outcome.group["verdict"]) == (4, "unknown")


def _dedented(code: str) -> str:
    import textwrap

    return textwrap.dedent(code)
