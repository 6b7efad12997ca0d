"""Suites of other tools, and checks by hand, as units of a group."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace

SERVICE = """
    import os, socketserver
    class Echo(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                testrium.unit().receive("answered", key=line.decode().strip())
                self.wfile.write(line.upper())
    def service():
        with socketserver.TCPServer(("127.0.0.1", int(os.environ["TESTRIUM_PORT_TCP"])), Echo) as s:
            testrium.unit().probe("listening")
            s.serve_forever()
"""
SUITE = """
import os, socket, pytest, testrium

@pytest.fixture
def wire():
    port = int(os.environ["TESTRIUM_PORT_SERVICE_TCP"])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        yield connection.makefile("rw")

@pytest.mark.parametrize("word", ["a", "b"])
def test_echo(wire, word):
    testrium.unit().send("asked", key=word)
    print(word, file=wire, flush=True)
    assert wire.readline() == word.upper() + "\\n"

@pytest.mark.skip(reason="not now")
def test_later(): pass

@pytest.mark.xfail(reason="a known defect")
def test_known(): assert False
"""
FAILING = """
import pytest

def test_sum():
    assert 1 + 1 == 3

@pytest.fixture
def broken(): raise RuntimeError("no service")

def test_setup(broken): pass

def test_fine(): pass
"""


def told_tests(group: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    return {test["name"]: (test["passed"], test["message"]) for test in group["tests"]}


def codes_of(group: dict[str, Any]) -> list[str]:
    return [f"{finding['code']} {finding['where']}" for finding in group["findings"]]


def test_suites_against_live_services(workplace: Workplace) -> None:
    circuit = '[[circuits]]\nname = "c"\nroute = ["suite:asked", "service:answered"]\nkeys = "2"'
    live = workplace.group(
        {
            "service": """
                entrypoint = "test_case:service"
                ports = ["tcp"]
                ready_event = "listening"
                """,
            "suite": """
                kind = "pytest"
                paths = ["tests"]
                args = ["-p", "no:randomly"]
                unit_dependencies = ["service"]
                """,
        },
        SERVICE,
        name="live",
        tables=circuit,
        configs="timeout = 60",
    )
    workplace.write(live / "tests/test_echo.py", SUITE)
    bad = workplace.group(
        {
            "suite": 'kind = "pytest"\npaths = ["tests/test_bad.py"]',
            "cannot": 'kind = "pytest"\npaths = ["tests/test_broken.py"]',
            "none": 'kind = "doctest"\npaths = ["test_case.py"]',
        },
        name="bad",
        configs="timeout = 60",
    )
    workplace.write(bad / "tests/test_bad.py", FAILING)
    workplace.write(bad / "tests/test_broken.py", "import nothing_of_this_name")
    dying = workplace.group(
        {"suite": 'kind = "unittest"\npaths = ["suite.py"]'}, name="dying", configs="timeout = 60"
    )
    workplace.write(
        dying / "suite.py",
        "import os, unittest\n"
        "class T(unittest.TestCase):\n"
        "    def test_a(self): pass\n"
        "    def test_b(self): os._exit(7)\n",
    )
    outcome = workplace.run()
    groups = {group["id"]: group for group in outcome.report["groups"]}
    assert outcome.exit_code == 1

    assert groups["live"]["verdict"] == "pass", outcome.stdout
    assert told_tests(groups["live"]) == {
        "suite::tests/test_echo.py::test_echo[a]": (True, ""),
        "suite::tests/test_echo.py::test_echo[b]": (True, ""),
        "suite::tests/test_echo.py::test_later": (True, "not now"),
        "suite::tests/test_echo.py::test_known": (True, "failed as expected: a known defect"),
    }
    assert not (live / ".pytest_cache").exists()

    assert sorted(codes_of(groups["bad"])) == [
        "test cannot::tests/test_broken.py",
        "test none",
        "test suite::tests/test_bad.py::test_setup",
        "test suite::tests/test_bad.py::test_sum",
    ]
    lines = {test["name"]: (test["file"], test["line"]) for test in groups["bad"]["tests"]}
    assert lines["suite::tests/test_bad.py::test_sum"] == (str(bad / "tests/test_bad.py"), 5)
    assert lines["suite::tests/test_bad.py::test_setup"] == (str(bad / "tests/test_bad.py"), 8)
    assert lines["suite::tests/test_bad.py::test_fine"] == (str(bad / "tests/test_bad.py"), 12)
    assert lines["cannot::tests/test_broken.py"] == (str(bad / "tests/test_broken.py"), 1)
    told = told_tests(groups["bad"])
    assert told["suite::tests/test_bad.py::test_sum"] == (False, "assert (1 + 1) == 3")
    assert told["suite::tests/test_bad.py::test_setup"] == (
        False,
        "in setup: RuntimeError: no service",
    )
    assert told["suite::tests/test_bad.py::test_fine"] == (True, "")
    assert "No module named 'nothing_of_this_name'" in told["cannot::tests/test_broken.py"][1]

    assert codes_of(groups["dying"]) == ["crash suite"]
    assert told_tests(groups["dying"]) == {"suite::suite.T.test_a": (True, "")}

    again = workplace.finish(workplace.start("verify"))
    assert again.exit_code == 1
    assert "suite::tests/test_bad.py::test_sum" in again.stdout


HALF_WAY = {
    "pytest": (
        "import os\ndef test_a(): pass\ndef test_b(): os._exit(0)\ndef test_c(): assert False\n"
    ),
    "unittest": (
        "import os, unittest\n"
        "class T(unittest.TestCase):\n"
        "    def test_a(self): pass\n"
        "    def test_b(self): os._exit(0)\n"
        "    def test_c(self): self.fail()\n"
    ),
    "doctest": (
        'def a():\n    """\n    >>> 1\n    1\n    """\n'
        'def b():\n    """\n    >>> import os; os._exit(0)\n    """\n'
        'def c():\n    """\n    >>> 1\n    2\n    """\n'
    ),
}


@pytest.mark.parametrize("kind", HALF_WAY)
def test_a_suite_that_ends_half_way_with_exit_code_0_is_a_crash(
    workplace: Workplace, kind: str
) -> None:
    group = workplace.group(
        {"suite": f'kind = "{kind}"\npaths = ["test_suite.py"]'}, configs="timeout = 60"
    )
    workplace.write(group / "test_suite.py", HALF_WAY[kind])
    outcome = workplace.run()
    assert outcome.codes == ["crash suite"]
    [finding] = outcome.group["findings"]
    assert finding["message"].startswith("suite ended with exit code 0 before it was done")
    assert len(outcome.group["tests"]) == 1
    again = workplace.finish(workplace.start("verify"))
    assert again.exit_code == 1


CHECK = """
    kind = "manual"
    [["look".steps]]
    name = "page"
    do = "Open it"
    expect = "It is there"
    [["look".steps]]
    name = "close"
    do = "Close it"
    expect = "It is gone"
"""


def test_without_a_terminal_no_question_is_asked(workplace: Workplace) -> None:
    workplace.group({"look": CHECK}, configs="")
    outcome = workplace.run()
    assert outcome.exit_code == 4
    assert outcome.codes == ["gap look"]
    assert "2 of 2 steps of look have no answer: " in outcome.stdout


@pytest.mark.parametrize(
    ("answers", "exit_code", "expected"),
    [
        (["p", "p"], 0, {"look::page": (True, ""), "look::close": (True, "")}),
        (
            ["s", "no time", "f", "it is still there"],
            1,
            {
                "look::page": (True, "no time"),
                "look::close": (False, "it is still there (expected: It is gone)"),
            },
        ),
    ],
)
def test_a_person_answers_at_the_terminal(
    workplace: Workplace,
    answers: list[str],
    exit_code: int,
    expected: dict[str, tuple[bool, str]],
) -> None:
    workplace.group({"look": CHECK}, configs="")
    shown, code = talk(workplace, answers)
    assert code == exit_code, shown
    assert "Step 2 of 2: close" in shown
    report = json.loads((workplace.folder / "report.json").read_text())
    assert told_tests(report["groups"][0]) == expected
    assert workplace.survivors() == []


def talk(workplace: Workplace, answers: list[str]) -> tuple[str, int]:
    """Run all groups at a terminal and answer one question after the other."""
    ours, theirs = pty.openpty()
    env = {name: text for name, text in workplace.env.items() if name not in ("CI", "TF_BUILD")}
    process = subprocess.Popen(
        [sys.executable, "-m", "testrium", "run", "--json", "report.json"],
        cwd=workplace.folder,
        env={**env, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    # Whoever waits in vain for a question must not wait for ever.
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    shown = ""
    left = list(answers)
    asked = 0
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        shown += data.decode(errors="replace")
        if left and shown.count("? ") > asked:
            asked = shown.count("? ")
            os.write(ours, f"{left.pop(0)}\n".encode())
    code = process.wait()
    watchdog.cancel()
    os.close(ours)
    return shown, code
