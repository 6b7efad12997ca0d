"""What a run leaves behind is for its owner, and holds no secrets of the environment."""

from __future__ import annotations

import csv
import os
import re
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Workplace

SECRET = "s3cr3t-of-the-environment"
#: Fails in every way that leaves evidence: a hang, an exception, a child, output.
UNITS = {
    "hangs": 'entrypoint = "test_case:hangs"\ntimeout = 1\nenv = {COPY = "${env.API_TOKEN}"}',
    "raises": 'entrypoint = "test_case:raises"\nin-except = "Resume"',
}
CODE = """
import os, subprocess, sys, time
def hangs():
    assert os.environ["API_TOKEN"] == os.environ["COPY"]
    testrium.unit().probe("up")
    subprocess.Popen(["sleep", "60"])
    print("here", file=sys.stderr)
    time.sleep(60)
def raises():
    token = os.environ["API_TOKEN"]
    testrium.unit().probe("up")
    raise ValueError("no")
"""


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_no_secret_of_the_environment_is_stored(workplace: Workplace) -> None:
    workplace.env["API_TOKEN"] = SECRET
    workplace.group(UNITS, CODE, configs="timeout = 10")
    outcome = workplace.run("--html", "page.html", "--junit", "junit.xml")
    assert "exception raises:ValueError" in outcome.codes
    assert (workplace.folder / "page.html").exists()
    found = [path for path in files_below(workplace.folder) if SECRET in path.read_text("latin-1")]
    assert found == []
    assert SECRET not in outcome.stdout + outcome.stderr


#: Each says something of a text that holds the secret, and means it.
TELLING_UNITS = {
    "unready": 'command = ["sleep", "60"]\nready = {http = "http://127.0.0.1:9/${env.API_TOKEN}"}\n'
    "ready_timeout = 0.3",
    "unstarted": 'command = ["/nowhere/${env.API_TOKEN}"]',
    "leaves": 'entrypoint = "test_case:leaves"\nenv = {COPY = "${env.API_TOKEN}"}',
    "hangs": 'command = ["sh", "-c", "sleep 60; : ${env.API_TOKEN}"]\ntimeout = 1',
    "well": 'command = ["true"]',
}
TELLING_CODE = """
import os, subprocess
def leaves():
    subprocess.Popen(["sh", "-c", "sleep 60; : " + os.environ["COPY"]])
    testrium.unit().probe("up")
"""
TELLING_CHECKS = """
timeout = 10
[[checks]]
name = "token"
value = "${env.API_TOKEN}"
equals = "another"
"""


def told_of(workplace: Workplace, *words: str) -> str:
    done = workplace.finish(workplace.start(*words))
    return done.stdout + done.stderr


def test_no_value_of_a_variable_is_stored_or_shown(workplace: Workplace) -> None:
    """Of a command, an URL, a check and a process that is left behind."""
    workplace.env |= {"API_TOKEN": SECRET, "GITHUB_ACTIONS": "true"}
    for name, unit in TELLING_UNITS.items():
        workplace.group({name: unit}, TELLING_CODE, configs=TELLING_CHECKS, name=name)
    told = told_of(workplace, "run", "--html", "page.html", "--junit", "junit.xml")
    told += told_of(workplace, "show") + told_of(workplace, "verify")
    found = [path for path in files_below(workplace.folder) if SECRET in path.read_text("latin-1")]
    assert found == []
    assert SECRET not in told
    assert "http://127.0.0.1:9/${env.API_TOKEN}" in told
    assert "/nowhere/${env.API_TOKEN}" in told
    assert "sleep 60; : ${env.API_TOKEN}" in told
    assert 'the value is "${env.API_TOKEN}", expected "another"' in told


def test_a_check_whose_variable_is_gone_keeps_its_result(workplace: Workplace) -> None:
    workplace.env["API_TOKEN"] = SECRET
    code = "def up():\n    testrium.unit().probe('up')\n"
    configs = TELLING_CHECKS.replace("another", SECRET)
    workplace.group({"a": 'entrypoint = "test_case:up"'}, code, configs=configs)
    assert workplace.run().exit_code == 0
    del workplace.env["API_TOKEN"]
    again = workplace.finish(workplace.start("verify"))
    assert again.exit_code == 0, again.stdout
    shown = told_of(workplace, "verify", "--json", "-")
    assert "its stored result stays: ${env.API_TOKEN} is not set here" in shown
    workplace.env["API_TOKEN"] = "another-token"
    assert workplace.finish(workplace.start("verify")).exit_code == 1


