"""The pytest plugin, with the pytest that is installed."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

# pytester forgets what a run inside of it has imported; a second asyncio would not know the first.
import testrium.session  # noqa: F401

pytest_plugins = ("pytester",)

CASES = Path(__file__).parent / "corpus" / "cases"

SENDER = (
    "import testrium\n\ndef a():\n    testrium.unit().probe('sent', key='k1')\n\n"
    "def test_of_the_group():\n    pass\n"
)
ROUTE = '[verify]\nlinger = 0\n[[circuits]]\nname = "c"\nroute = ["a:sent"{}]\n{}'

TEST = "def test_own(): pass"

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """pytest in this process, with the plugin once."""
    installed = entry_points(group="pytest11", name="testrium")
    plugin = () if installed else ("-p", "testrium.pytest_plugin")
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        monkeypatch.delenv(name)  # of the run that this test is a part of

    def call(*arguments: str) -> pytest.RunResult:
        own = ("-p", "no:xdist") if "-n" not in arguments else ()
        return pytester.runpytest_inprocess(*plugin, *own, *arguments)

    return call


def write_group(folder: Path, configs: str = "", tables: str = "", code: str = SENDER) -> Path:
    (folder / "units").mkdir(parents=True)
    (folder / "config.toml").write_text(f'[Configs]\nunits = ["a"]\n{configs}\n{tables}')
    (folder / "units" / "a.toml").write_text('["a"]\nentrypoint = "test_case:a"\n')
    (folder / "test_case.py").write_text(code)
    return folder


def test_each_verdict_has_its_outcome(pytester: pytest.Pytester, run: Run) -> None:
    write_group(pytester.path / "good", 'title = "All is well"', ROUTE.format("", ""))
    write_group(pytester.path / "lossy", "", ROUTE.format(', "a:got"', ""))
    write_group(pytester.path / "known", 'expect-fail = "#12"', ROUTE.format(', "a:got"', ""))
    write_group(pytester.path / "later", 'skip = "not today"')
    write_group(pytester.path / "few", "", ROUTE.format("", 'p95 = "1s"'))
    result = run("--testrium", "-ra", "--junit-xml=j.xml")
    result.assert_outcomes(passed=1, failed=1, xfailed=1, skipped=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of few*",
            "samples at c: *",
            "*lossy*",
            "lost at a:got: k1 never reached a:got; last seen at a:sent",
            "  rerun  testrium run lossy",
            "run *: testrium show *",
            "SKIPPED [[]1] later/config.toml:1: not today",
            "XFAIL at setup of known/config.toml::known - #12",
            "FAILED lossy/config.toml::lossy - lost at a:got: *",
        ]
    )
    cases = {one.get("name"): one for one in ET.parse(pytester.path / "j.xml").iter("testcase")}
    facts = {one.get("name"): one.get("value") for one in cases["good"].iter("property")}
    assert (facts["title"], facts["verdict"]) == ("All is well", "pass")
    assert cases["few"].find("error") is not None
    failure = cases["lossy"].find("failure")
    assert failure is not None
    assert failure.text is not None
    assert failure.get("message") == "lost at a:got: k1 never reached a:got; last seen at a:sent"
    assert "rerun  testrium run lossy" in failure.text
    (kept,) = (pytester.path / ".testrium" / "runs").iterdir()  # one run for the session
    assert (kept / "lossy" / "Data.db").is_file()
    failed_again = run("--testrium", "--lf", "lossy/config.toml::lossy")
    failed_again.assert_outcomes(failed=1)


def test_an_item_for_each_mode_and_parameter_set(pytester: pytest.Pytester, run: Run) -> None:
    write_group(
        pytester.path / "deep" / "one",
        'tags = ["quick", "skip", "x:y", "slow(1)"]\ntest-modes = ["DEBUG", "INFO"]\nrepeat = 1',
        '[matrix]\nsize = ["small", "big"]\n',
    )
    write_group(pytester.path / "deep" / "two", 'title = "Second of them"')
    everything = run("--testrium", "deep", "--collect-only", "-q", "--strict-markers")
    assert everything.parseoutcomes() == {"tests": 9}
    name = "deep/one/config.toml::one[size=big]@INFO+1"
    assert name in everything.outlines
    pasted = run("--testrium", name, "--collect-only", "-q")
    assert [line for line in pasted.outlines if "::" in line] == [name]
    assert run("--testrium", "-m", "quick", "--collect-only", "-q").ret == 0
    by_title = run("--testrium", "-k", "Second", "--collect-only", "-q")
    assert [line for line in by_title.outlines if "::" in line] == ["deep/two/config.toml::two"]


def test_files_of_groups_are_not_collected(pytester: pytest.Pytester, run: Run) -> None:
    for name in ("one", "two"):
        write_group(pytester.path / "groups" / name)
        pytester.makepyfile(**{f"groups/{name}/inner/test_inner": "def test_inner(): pass"})
    pytester.makepyfile(test_own="def test_own(): pass")
    run().assert_outcomes(passed=1)
    run("groups/one/inner").assert_outcomes(passed=1)  # it was asked for
    run("groups/one/test_case.py").assert_outcomes(passed=1)


def test_the_conftest_of_a_group_that_is_not_collected_is_not_imported(
    pytester: pytest.Pytester, run: Run
) -> None:
    write_group(pytester.path / "groups" / "one")
    pytester.makepyfile(**{"groups/one/conftest": "raise RuntimeError", "test_own": TEST})
    run().assert_outcomes(passed=1)


def test_the_setting_names_where_groups_are(pytester: pytest.Pytester, run: Run) -> None:
    write_group(pytester.path / "e2e" / "one")
    write_group(pytester.path / "e2e" / "out")
    write_group(pytester.path / "elsewhere" / "two")
    (pytester.path / "e2e" / ".testriumignore").write_text("out\n")
    pytester.makepyfile(**{"tests/test_own": "def test_own(): pass"})
    pytester.makeini("[pytest]\ntestpaths = tests\ntestrium_paths = e2e\n")
    collected = run("--collect-only", "-q")
    assert [line for line in collected.outlines if "::" in line] == [
        "tests/test_own.py::test_own",
        "e2e/one/config.toml::one",
    ]
    with_paths = run("e2e", "elsewhere", "--collect-only", "-q")
    assert [line for line in with_paths.outlines if "::" in line] == ["e2e/one/config.toml::one"]


def test_groups_lie_beside_or_below_testpaths(pytester: pytest.Pytester, run: Run) -> None:
    write_group(pytester.path / "tests" / "one", "subgroups = true")
    write_group(pytester.path / "tests" / "one" / "inner")
    write_group(pytester.path / "two")
    pytester.makepyfile(**{"tests/test_own": TEST})
    pytester.makeini("[pytest]\ntestpaths = tests\n")
    collected = run("--testrium", "--collect-only", "-q")
    assert sorted(line for line in collected.outlines if "::" in line) == [
        "tests/one/config.toml::one",
        "tests/one/inner/config.toml::inner",
        "tests/test_own.py::test_own",
        "two/config.toml::two",
    ]


def test_where_no_group_is_found_the_reason_is_said(pytester: pytest.Pytester, run: Run) -> None:
    write_group(pytester.path / "one")
    result = run("--testrium", "one/units")
    result.stdout.fnmatch_lines(["no group found: one/units lies inside the group 'one': *"])
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_what_breaks_the_run_fails_the_session(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("testrium.session.record_run", full)
    write_group(pytester.path / "one")
    result = run("--testrium")
    result.stdout.fnmatch_lines(["the run failed: OSError: *No space left on device"])
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR


def test_mistakes_are_errors_of_collection(pytester: pytest.Pytester, run: Run) -> None:
    write_group(pytester.path / "bad", "tiemout = 4")
    result = run("--testrium")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*config.toml:3: tiemout: *did you mean*timeout*"])
    (write_group(pytester.path / "without") / "config.toml").unlink()
    (pytester.path / "bad" / "config.toml").write_text('[Configs]\nunits = ["a"]\n')
    named = run("--testrium", ".")
    named.assert_outcomes(errors=1)
    named.stdout.fnmatch_lines(["testrium: without/config.toml: is missing beside units/*.toml: *"])
    pytester.makefile(".toml", testrium="jobs = 4")
    assert "testrium.toml:1: jobs" in "\n".join(run("--testrium").errlines)


SERVICE = """
import os, socket, testrium

