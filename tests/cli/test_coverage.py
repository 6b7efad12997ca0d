"""`testrium run --coverage`: what every kind of Python process went through, together."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.cli.coverage import Measurement
from testrium.errors import UsageError

if TYPE_CHECKING:
    from tests.conftest import Workplace

CODE = """
import os, pathlib, signal, subprocess, sys

def service():
    testrium.unit().probe("ready")
    while True:
        signal.pause()

def parent():
    subprocess.run([sys.executable, "child.py"], check=True)
    if os.fork() == 0:
        import forked
        os._exit(0)
    os.wait()

def test_something():
    import tested
"""


def measured_files(run_folder: Path) -> set[str]:
    with closing(sqlite3.connect(run_folder / "coverage" / ".coverage")) as data:
        return {Path(path).name for (path,) in data.execute("SELECT path FROM file")}


def test_every_python_process_is_measured(workplace: Workplace) -> None:
    group = workplace.group(
        {
            "service": 'entrypoint = "test_case:service"\nready_event = "ready"\nstop = "runner"',
            "parent": 'entrypoint = "test_case:parent"\nquiet = true',
            "command": f'command = ["{sys.executable}", "command.py"]',
        },
        CODE,
        configs="timeout = 30\ninherit-env = false",
        setup="def main():\n    pass\n",
        command="value = 1\n",
        child="value = 1\n",
        forked="value = 1\n",
        tested="value = 1\n",
    )
    outcome = workplace.run("--coverage")
    assert outcome.codes == []
    run_folder = Path(outcome.group["run_dir"]).parent
    files = {path.name for path in group.glob("*.py")}
    assert measured_files(run_folder) == files
    assert {"setup.py", "command.py", "child.py", "forked.py", "tested.py"} <= files
    assert "TOTAL" in outcome.stdout
    # The service was ended by a signal, and still tells what it did.
    [line] = [line for line in outcome.stdout.splitlines() if "test_case.py" in line]
    assert line.split()[2] == "0"
    assert (run_folder / "coverage" / "html" / "index.html").is_file()
    assert str(run_folder / "coverage" / "html" / "index.html") in outcome.stdout


def test_a_python_without_coverage_is_named(workplace: Workplace) -> None:
    python = workplace.folder / "python3.9"
    workplace.write(python, "#!/bin/sh\nexit ${2:+1}\n")
    python.chmod(0o755)
    workplace.group({"a": f'command = ["{python}", "x.py"]', "b": 'command = ["true"]'})
    outcome = workplace.run("--coverage")
    assert outcome.exit_code == 0
    nothing, unmeasured = outcome.stdout.rstrip().splitlines()[-2:]
    assert nothing == "coverage: nothing was measured: units ran no code of this project"
    assert unmeasured == (
        f"coverage: '{python}' of unit 'a' in group was not measured: {python} has no coverage.py."
        f" Install it there, or give {sys.executable} as the command"
    )


def test_the_own_configuration_counts(workplace: Workplace) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:main"\nquiet = true'},
        "def main():\n    import left_out\n",
        left_out="value = 1\n",
    )
    omitted = json.dumps([f"{group.name}/left_out.py"])
    workplace.write(workplace.folder / "pyproject.toml", f"[tool.coverage.run]\nomit = {omitted}\n")
    outcome = workplace.run("--coverage")
    assert measured_files(Path(outcome.group["run_dir"]).parent) == {"test_case.py"}


def test_without_coverage_py_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install .testrium\[coverage\]"):
        Measurement(tmp_path)