def test_what_a_run_stores_is_its_owners(workplace: Workplace) -> None:
    workplace.group(UNITS, CODE, configs="timeout = 10")
    workplace.env["API_TOKEN"] = "x"
    before = os.umask(0)
    try:
        workplace.run()
    finally:
        os.umask(before)
    state = workplace.folder / ".testrium"
    open_to_others = {
        path.relative_to(state).as_posix(): oct(path.stat().st_mode & 0o777)
        for path in (state, *state.rglob("*"))
        if path.stat().st_mode & 0o077
    }
    assert open_to_others == {}


def test_a_link_among_the_runs_is_not_followed(workplace: Workplace, tmp_path: Path) -> None:
    """What a link names is no run: it is never removed."""
    precious = tmp_path / "precious" / "20200101-000000-aaaa"
    precious.mkdir(parents=True)
    (precious / "thesis.txt").write_text("years")
    state = workplace.folder / ".testrium"
    state.mkdir()
    (state / "runs").mkdir()
    (state / "runs" / "20200101-000000-bbbb").symlink_to(precious)
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'}, "def a():\n    testrium.unit().probe('up')\n"
    )
    assert workplace.run().exit_code == 0
    done = workplace.finish(workplace.start("clean", "--keep", "0"))
    assert done.exit_code == 0
    assert (precious / "thesis.txt").read_text() == "years"


HOSTILE = "=1+1</script><script>alert(1)</script>\x1b[2J\r\n::error::x]]>--><x ok 9"
HOSTILE_CODE = f"""
def a():
    me = testrium.unit()
    me.send("sent", key={HOSTILE!r}, value={HOSTILE!r})
    raise ValueError({HOSTILE!r})
"""


def test_hostile_text_is_only_text_in_every_report(workplace: Workplace) -> None:
    workplace.group({"a": 'entrypoint = "test_case:a"'}, HOSTILE_CODE)
    files = ("--html", "page.html", "--junit", "junit.xml", "--tap", "out.tap")
    summary = workplace.folder / "summary.md"
    workplace.env |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    outcome = workplace.run(*files)
    assert outcome.exit_code == 1
    assert "\x1b" not in outcome.stdout + outcome.stderr
    page = (workplace.folder / "page.html").read_text()
    assert "alert(1)" in page
    assert "<script>alert" not in page
    ET.parse(workplace.folder / "junit.xml")  # it is XML
    tap = (workplace.folder / "out.tap").read_text().splitlines()
    assert [line for line in tap if line.startswith("ok")] == []
    told = outcome.stdout.splitlines()
    assert [line for line in told if line.startswith("::error")], "commands for the server"
    assert not [line for line in told if line.startswith("::error::x")]
    marked = [line for line in summary.read_text().splitlines() if "<script" in line]
    assert all(line.startswith("    ") for line in marked), "only as code"
    shown = workplace.finish(workplace.start("show"))
    assert "\x1b" not in shown.stdout + shown.stderr


COMMANDS = ("::error::x", "   ::add-mask::x", "x ##[error]y", "x ##vso[task.complete]y")
COMMAND_CODE = f"""
def a():
    me = testrium.unit()
    for number, command in enumerate({COMMANDS!r}):
        print(command)
        me.send(command, key=command, meta={{"text": command}})
    raise ValueError({COMMANDS[0]!r} + chr(10) + {COMMANDS[3]!r})
"""


def commands_in(text: str) -> list[str]:
    """Where a build server would find one, those of Testrium itself left out."""
    own = ("::error file=", "::error title=", "::warning file=", "::warning title=")
    lines = [line for line in text.splitlines() if not line.startswith(own)]
    return [line for line in lines if re.match(r"\s*::|.*##\w*\[", line)]