def a():
    unit = testrium.unit()
    with socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_ECHO"]))) as server:
        while True:
            with server.accept()[0] as peer:
                if key := peer.recv(100).decode():
                    unit.probe(os.environ.get("STEP", "heard"), key=key)
"""

TESTS = """
import socket
import pytest

def say(units, text):
    with socket.create_connection(("127.0.0.1", units.port("a", "echo"))) as peer:
        peer.send(text.encode())

def test_units_stay_up(testrium_units):
    with testrium_units("service") as units:
        for key in ("k1", "k2"):
            say(units, key)
            assert units.wait_for("a:heard", key).key == key
        assert units.url("a", "echo", "/x").endswith("/x")
        with pytest.raises(Exception, match="no port a.eco; its ports: a.echo"):
            units.port("a", "eco")
        with pytest.raises(TimeoutError, match="no event a:heard with key 'k3' within 0.01 s"):
            units.wait_for("a:heard", "k3", timeout_s=0.01)

def test_units_are_judged(testrium_units):
    with testrium_units("service", env={"STEP": "never"}) as units:
        say(units, "k1")
        units.wait_for("a:never")

def test_group_of_a_test(circuit):
    result = circuit("sender", params={"size": 2})
    assert result.passed and [event.step for event in result.events()] == ["sent"]
    assert circuit("sender", mode="INFO").passed

