"""Each benchmark works, in a form that takes a second or two; its figures mean nothing then."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
#: It starts a scheduler and workers, each of which takes seconds.
SLOW = {"cluster": pytest.mark.soak}


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in SCRIPTS])
def test_a_benchmark_runs_and_prints_figures(name: str) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", "--short"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if done.stdout.lstrip().startswith("skipped: "):
        pytest.skip(done.stdout.strip())
    assert re.search(r"\d (s|ms|us|ns|MB)\b", done.stdout), done.stdout


def test_there_is_a_benchmark_against_each_peer() -> None:
    assert {"against_pysys", "against_pytest"} <= set(SCRIPTS)
