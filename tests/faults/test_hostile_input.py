"""Hostile text, options, files and stored runs: refused or written out, in words and at once.

One real run with everything that must be shown nowhere serves most of these tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zipfile import ZipFile

import pytest

from testrium.cli.main import entry
from testrium.record.runs import claimed, list_runs

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace

VALUE = "opensesame-4711"
CARD = "4111-2222-3333-4444"
COMMANDS = ("::error::x", "  ::set-output name=a::b", "a ##[error]b", "a ##vso[task.x]b")
REPORTS = ("page.html", "junit.xml", "run.zip", "out.json")


class Finished(NamedTuple):
    """A run of hostile units that is over; `folder` is where it was started."""

    outcome: Outcome
    folder: Path

    @property
    def run(self) -> Path:
        (run,) = list_runs(self.folder / ".testrium")
        return run


@pytest.fixture(scope="module")
def finished(
    workplace_at: Callable[[Path], Workplace], tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    workplace = workplace_at(tmp_path_factory.mktemp("hostile"))
    workplace.env |= {"TOKEN": VALUE, "TZ": "Pacific/Kiritimati"}
    workplace.env.pop("GITHUB_ACTIONS", None)  # annotations are commands, of Testrium's own
    lines = "".join(f"print({text!r})\n" for text in (*COMMANDS, CARD))
    lines += 'import os\nprint("token", os.environ["TOKEN"])\n'
    folder = workplace.folder / "group"
    units = {
        "port": 'command = ["sleep", "9"]\nready = {tcp = "${env.TOKEN}:80"}\nready_timeout = 0.1',
        "shell": 'command = ["sleep", "9"]\nready = {command = ["${env.TOKEN}"]}\n'
        "ready_timeout = 0.1",
        "start": 'command = ["${env.TOKEN}/program"]',
        "talk": f'command = ["{sys.executable}", "talk.py"]\nexit = 7',
    }
    workplace.group(
        {name: f'{keys}\nin-except = "Resume"\n' for name, keys in units.items()},
        tables="""
            [[checks]]
            name = "value"
            value = "${env.TOKEN}"
            expect = "value == 1"
            [verify]
            mask = ["4111(-[0-9]{4}){3}"]
        """,
        talk=lines,
    )
    written = (
        f"--{name}={target}" for name, target in zip(("html", "junit"), REPORTS, strict=False)
    )
    before = os.umask(0)
    try:
        outcome = workplace.run(*written, "--archive=run.zip", "--json=out.json", "-v")
    finally:
        os.umask(before)
    assert (folder / "talk.py").exists()
    return Finished(outcome, workplace.folder)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command says that is refused with an exit code, in time."""

    def run(folder: Path, code: int, *arguments: str) -> str:
        monkeypatch.chdir(folder)
        began = time.process_time()
        assert entry(list(arguments)) == code
        assert time.process_time() - began < 2
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return out + err

    return run


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Finished:
    """The same run in a folder of its own, to be broken."""
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
    return Finished(finished.outcome, tmp_path / "copy")


def test_a_value_of_the_environment_is_stored_and_shown_nowhere(finished: Finished) -> None:
    report = json.loads((finished.folder / "out.json").read_text())
    found = {(one["code"], one["where"]) for one in report["groups"][0]["findings"]}
    assert found >= {("unready", "port"), ("unready", "shell"), ("crash", "start")}
    assert "${env.TOKEN}" in json.dumps(report)
    assert "${env.TOKEN}" in finished.outcome.stdout
    assert VALUE not in finished.outcome.stdout + finished.outcome.stderr
    (log,) = finished.run.rglob("talk/stdout.log")
    assert VALUE in log.read_text()  # what a unit wrote stays as it is, where it is judged
    for path in finished.folder.rglob("*"):
        if path.is_file() and path != log:
            assert VALUE.encode() not in path.read_bytes(), path
    with ZipFile(finished.folder / "run.zip") as archive:
        for name in archive.namelist():
            assert VALUE.encode() not in archive.read(name), name


def test_what_is_masked_stays_in_the_folder_of_the_run(finished: Finished) -> None:
    (log,) = finished.run.rglob("talk/stdout.log")
    assert CARD in log.read_text()
    assert CARD not in finished.outcome.stdout
    assert "***" in finished.outcome.stdout
    for name in REPORTS:
        content = (finished.folder / name).read_bytes()
        if name.endswith(".zip"):
            with ZipFile(finished.folder / name) as archive:
                content = b"".join(map(archive.read, archive.namelist()))
        assert CARD.encode() not in content, name


