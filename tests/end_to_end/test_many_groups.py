"""Many groups in one run: which of them, in which order, how often, and what stays of them."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Outcome, Workplace

UNIT = {"a": 'entrypoint = "test_case:a"\nevents = ["done"]'}
PASSING = """
def a():
    testrium.unit().probe("done")
"""
FAILING = """
def a():
    raise SystemExit(3)
"""
#: Passes until a file of its folder says otherwise.
DEPENDS = """
from pathlib import Path
def a():
    here = Path(__file__).parent
    runs = len(list(here.glob("run-*")))
    (here / f"run-{runs}").touch()
    if runs < int((here / "passes").read_text()):
        testrium.unit().probe("done")
"""


def groups(workplace: Workplace, **codes: str) -> None:
    for name, code in codes.items():
        workplace.group(UNIT, code, name=name.replace("__", "/"))


def verdicts(outcome: Outcome) -> dict[str, str]:
    return {group["id"]: group["verdict"] for group in outcome.report["groups"]}


def started(outcome: Outcome) -> list[str]:
    """The groups as the console tells them, by when they ended."""
    return re.findall(r"^(?:PASS|FAIL|ERROR) +(\S+) ", outcome.stdout, re.MULTILINE)[
        : len(outcome.report["groups"])
    ]


def stored(workplace: Workplace) -> list[Path]:
    """The folders of all runs, the oldest first."""
    return sorted((workplace.folder / ".testrium" / "runs").iterdir())


def command(workplace: Workplace, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testrium", *arguments],
        cwd=workplace.folder,
        env=workplace.env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_first_failure_ends_the_run_with_x(workplace: Workplace) -> None:
    groups(workplace, a=PASSING, b=FAILING, c=PASSING, d=PASSING)
    outcome = workplace.run("-x", "-j", "1")
    assert outcome.exit_code == 1
    assert verdicts(outcome) == {"a": "pass", "b": "fail"}
    assert "stopped after 1 failure: 2 more results were not started" in outcome.stdout


def test_a_shuffled_run_can_be_repeated(workplace: Workplace) -> None:
    groups(workplace, a=PASSING, b=PASSING, c=PASSING, d=PASSING)
    first = workplace.run("--shuffle", "-j", "1")
    assert first.exit_code == 0
    assert list(verdicts(first)) == ["a", "b", "c", "d"]
    found = re.search(r"--shuffle (\d+)", first.stdout)
    assert found is not None
    again = workplace.run("--shuffle", found[1], "-j", "1")
    assert started(again) == started(first)
    assert sorted(started(first)) == ["a", "b", "c", "d"]


def test_until_fail_repeats_everything(workplace: Workplace) -> None:
    groups(workplace, flaky=DEPENDS, good=PASSING)
    (workplace.folder / "flaky" / "passes").write_text("2")
    outcome = workplace.run("--until-fail")
    assert outcome.exit_code == 1
    results = [(one["id"], one["repeat"], one["verdict"]) for one in outcome.report["groups"]]
    assert results == [
        ("flaky", 0, "pass"),
        ("flaky", 1, "pass"),
        ("flaky", 2, "fail"),
        ("good", 0, "pass"),
        ("good", 1, "pass"),
        ("good", 2, "pass"),
    ]


def test_repeat_bounds_until_fail(workplace: Workplace) -> None:
    groups(workplace, good=PASSING)
    outcome = workplace.run("--until-fail", "--repeat", "2")
    assert outcome.exit_code == 0
    assert [one["repeat"] for one in outcome.report["groups"]] == [0, 1, 2]


def test_until_fail_does_not_repeat_what_is_only_skipped(workplace: Workplace) -> None:
    workplace.group(UNIT, PASSING, configs='skip = "later"')
    outcome = workplace.run("--until-fail")
    assert (outcome.exit_code, len(outcome.report["groups"])) == (0, 1)


def test_an_interrupt_ends_until_fail(workplace: Workplace) -> None:
    groups(workplace, good=PASSING)
    report = str(workplace.folder / "report.json")
    process = workplace.start("run", "--until-fail", "--plain", "--json", report)
    assert process.stdout is not None
    while "+2" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    outcome = workplace.finish(process)
    assert outcome.exit_code == 130
    assert len(outcome.report["groups"]) >= 3


def test_failed_runs_only_what_did_not_pass(workplace: Workplace) -> None:
    groups(workplace, good=PASSING, shop__bad=FAILING, shop__flaky=DEPENDS)
    (workplace.folder / "shop" / "flaky" / "passes").write_text("0")
    workplace.run()
    (workplace.folder / "shop" / "flaky" / "passes").write_text("9")
    again = workplace.run("--failed")
    assert verdicts(again) == {"shop/bad": "fail", "shop/flaky": "pass"}
    # Known by its folder, wherever it is looked for.
    third = workplace.run("--failed", "shop")
    assert verdicts(third) == {"shop/bad": "fail"}
    assert workplace.run("--failed", "good").exit_code == 2


def test_failed_knows_groups_that_are_not_in_the_history(workplace: Workplace) -> None:
    workplace.group(UNIT, FAILING, name="bad", configs="save-metrics = false")
    groups(workplace, good=PASSING)
    workplace.run()
    assert verdicts(workplace.run("--failed")) == {"bad": "fail"}


def test_failed_without_a_failure_says_so(workplace: Workplace) -> None:
    groups(workplace, good=PASSING)
    never = workplace.run("--failed")
    assert (never.exit_code, never.stderr) == (2, "testrium: --failed: no earlier run is kept\n")
    workplace.run()
    none = workplace.run("--failed")
    assert none.exit_code == 2
    assert "--failed: everything passed when it was last run" in none.stderr


def test_groups_are_named_by_patterns(workplace: Workplace) -> None:
    groups(workplace, shop__cart=PASSING, shop__search=PASSING, stock=PASSING)
    assert list(verdicts(workplace.run("s*"))) == ["shop/cart", "shop/search", "stock"]
    assert list(verdicts(workplace.run("shop/*"))) == ["shop/cart", "shop/search"]
    assert list(verdicts(workplace.run("--less", "shop/*"))) == ["stock"]
    wrong = workplace.run("x*")
    assert (wrong.exit_code, wrong.stderr) == (3, "testrium: x*: no folder matches\n")


MATRIX = """
[matrix]
browser = ["a", "b"]
size = [1, 2]
exclude = [{browser = "a", size = 2}]
primary = [{size = 1}]
"""
TELLS = """
import os
def a():
    names = ("BROWSER", "SIZE")
    told = [os.environ["TESTRIUM_PARAM_" + name] for name in names]
    testrium.unit().probe("done", told=told, both=os.environ["BOTH"])
