"""A run is packed on one machine and looked at on another."""

from __future__ import annotations

import json
import subprocess
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace

UNITS = {"client": 'entrypoint = "test_case:client"', "host": 'entrypoint = "test_case:host"'}
CODE = """
def client():
    testrium.unit().send("sent", key="k1")

def host():
    testrium.unit().probe("idle")
"""
CIRCUIT = """
[[circuits]]
name = "command"
route = ["client:sent", "host:received+"]
"""


def command(place: Workplace, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = place.start(*arguments)
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def test_a_failed_run_is_opened_elsewhere(workplace: Workplace) -> None:
    bad = workplace.group(UNITS, CODE, configs="timeout = 1", tables=CIRCUIT, name="bad")
    workplace.group(
        {"client": UNITS["client"]}, CODE, tables="[verify]\norphans = 'allow'", name="good"
    )
    first = workplace.run("--archive", "failed.zip")
    assert first.exit_code == 1
    names = zipfile.ZipFile(workplace.folder / "failed.zip").namelist()
    assert not [name for name in names if "/good/" in name]

    bad.rename(workplace.folder / "moved")
    (workplace.folder / ".testrium").rename(workplace.folder / "moved" / "state")
    shown = command(workplace, "show", "failed.zip")
    # While it ran, they were told as they ended.
    assert shown.stdout.splitlines()[:2] == sorted(
        line for line in first.stdout.splitlines() if line.startswith(("FAIL    ", "PASS    "))
    )
    assert "lost at host:received" in shown.stdout
    assert "testrium-archive" not in shown.stdout

    assert "client" in command(workplace, "show", "failed.zip", "bad", "--key", "k1").stdout

    again = command(workplace, "verify", "failed.zip", "--json", "again.json")
    report = json.loads((workplace.folder / "again.json").read_text())
    assert again.returncode == 1
    assert "notice: bad: judged with the rules of that run; " in again.stdout
    assert [(g["id"], g["verdict"]) for g in report["groups"]] == [
        ("bad", "fail"),
        ("good", "pass"),
    ]
    assert report["groups"][0]["findings"][0]["where"] == "host:received"

    assert command(workplace, "report", "failed.zip", "--tap", "-").stdout.startswith("TAP version")


def test_reports_of_an_archive_name_its_members(workplace: Workplace) -> None:
    bad = workplace.group(UNITS, CODE, configs="timeout = 1", tables=CIRCUIT, name="bad")
    workplace.group(
        {"client": UNITS["client"]}, CODE, tables="[verify]\norphans = 'allow'", name="good"
    )
    outcome = workplace.run("--archive", "a.zip")
    bad.rename(workplace.folder / "moved")
    member = f"a.zip/{outcome.report['run']}/bad"
    asked = [word for name in ("json", "junit", "html", "tap") for word in (f"--{name}", name)]
    for verb in ("report", "verify"):
        printed = command(workplace, verb, "a.zip", *asked, "--json-stream", "stream").stdout
        texts = {name: (workplace.folder / name).read_text() for name in asked[1::2]}
        texts["stream"] = (workplace.folder / "stream").read_text()
        if verb == "verify":
            texts["console"] = printed
        for medium, text in texts.items():
            assert "testrium-archive" not in text, medium
            assert member in text or medium == "tap", medium
        assert "Run it again, on the machine of that run<" in texts["html"]
        assert ">Message paths</h3>" in texts["html"]
        packed, left_out = json.loads(texts["json"])["groups"]
        assert packed["run_dir"] == str(workplace.folder / member)
        assert left_out["run_dir"] is None


def test_an_archive_that_is_damaged_is_named(workplace: Workplace) -> None:
    with zipfile.ZipFile(workplace.folder / "bad.zip", "w") as archive:
        archive.writestr("20261121-1/report.json", "{")
    told = command(workplace, "report", "bad.zip").stderr
    assert told.startswith("testrium: bad.zip/20261121-1/report.json cannot be read as a report")


def test_of_a_group_that_is_here_the_rules_are_those_of_now(workplace: Workplace) -> None:
    group = workplace.group(UNITS, CODE, configs="timeout = 1", tables=CIRCUIT)
    workplace.run("--archive", "all.zip", "--keep", "all")
    config = group / "config.toml"
    config.write_text(config.read_text().replace("host:received+", "host:received?"))

    again = command(workplace, "verify", "all.zip")
    assert (again.returncode, "notice" in again.stdout) == (0, False)


def test_an_archive_needs_something_to_pack(workplace: Workplace) -> None:
    for arguments, told in (
        (("--keep", "none", "--archive", "a.zip"), "nothing to pack with --keep none"),
        (("--archive", "a.tar"), "'a.tar' must be a file NAME.zip"),
        (("--archive", "gone/a.zip"), "does not exist"),
    ):
        done = command(workplace, "run", *arguments)
        assert done.returncode == 3
        assert told in done.stderr
