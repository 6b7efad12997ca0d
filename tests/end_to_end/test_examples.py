"""Every example passes, the one that is meant to fail fails, and the README shows both."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from testrium.cli.templates import copy_template, known_templates
from testrium.report.fields import report_schema

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "example_groups"
README = ROOT / "README.md"
RUN_ID = r"\d{8}-\d{6}-[0-9a-f]+"
LOST_MAIL = ROOT / "failing_groups" / "otlp_lost_mail"
LOST_ORDER = ROOT / "failing_groups" / "lost_order"


@dataclass(frozen=True)
class Outcome:
    """What one call of `testrium run` came to."""

    exit_code: int
    report: dict[str, Any]
    output: str
    left: list[str]  # command lines of processes that outlived it

    def verdicts(self) -> dict[str, tuple[str, list[str]]]:
        """Verdict and messages of findings, by group."""
        return {
            group["id"]: (group["verdict"], [found["message"] for found in group["findings"]])
            for group in self.report["groups"]
        }


def run_groups(path: Path, cwd: Path) -> Outcome:
    """Run groups through the command line; state is kept in `cwd`."""
    mark = f"EXAMPLE_MARK={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    report = cwd / "report.json"
    command = [sys.executable, "-m", "testrium", "run", str(path), "--plain", "--json", str(report)]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {name: value},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
    )
    left = marked_processes(mark)
    assert report.exists(), done.stdout
    data = json.loads(report.read_text())
    assert list(Draft202012Validator(report_schema()).iter_errors(data)) == []
    return Outcome(done.returncode, data, done.stdout, left)


def marked_processes(mark: str) -> list[str]:
    """The command lines of all processes whose environment holds `mark`."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended meanwhile, or is not ours
    return found


def test_processes_are_found_by_their_mark() -> None:
    mark = f"EXAMPLE_MARK={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        env=os.environ | {name: value},
    )
    try:
        assert len(marked_processes(mark)) == 1
    finally:
        child.communicate(b"\n")
    assert marked_processes(mark) == []


def missing_programs(group: Path) -> list[str]:
    required = tomllib.loads((group / "config.toml").read_text())["Configs"].get("requires", [])
    return [name for name in required if not is_here(name)]


def is_here(requirement: str) -> bool:
    """Whether a program, or a module of `python:NAME`, is installed."""
    _, node, package = requirement.partition("node:")
    if node:
        return any((Path(p) / package).is_dir() for p in os.environ.get("NODE_PATH", "").split(":"))
    _, python, module = requirement.partition("python:")
    return find_spec(module) is not None if python else shutil.which(requirement) is not None


def test_every_example_passes_and_leaves_no_process(tmp_path: Path) -> None:
    outcome = run_groups(EXAMPLES, tmp_path)
    expected: dict[str, tuple[str, list[str]]] = {
        config.parent.relative_to(EXAMPLES).as_posix(): (
            "skip" if missing_programs(config.parent) else "pass",
            [],
        )
        for config in EXAMPLES.rglob("config.toml")
    }
    assert len(expected) >= 7
    verdicts = outcome.verdicts()
    # A network namespace of its own is a right that a build server may not have.
    assert verdicts["two_networks"][0] in ("pass", "skip"), outcome.output
    expected["two_networks"] = verdicts["two_networks"]
    assert verdicts == expected, outcome.output
    assert outcome.exit_code == 0
    assert outcome.left == []


@pytest.mark.soak
@pytest.mark.skipif(
    missing_programs(LOST_MAIL) != [], reason=f"needs {', '.join(missing_programs(LOST_MAIL))}"
)
def test_the_lost_mail_is_found_by_the_spans_of_services(tmp_path: Path) -> None:
    outcome = run_groups(LOST_MAIL, tmp_path)
    assert outcome.exit_code == 1, outcome.output
    [group] = outcome.report["groups"]
    root = group["findings"][0]
    assert (root["code"], root["where"], root["keys"]) == ("lost", "mailer:sent", ["o-13"])
    assert outcome.left == []


def test_every_example_explains_itself() -> None:
    folders = {config.parent for config in ROOT.glob("*_groups/*/config.toml")}
    assert len(folders) >= 8
    for folder in folders:
        assert (folder / "README.md").read_text().startswith(f"# {folder.name}")
        config = tomllib.loads((folder / "config.toml").read_text())
        assert config.keys() & {"circuits", "checks", "histories"}


def test_examples_have_the_client_of_the_template_to_the_letter() -> None:
    template = (ROOT / "templates" / "scaffold" / "broker" / "resp.py").read_text()
    copies = {path: path.read_text() for path in EXAMPLES.glob("*/resp.py")}
    assert copies
    assert [path for path, text in copies.items() if text != template] == []


def test_every_template_makes_a_group_that_passes(tmp_path: Path) -> None:
    expected: dict[str, tuple[str, list[str]]] = {}
    for name, template in known_templates().items():
        copy_template(template, tmp_path / name)
        expected[name] = ("skip" if missing_programs(tmp_path / name) else "pass", [])
    outcome = run_groups(tmp_path, tmp_path)
    assert outcome.verdicts() == expected, outcome.output
    assert outcome.left == []


def test_the_lost_order_is_found_where_it_was_lost(tmp_path: Path) -> None:
    outcome = run_groups(LOST_ORDER, tmp_path)
    assert outcome.exit_code == 1
    [group] = outcome.report["groups"]
    [finding] = group["findings"]
    assert (finding["code"], finding["where"]) == ("lost", "store:stored")
    assert finding["keys"] == ["order-13"]
    assert "worker:taken" in outcome.output
    assert outcome.left == []


def without_figures(text: str) -> list[str]:
    """The lines of an output without what differs from run to run."""
    text = re.sub(RUN_ID, "RUN", text)
    text = re.sub(r"[-+]?\d+(\.\d+)? (us|ms|s)\b", "TIME", text)
    text = re.sub(r"\bpid \d+", "pid N", text)
    text = re.sub(r"(TIME +)\d+( +\d+ +TIME)", r"\1N\2", text)  # pids in a table of units
    text = re.sub(r"\d+(\.\d+)? MB\b", "SIZE", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def shown_in_readme() -> Iterator[tuple[str, str]]:
    """Every command that README.md shows with its output, and that output."""
    for block in re.findall(r"^```text\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE):
        for shown in block.split("$ testrium ")[1:]:
            command, _, output = shown.partition("\n")
            yield command, output


def test_the_readme_shows_what_is_printed(tmp_path: Path) -> None:
    groups = shutil.ignore_patterns("__pycache__")
    for folder in ("example_groups", "failing_groups"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=groups)
    shown = list(shown_in_readme())
    assert len(shown) >= 3
    run = ""
    for command, output in shown:
        words = re.sub(RUN_ID, run, command).split()  # the run before it
        done = subprocess.run(
            [sys.executable, "-m", "testrium", *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "80"},
            encoding="utf-8",
            timeout=100,
        )
        assert without_figures(done.stdout) == without_figures(output)
        if found := re.search(r"^run (\S+)", done.stdout, re.MULTILINE):
            run = found[1]