"""


def told(group: dict[str, Any]) -> dict[str, Any]:
    (file,) = Path(group["run_dir"], "units", "a").glob("probes-*.jsonl")
    meta = json.loads(file.read_text())["meta"]
    assert isinstance(meta, dict)
    return meta


def test_every_combination_of_the_matrix_is_a_result(workplace: Workplace) -> None:
    unit = {"a": UNIT["a"] + '\nenv = {BOTH = "${param.browser}-${param.size}"}'}
    workplace.group(unit, TELLS, name="shop/web", tables=MATRIX)
    outcome = workplace.run("--all-modes")
    assert outcome.exit_code == 0
    found = {one["id"]: (one["params"], told(one)) for one in outcome.report["groups"]}
    assert found == {
        f"shop/web[browser={browser},size={size}]": (
            {"browser": browser, "size": size},
            {"told": [browser, size], "both": f"{browser}-{size}"},
        )
        for browser, size in (("a", "1"), ("b", "1"), ("b", "2"))
    }
    assert Path(outcome.report["groups"][0]["run_dir"], "Data.db").is_file()
    assert len(workplace.run().report["groups"]) == 2
    assert command(workplace, "verify").returncode == 0
    assert command(workplace, "show", "", "shop/web[browser=b,size=1]").returncode == 0


def test_a_matrix_that_is_wrong_is_told_with_its_line(workplace: Workplace) -> None:
    workplace.group(UNIT, PASSING, tables=MATRIX + 'exclud = "x"\n')
    outcome = workplace.run()
    assert outcome.exit_code == 3
    assert "group/config.toml:10: matrix.exclud: must be a list of" in outcome.stderr


def test_a_run_folder_lies_where_the_id_says(workplace: Workplace) -> None:
    groups(workplace, shop__cart=PASSING)
    outcome = workplace.run()
    run_dir = Path(outcome.group["run_dir"])
    assert run_dir == stored(workplace)[0] / "shop" / "cart"
    assert (run_dir / "Data.db").is_file()
    assert {path.stat().st_mode & 0o777 for path in (run_dir, *run_dir.parents[:4])} == {0o700}


def test_a_moved_run_is_judged_where_it_is(workplace: Workplace, tmp_path: Path) -> None:
    groups(workplace, shop__cart=FAILING)
    workplace.run()
    moved = workplace.folder / "elsewhere"
    (workplace.folder / ".testrium").rename(moved)
    workplace.write(workplace.folder / "testrium.toml", 'state = "elsewhere"\n')
    shown = command(workplace, "show")
    assert "elsewhere/runs/" in shown.stdout
    assert command(workplace, "verify").returncode == 1


def test_the_longest_starts_first_once_its_duration_is_known(workplace: Workplace) -> None:
    groups(workplace, a=PASSING, b=PASSING, c=PASSING, long=PASSING)
    workplace.run()
    with contextlib.closing(sqlite3.connect(workplace.folder / ".testrium/history.db")) as history:
        history.execute("UPDATE results SET duration_s = 60 WHERE group_id = 'long'")
        history.commit()
    outcome = workplace.run("-v", "-j", "2")
    assert begun(outcome)[0] == "long"
    assert list(verdicts(outcome)) == ["a", "b", "c", "long"]
    assert begun(workplace.run("-v", "-j", "1")) == ["a", "b", "c", "long"]


def begun(outcome: Outcome) -> list[str]:
    """The groups by when they began; for runs with -v."""
    return re.findall(r"^start (\S+)", outcome.stdout, re.MULTILINE)


def test_a_group_that_declares_nothing_passes_with_a_note_and_strict_fails_it(
    workplace: Workplace,
) -> None:
    workplace.group({"a": 'command = ["true"]'})
    outcome = workplace.run()
    assert (outcome.exit_code, outcome.codes) == (0, [])
    assert [(n["code"], n["where"]) for n in outcome.group["notes"]] == [("vacuous", "group")]
    assert "note: vacuous at group" in workplace.finish(workplace.start("show")).stdout

    strict = workplace.run("--strict")
    assert (strict.exit_code, strict.codes) == (1, ["vacuous group"])
    assert workplace.finish(workplace.start("verify")).exit_code == 1


def test_strict_makes_a_missing_program_an_error(workplace: Workplace) -> None:
    workplace.group(UNIT, PASSING, configs='requires = ["no-such-program"]')
    skipped = workplace.run()
    assert (skipped.exit_code, skipped.group["verdict"]) == (0, "skip")
    assert "no-such-program" in skipped.group["reason"]
    strict = workplace.run("--strict")
    assert (strict.exit_code, strict.group["verdict"]) == (5, "error")
    assert strict.codes == ["infra group"]
    assert "no-such-program" in strict.group["findings"][0]["message"]


@pytest.mark.parametrize(
    ("keep", "left"),
    [("all", ["bad", "shop"]), ("failed", ["bad"]), ("none", [])],
)
def test_keep_says_whose_folders_stay(workplace: Workplace, keep: str, left: list[str]) -> None:
    groups(workplace, bad=FAILING, shop__good=PASSING)
    outcome = workplace.run("--keep", keep)
    (run,) = stored(workplace)
    assert sorted(path.name for path in run.iterdir() if path.is_dir()) == left
    assert (run / "report.json").is_file()
    for group in outcome.report["groups"]:
        assert group["run_dir"] is None or Path(group["run_dir"]).is_dir()
    assert command(workplace, "verify").returncode == 1


def test_clean_removes_runs(workplace: Workplace) -> None:
    groups(workplace, good=PASSING)
    for _ in range(3):
        workplace.run()
    assert command(workplace, "clean", "--keep", "1").stdout == "2 runs removed, 1 kept\n"
    assert len(stored(workplace)) == 1
    assert (workplace.folder / ".testrium" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("who", ["clean", "run"])
def test_what_a_lost_run_has_left_is_ended(workplace: Workplace, who: str) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import subprocess
        def a():
            testrium.unit().probe("up")
            subprocess.run(["sh", "-c", "echo up; exec sleep 600"], start_new_session=True)
        """,
        configs="timeout = 60",
    )
    groups(workplace, other__good=PASSING)
    lose(workplace.start("run", "-v", "group"))
    assert len(workplace.survivors()) == 1
    done = command(workplace, who, *(["other"] if who == "run" else []))
    assert "was lost; ended a process of it: s" in done.stdout
    assert workplace.survivors() == []