def test_paths_are_of_one_group(circuit, testrium_units):
    with pytest.raises(Exception, match="nowhere: no such folder"):
        circuit("nowhere")
    with pytest.raises(Exception, match="holds several groups: sender.*, service"):
        with testrium_units("."):
            pass
"""


def test_fixtures_run_groups_and_keep_units_up(pytester: pytest.Pytester, run: Run) -> None:
    service = write_group(
        pytester.path / "service",
        "timeout = 5",
        '[verify]\nlinger = 0\n[[circuits]]\nname = "c"\nroute = ["a:heard"]\n',
        SERVICE,
    )
    (service / "units" / "a.toml").write_text(
        '["a"]\nentrypoint = "test_case:a"\nports = ["echo"]\nstop = "runner"\n'
        'ready = {tcp = "${port.echo}"}\n'
    )
    write_group(pytester.path / "sender", "", "[matrix]\nsize = [1, 2]\n")
    pytester.makepyfile(test_it=TESTS)
    result = run()
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*GroupFailedError: vacuous at c: *",
            "*UsageError: *sender: nothing has mode INFO and parameters {}: sender[[]size=1[]] *",
        ]
    )


def test_a_fixture_of_the_run_starts_once_for_the_session(
    pytester: pytest.Pytester, run: Run
) -> None:
    (pytester.path / "fixtures").mkdir()
    (pytester.path / "fixtures" / "db.toml").write_text('["db"]\nentrypoint = "db:serve"\n')
    (pytester.path / "fixtures" / "db.py").write_text(
        "import time\n\ndef serve():\n    print('up', flush=True)\n    time.sleep(60)\n"
    )
    pytester.makefile(".toml", testrium="")
    for name in ("one", "two"):
        write_group(pytester.path / name, 'fixtures = ["db"]')
    result = run("--testrium")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["fixture.db: started once for the session"])
    (log,) = (pytester.path / ".testrium" / "runs").glob("*/fixtures/db/units/*/stdout.log")
    assert log.read_text() == "up\n"


def compare_with_the_corpus(pytester: pytest.Pytester, run: Run, *more: str) -> None:
    """Every case has the outcome in pytest that its verdict stands for."""
    expected = {}
    for case in sorted(pytester.path.glob("*/expect.toml")):
        told = tomllib.loads(case.read_text())
        if told.get("runs", 1) == 1:
            outcome = {"pass": "PASSED", "fail": "FAILED", "unknown": "ERROR"}[told["verdict"]]
            expected[case.parent.name] = outcome
        else:
            shutil.rmtree(case.parent)
    result = run("--testrium", "-rA", "-o", "norecursedirs=units", *more)
    got = {}
    for line in result.outlines:
        outcome, _, rest = line.partition(" ")
        if outcome in ("PASSED", "FAILED", "ERROR") and "config.toml::" in rest:
            got[rest.partition("/")[0]] = outcome
    assert got == expected


def test_some_of_the_corpus_has_its_verdicts(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASE_RUN", "1")
    cases = [next(CASES.glob(f"{begin}*")) for begin in ("F01", "H01")]
    cases += [one.parent for one in CASES.glob("*/expect.toml") if '"unknown"' in one.read_text()][
        :1
    ]
    for case in cases:
        shutil.copytree(case, pytester.path / case.name)
    compare_with_the_corpus(pytester, run)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_whole_corpus_has_its_verdicts(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    monkeypatch.setenv("CASE_RUN", "1")
    shutil.copytree(CASES, pytester.path, dirs_exist_ok=True)
    compare_with_the_corpus(pytester, run, "-n", workers)