def test_no_output_holds_a_command_of_a_build_server(workplace: Workplace) -> None:
    """Whatever is printed: on the console, in every report that could be, of a page and a table."""
    workplace.group({"a": 'entrypoint = "test_case:a"'}, COMMAND_CODE)
    workplace.env["GITHUB_ACTIONS"] = "true"
    reports = ("json", "junit", "tap", "json-stream", "html")
    files = [word for name in reports for word in (f"--{name}", f"out.{name}")]
    shown = workplace.finish(workplace.start("-v", "run", "--plain", *files))
    assert shown.exit_code == 1
    assert commands_in(shown.stdout + shown.stderr) == []
    for name in reports:
        assert commands_in((workplace.folder / f"out.{name}").read_text()) == []
    for words in (["show"], ["show", "--json"], ["history", "--json"]):
        told = workplace.finish(workplace.start(*words))
        assert commands_in(told.stdout + told.stderr) == []


def test_no_cell_of_an_export_is_a_formula(workplace: Workplace) -> None:
    well = "def a():\n    testrium.unit().probe('done')\n"
    for name in ("=1+1", "+1", "-1", "@sum"):
        workplace.group({"a": 'entrypoint = "test_case:a"'}, well, name=name)
    assert workplace.run().exit_code == 0
    exported = workplace.finish(workplace.start("history", "export", "out.csv"))
    assert exported.exit_code == 0, exported.stderr
    rows = list(csv.DictReader((workplace.folder / "out.csv").read_text().splitlines()))
    assert {row["group"] for row in rows} == {"'=1+1", "'+1", "'-1", "'@sum"}
    cells = {cell for row in rows for cell in row.values()}
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_what_units_connect_to_is_its_owners(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import os
        def a():
            folder = os.path.dirname(os.environ["TESTRIUM_SOCKET"])
            testrium.unit().probe("saw", mode=os.stat(folder).st_mode & 0o777)
            assert os.stat(folder).st_mode & 0o077 == 0
        """,
    )
    assert workplace.run().codes == []


CARD = "4111-1111-1111-1111"
MASKED_CODE = f"""
import sys
def a():
    me = testrium.unit()
    print("paid with {CARD}", flush=True)
    print("paid with {CARD}", file=sys.stderr)
    me.send("paid", key="card {CARD}", meta={{"card": "{CARD}", "deep": ["{CARD}"]}})
    raise ValueError("no money on {CARD}")
"""
MASKED_CONFIGS = r"""
timeout = 10
[[checks]]
name = "paid"
log = "a"
lacks = ["paid with"]
[verify]
mask = ["4111(-\\d{4}){3}"]
"""


def test_what_is_masked_leaves_the_folder_of_the_run_nowhere(workplace: Workplace) -> None:
    """Not on the console, in no report, on no page and in no archive. The folder keeps it."""
    workplace.env["GITHUB_ACTIONS"] = "true"
    workplace.group({"a": 'entrypoint = "test_case:a"'}, MASKED_CODE, configs=MASKED_CONFIGS)
    reports = ("json", "junit", "tap", "json-stream", "html")
    files = [word for name in reports for word in (f"--{name}", f"out.{name}")]
    told = told_of(workplace, "-v", "run", "--plain", *files, "--archive", "run.zip")
    for words in (
        ("show",),
        ("show", "--timeline"),
        ("show", "--key", f"card {CARD}"),
        ("report", "--html", "later.html"),
        ("verify", "--json", "again.json"),
        ("show", "run.zip"),
    ):
        told += told_of(workplace, *words)
    assert CARD not in told
    assert "card ***" in told
    for path in files_below(workplace.folder):
        below = path.relative_to(workplace.folder).parts
        if below[0] in (".testrium", "group"):
            continue
        assert CARD not in path.read_text("latin-1"), path
    with zipfile.ZipFile(workplace.folder / "run.zip") as archive:
        for name in archive.namelist():
            assert CARD.encode() not in archive.read(name), name
        assert any(b"paid with ***" in archive.read(name) for name in archive.namelist())
    state = files_below(workplace.folder / ".testrium")
    kept = {path.name for path in state if CARD in path.read_text("latin-1")}
    assert kept >= {"Data.db", "stdout.log", "stderr.log"}