def lose(process: subprocess.Popen[str]) -> None:
    """Kill a runner, its supervisor and its keepers at once, when a unit says "up"."""
    assert process.stdout is not None
    while not process.stdout.readline().endswith(" up\n"):
        assert process.poll() is None
    runner = psutil.Process(process.pid)
    runner.suspend()  # first: it would have its supervisor go on, and that one its keepers
    watching = [
        each for each in runner.children(recursive=True) if each.name() not in ("sh", "sleep")
    ]
    for each in watching:
        each.suspend()  # so that nobody can react to the end of another
    for each in (runner, *watching):
        each.kill()
    psutil.wait_procs(watching, timeout=10)
    process.communicate()


def test_list_for_machines(workplace: Workplace) -> None:
    workplace.group(
        UNIT,
        PASSING,
        name="shop/web",
        configs='tags = ["x"]\nrequirements = ["R-1"]\ntest-modes = ["DEBUG", "INFO"]\nrepeat = 1',
        tables=MATRIX,
    )
    workplace.group(UNIT, PASSING, name="old", configs='skip = "later"')
    old, *web = json.loads(command(workplace, "list", "--json").stdout)
    assert (old["id"], old["skip"]) == ("old", "later")
    assert [one["id"] for one in web] == [
        "shop/web[browser=a,size=1]",
        "shop/web[browser=b,size=1]",
    ]
    assert web[0] == {
        "id": "shop/web[browser=a,size=1]",
        "folder": str(workplace.folder / "shop" / "web"),
        "title": "",
        "purpose": "",
        "order": 0,
        "expect_fail": None,
        "modes": ["DEBUG", "INFO"],
        "params": {"browser": "a", "size": "1"},
        "repeat": 1,
        "units": ["a"],
        "fixtures": [],
        "circuits": [],
        "tags": ["x"],
        "requirements": ["R-1"],
        "requires": [],
        "skip": None,
    }
    lines = command(workplace, "list", "--all-modes").stdout.splitlines()
    assert [line.split()[0] for line in lines][1:] == [
        "shop/web[browser=a,size=1]",
        "shop/web[browser=b,size=1]",
        "shop/web[browser=b,size=2]",
    ]
    assert lines[1].endswith("1 unit, 0 circuits, DEBUG INFO, 2 runs, #x, covers R-1")


def test_a_stored_run_becomes_a_page(workplace: Workplace) -> None:
    groups(workplace, bad=FAILING)
    outcome = workplace.run("--html", "now.html")
    page = (workplace.folder / "now.html").read_text()
    assert outcome.report["run"] in page
    done = command(workplace, "report")
    assert done.stdout == f"run {outcome.report['run']}: report.html\n"
    assert (workplace.folder / "report.html").read_text() == page
    again = command(workplace, "report", outcome.report["run"][:8], "--json", "-")
    assert json.loads(again.stdout)["run"] == outcome.report["run"]