def test_no_text_of_a_unit_is_a_command_of_a_build_server(finished: Finished) -> None:
    texts = [finished.outcome.stdout, finished.outcome.stderr]
    texts += [(finished.folder / name).read_text() for name in REPORTS if ".zip" not in name]
    for text in texts:
        assert not re.search(r"^\s*::(error|set-output)", text, re.MULTILINE)
        assert "##[" not in text
        assert "##vso[" not in text


def test_reports_are_their_owners_whatever_the_umask_is(finished: Finished) -> None:
    for name in REPORTS:
        assert (finished.folder / name).stat().st_mode & 0o777 == 0o600, name


def test_run_ids_are_in_utc(finished: Finished) -> None:
    """A run at another offset, or in the night when clocks change, sorts by its start."""
    began = time.strptime(finished.run.name[:15], "%Y%m%d-%H%M%S")
    assert abs(time.mktime(began) - time.mktime(time.gmtime())) < 3600


@pytest.mark.parametrize(
    "report",
    [
        "[" * 200_000 + "]" * 200_000,
        '{"groups": ' + "[" * 200_000 + "]" * 200_000 + "}",
        '{"duration_s": NaN}',
        '{"duration_s": ' + "9" * 5_000 + "}",
        '{"groups": 1}',
        "{",
    ],
    ids=["deep", "deep groups", "NaN", "digits", "types", "torn"],
)
def test_a_hostile_report_is_refused_in_words(
    copy: Finished, told: Callable[..., str], report: str
) -> None:
    (copy.run / "report.json").write_text(report)
    words = told(copy.folder, 5, "show")
    assert "report.json" in words
    assert "Error" not in words  # no name of a class
    assert "report.json" in told(copy.folder, 5, "report", "--html", "again.html")


def test_a_database_with_views_is_refused_in_words(
    copy: Finished, told: Callable[..., str]
) -> None:
    with closing(sqlite3.connect(copy.run / "group" / "Data.db")) as database:
        database.executescript(
            "ALTER TABLE Events RENAME TO Hidden; CREATE VIEW Events AS SELECT * FROM Hidden;"
        )
    assert "Data.db" in told(copy.folder, 5, "verify")


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--tag", "(" * 5_000),
        ("list", "--tag", "not " * 5_000 + "x"),
        ("list", "--grep", "(a+)+$"),
        ("list", "--grep", "a{99999999999}"),
        ("run", "--repeat", "9" * 30),
        ("run", "--shuffle", "9" * 30),
        ("check", "minus"),
        ("check", "hops"),
    ],
    ids=lambda arguments: f"{arguments[1]} {arguments[-1]}"[:20],
)
def test_absurd_options_and_files_are_refused_in_words(
    tmp_path: Path, told: Callable[..., str], arguments: tuple[str, ...]
) -> None:
    check = f"[[checks]]\nname = 'c'\nvalue = '1'\nexpect = '{'-' * 1500}1 == value'\n"
    route = f"[[circuits]]\nname = 'c'\nroute = ['{'a:x|' * 20_000}a:x', 'a:y']\n"
    for name, tables in (("a" * 40 + "b", ""), ("minus", check), ("hops", route)):
        if arguments[0] == "check" and name != arguments[1]:
            continue
        if arguments[0] != "check" and tables:
            continue
        (tmp_path / name / "units").mkdir(parents=True)
        (tmp_path / name / "config.toml").write_text(f"[Configs]\nunits = ['a']\n{tables}")
        (tmp_path / name / "units" / "a.toml").write_text("[a]\ncommand = ['true']\n")
    assert len(told(tmp_path, 3, *arguments)) < 8_000


def test_a_running_run_is_reported_as_running(copy: Finished, told: Callable[..., str]) -> None:
    (copy.run / "report.json").unlink()
    with claimed(copy.run):
        for words in (["show"], ["report", "--html", "again.html"]):
            assert "is still running: these are the results" in told(copy.folder, 0, *words)
        assert "is still running" in told(copy.folder, 3, "verify")
        (copy.run / "group" / "summary.json").unlink()
        assert "is still running: no group has ended" in told(copy.folder, 3, "show")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to somebody else")
def test_what_another_user_has_put_there_is_refused(
    copy: Finished, told: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", VALUE)
    victim = copy.folder / "victim"
    victim.write_text("mine")
    planted = copy.folder / "again.html"
    planted.symlink_to(victim)
    os.lchown(planted, 65_534, 65_534)
    told(copy.folder, 0, "report", "--html", "again.html")
    assert victim.read_text() == "mine"
    assert not planted.is_symlink()
    os.chown(copy.folder / ".testrium", 65_534, 65_534)
    assert ".testrium" in told(copy.folder, 5, "run", "group")
