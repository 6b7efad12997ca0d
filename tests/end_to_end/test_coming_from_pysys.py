"""What users of PySys rely on: one behaviour each, several in one run where that is cheaper."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Outcome, Workplace


def by_name(outcome: Outcome) -> dict[str, Any]:
    return {test["name"]: test for test in outcome.group["tests"]}


OUTCOMES = """
from testrium import testing

def test_skips(): testing.skip("no printer")

def test_inspects():
    testing.inspect("does the chart look right?")
    assert True

def test_asserts_nothing():
    total = 3

def test_returns_its_outcome(): return 2 > 1
def test_calls_what_asserts(): _check()
def _check(): assert True

def test_collects():
    with testing.collect():
        testing.check_value(2, equals=3)
        testing.check_that("a == 1", a=2)
        assert [] == [1]
    with testing.collect():
        raise KeyError("later")

def test_shows_values():
    price, order = 11, {"total": [30]}
    print("told by the test")
    testing.write_file("evidence.txt", "kept")
    testing.attach("evidence.txt")
    assert order["total"][0] == price * len(order) + 1
"""


def test_outcomes_of_tests_stand_in_every_report(workplace: Workplace) -> None:
    folder = workplace.group({}, OUTCOMES)
    workplace.env |= {"GITHUB_ACTIONS": "true"}
    outcome = workplace.run("--junit", "junit.xml", "--html", "page.html", "--plain")
    tests = by_name(outcome)
    assert {name: test["verdict"] for name, test in tests.items()} == {
        "test_skips": "skip",
        "test_inspects": "pass",
        "test_asserts_nothing": "pass",
        "test_returns_its_outcome": "pass",
        "test_calls_what_asserts": "pass",
        "test_collects": "fail",
        "test_shows_values": "fail",
    }
    notes = [(note["code"], note["where"]) for note in outcome.group["notes"]]
    assert notes == [("inspect", "test_inspects"), ("test", "test_asserts_nothing")]
    collected = tests["test_collects"]["message"]
    assert collected.startswith("4 failures:")
    for part in ("the value is 2, expected 3", "a = 2", "assert [] == [1]", "later"):
        assert part in collected
    shown = tests["test_shows_values"]
    assert "(30 == 12)" in shown["message"]
    assert "price = 11" in shown["message"]
    assert shown["output"] == "told by the test\n"
    [attached] = shown["attachments"]
    assert (folder.parent / outcome.group["run_dir"] / attached).read_text() == "kept"
    lines = (folder / "test_case.py").read_text().splitlines()
    line = 1 + next(n for n, text in enumerate(lines) if "assert order" in text)
    assert (shown["file"], shown["line"]) == (str(folder / "test_case.py"), line)
    assert "told by the test" in outcome.stdout
    first = 1 + next(n for n, text in enumerate(lines) if "check_value(2" in text)
    assert f"::error file=group/test_case.py,line={first}," in outcome.stdout
    assert f"::error file=group/test_case.py,line={line}," in outcome.stdout
    junit = (folder.parent / "junit.xml").read_text()
    assert f'file="group/test_case.py" line="{line}"' in junit
    assert "told by the test" in junit
    assert "told by the test" in (folder.parent / "page.html").read_text()


def test_abort_ends_the_group_in_error_and_strict_asks_for_inspection(workplace: Workplace) -> None:
    aborting = """
    from testrium import testing
    def test_first(): testing.abort("no database here")
    def test_second(): assert False
    """
    workplace.group({}, aborting, name="aborting")
    inspecting = "from testrium import testing\ndef test_it(): testing.inspect('look')\n"
    workplace.group({}, inspecting, name="inspecting")
    outcome = workplace.run("--strict")
    first, second = outcome.report["groups"]
    assert (first["verdict"], outcome.exit_code) == ("error", 5)
    [finding] = first["findings"]
    assert finding["code"] == "infra"
    assert "no database here" in finding["message"]
    assert first["reason"] == "no database here"
    assert [test["verdict"] for test in first["tests"]] == ["error"]
    assert [finding["code"] for finding in second["findings"]] == ["inspect"]


VERIFICATION = """
import os, pathlib
from testrium import testing

def test_writes():
    pathlib.Path(os.environ["TESTRIUM_RUN_DIR"], "total").write_text("29")

@testing.verification
def test_total():
    total = pathlib.Path(os.environ["TESTRIUM_RUN_DIR"], "total").read_text()
    assert total == "30"

@testing.verification
def test_tells():
    print("looked at it")
    assert 1 == 1
"""


def test_verify_repeats_marked_tests_on_the_stored_run(workplace: Workplace) -> None:
    folder = workplace.group({}, VERIFICATION)
    assert workplace.run().codes == ["test test_total"]
    code = folder / "test_case.py"
    text = code.read_text().replace('"30"', '"29"').replace('_text("29")', '_text("x")')
    code.write_text(text.replace("1 == 1", "1 == 2"))
    report = str(workplace.folder / "report.json")
    again = workplace.finish(workplace.start("verify", "--json", report))
    assert (again.exit_code, again.codes) == (1, ["test test_tells"])
    names = ["test_writes", "test_total", "test_tells"]
    assert [test["name"] for test in again.group["tests"]] == names
    assert again.group["tests"][2]["output"] == "looked at it\n"
    assert "Traceback" not in again.stderr


CYCLES = """
import os, pathlib
from testrium import testing

def test_all_cycles_are_there():
    run_dir = pathlib.Path(os.environ["TESTRIUM_RUN_DIR"])
    (run_dir / "met").touch()
    testing.wait_until(lambda: len(list(run_dir.parent.glob("*/met"))) == 3, timeout=30)
"""


def test_cycles_of_a_group_run_side_by_side_in_folders_of_their_own(workplace: Workplace) -> None:
    workplace.group({}, CYCLES, configs="side-by-side = true")
    outcome = workplace.run("--repeat", "2", "-j", "3")
    assert outcome.exit_code == 0, outcome.stdout
    groups = outcome.report["groups"]
    assert [group["repeat"] for group in groups] == [0, 1, 2]
    assert len({group["run_dir"] for group in groups}) == 3


MODES = """
import os
import shared_by_groups
from testrium import testing

def browsers():
    return [
        {"browser": {"id": "ff", "name": "Firefox", "engine": {"code": 0}}},
        {"browser": {"id": "ch", "name": "Chrome", "engine": {"code": 3}}},
    ]

def test_what_is_given():
    assert os.environ["TESTRIUM_PARAM_BROWSER_NAME"] in ("Firefox", "Chrome")
    assert os.environ["TESTRIUM_PROPERTY_SERVER"] == os.environ["TIER"] == "given"
    assert os.environ["TEAM"] == shared_by_groups.TEAM
    assert os.environ["TRACEPARENT"].split("-")[1] == "4bf92f3577b34da6a3ce929d0e0e4736"
"""
MODES_PROJECT = """
pythonpath = ["lib"]
[env]
TEAM = "of ${property.server}"
[properties]
server = {default = "localhost", env = "SERVER"}
[run]
writer = ["junit=all.xml"]
[Configs]
tags = ["nightly"]
[unit]
env = {TIER = "${property.server}"}
"""


def test_modes_come_from_code_and_properties_from_the_project(workplace: Workplace) -> None:
    workplace.write(workplace.folder / "testrium.toml", MODES_PROJECT)
    workplace.write(workplace.folder / "lib/shared_by_groups.py", "TEAM = 'of given'")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    workplace.env |= {"TRACEPARENT": trace}
    workplace.group(
        {
            "a": 'command = ["sh", "-c", "echo ${param.browser.name} $TIER; exit '
            '${param.browser.engine.code}"]\nexit = "${param.browser.engine.code}"'
        },
        MODES,
        configs='title = "with ${param.browser.name}"\ntags = ["web"]',
        tables="""
        [matrix]
        from = "test_case:browsers"
        [[checks]]
        name = "greeting"
        log = "a"
        extract = "(?P<who>.*) given"
        expect = "who == '${param.browser.name}'"
        """,
    )
    outcome = workplace.run("-X", "server=given", "--tag", "web and nightly")
    assert outcome.exit_code == 0, outcome.stdout
    groups = outcome.report["groups"]
    assert [group["id"] for group in groups] == ["group[browser=ff]", "group[browser=ch]"]
    assert [group["params"] for group in groups] == [{"browser": "ff"}, {"browser": "ch"}]
    assert (workplace.folder / "all.xml").exists()
    report = str(workplace.folder / "report.json")
    again = workplace.finish(workplace.start("verify", "--json", report))
    assert again.exit_code == 0, again.stdout
    wrong = workplace.run("-X", "sever=given")
    assert wrong.exit_code == 3
    assert "did you mean 'server'?" in wrong.stderr


TEXTS = r"""
from testrium import testing

def upper(line): return line.upper() if line else None

def test_waits_and_finds_all():
    testing.write_file("out.txt", "tick 1\nnoise tick 9\ntick 2\n")
    from pathlib import Path
    match = testing.wait_for_log(Path("out.txt"), r"tick (\d)", count=2, ignore="noise")
    assert match[1] == "2"
    found = testing.extract_all(Path("out.txt"), r"^tick (?P<n>\d)")
    assert found == [{"n": "1"}, {"n": "2"}]
    testing.check_file("out.txt", map=str.upper, contains="TICK 1", lacks="tick")
    Path("latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    testing.check_file("latin.txt", encoding="latin-1", contains="^caf\xe9$")

def test_archives_and_tracebacks():
    import gzip, lzma, tarfile
    from pathlib import Path
    Path("a.txt.gz").write_bytes(gzip.compress(b"from gz"))
    Path("b.txt.xz").write_bytes(lzma.compress(b"from xz"))
    testing.unpack("a.txt.gz", "out")
    testing.unpack("b.txt.xz", "out")
    testing.check_file("out/a.txt", contains="from gz")
    testing.check_file("out/b.txt", contains="from xz")
    with tarfile.open("evil.tar.xz", "w:xz") as archive:
        archive.add("a.txt.gz", "../evil")
    try:
        testing.unpack("evil.tar.xz", "out")
    except testing.UnpackError as error:
        print(error)
    found = testing.extract("a", r"(?P<name>\w+Error): gone", join="traceback")
    assert found == {"name": "OSError"}

def test_a_signal_ends_a_process():
    import signal
    process = testing.start(["sleep", "60"])
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == -signal.SIGTERM

def test_expressions_have_methods():
    body = {"state": "PAID"}
    testing.check_that("body['state'].lower() == 'paid' and items[-1] == 2", body=body, items=[2])
    try:
        testing.check_that("body['state'] == 'open'", body=body, url="http://shop")
    except testing.CheckError as error:
        assert "url = http://shop" in str(error)
    else:
        raise AssertionError("nothing was raised")
"""
SUITE = """
import unittest
class T(unittest.TestCase):
    def test_prints(self): print("in the suite")
"""
TEXT_CHECKS = """
    [[checks]]
    name = "mapped"
    log = "a"
    map = "test_case:upper"
    contains = "^N=1 N=2$"
    [[checks]]
    name = "all matches"
    log = "a"
    extract = 'n=(?P<n>[0-9]+)'
    every = true
    expect = "sum(n) == 6 and len(n) == 3"
    [[checks]]
    name = "only what is included"
    log = "a"
    golden = "expected.txt"
    includes = "^n="
    [[checks]]
    name = "a traceback is one line"
    log = "a"
    join = "traceback"
    contains = "Traceback.*OSError: gone"
    [[checks]]
    name = "the output of tests"
    log = "tests"
    contains = "evil.tar.xz is refused"
    [[checks]]
    name = "the output of a suite"
    log = "suite"
    contains = "in the suite"
    [[checks]]
    name = "no port is a time"
    log = "a"
    contains = "8080"
    golden = "times.txt"
    includes = "8080"
    normalize = ["datetime"]
    [[checks]]
    name = "null"
    json = "body.json"
    equals-json = '{"paid": null}'
    [[checks]]
    name = "not null"
    json = "body.json"
    at = "paid"
    equals = 1
"""


def test_texts_are_mapped_included_and_matched_everywhere(workplace: Workplace) -> None:
    printed = (
        "n=1 n=2\\nother\\nn=3\\nTraceback (most recent call last):\\n  File x\\nOSError: gone\\n"
        "12:00:01 127.0.0.1:8080\\n"
    )
    units = {
        "a": f"command = ['printf', '{printed}']",
        "suite": 'kind = "unittest"\npaths = ["suite.py"]',
    }
    folder = workplace.group(units, TEXTS, tables=TEXT_CHECKS)
    workplace.write(folder / "suite.py", SUITE)
    (folder / "times.txt").write_text("13:30:59 127.0.0.1:8080\n")
    (folder / "expected.txt").write_text("n=1 n=2\nn=3\nnever\n")
    (folder / "body.json").write_text('{"paid": null}')
    outcome = workplace.run()
    assert outcome.codes == ["check not null"], outcome.stdout
    assert "is null, expected 1" in outcome.group["findings"][0]["message"]


def test_the_first_example_of_the_page_runs_as_shown(workplace: Workplace) -> None:
    page = Path(__file__).parents[2] / "docs" / "coming-from-pysys.md"
    config, code, shell = re.findall(
        r"^```\w+\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    )[:3]
    workplace.write(workplace.folder / "orders" / "config.toml", config)
    workplace.write(workplace.folder / "orders" / "test_case.py", code)
    make, run = shell.splitlines()
    assert run == "testrium run orders"
    (workplace.folder / make.removeprefix("mkdir ")).mkdir()
    outcome = workplace.run("orders")
    assert (outcome.exit_code, outcome.group["notes"]) == (0, []), outcome.stdout


def test_breakpoint_gets_the_terminal_of_the_run(workplace: Workplace) -> None:
    code = """
    def main():
        served = 1
        breakpoint()
        assert served == 2
    def test_it():
        value = 41
        breakpoint()
        assert value == 42
    """
    entrypoint = "entrypoint = 'test_case:main'\nquiet = true"
    workplace.group({"a": entrypoint}, code, configs="timeout = 1")
    debugged = subprocess.run(
        [sys.executable, "-m", "testrium", "run", "--debug", "--json", "-"],
        cwd=workplace.folder,
        env=workplace.env,
        input="p served + 10\n!served = 2\nc\np value + 100\n!value = 42\nc\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert debugged.returncode == 0, debugged.stderr
    assert re.findall(r"^\(Pdb\) (\d+)$", debugged.stderr, re.MULTILINE) == ["11", "141"]
    assert json.loads(debugged.stdout)["verdict"] == "pass"
    assert "testrium run --debug" in workplace.run().group["findings"][0]["message"]
