"""The example package is installed, as its users would, and each of its plugins is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "testrium-extras"

PROBE = """
def main():
    testrium.unit().probe("ready")
"""


@pytest.fixture(scope="module")
def extras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the example package was installed, without any network."""
    folder = tmp_path_factory.mktemp("extras")
    source = folder / "source"
    source.mkdir()
    for file in EXAMPLE.rglob("*"):
        if file.suffix in (".py", ".toml", ".md"):
            copy = source / file.relative_to(EXAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--target", folder / "packages")
    subprocess.run((*pip, *offline, source), check=True, timeout=100)
    return folder / "packages"


@pytest.fixture
def place(workplace: Workplace, extras: Path) -> Workplace:
    workplace.env["PYTHONPATH"] = str(extras)
    return workplace


def test_a_writer(place: Workplace) -> None:
    place.group({"a": 'entrypoint = "test_case:main"'}, PROBE)
    outcome = place.run("--writer", "csv=results.csv")

    assert (outcome.exit_code, outcome.stderr) == (0, "")
    head, row = (place.folder / "results.csv").read_text().splitlines()
    assert head == "group,mode,verdict,seconds,root cause"
    assert row.startswith("group,DEBUG,pass,0.")


def test_a_writer_that_fails_harms_nothing(place: Workplace) -> None:
    place.group({"a": 'entrypoint = "test_case:main"'}, PROBE)
    outcome = place.run("--writer", "csv")

    assert outcome.exit_code == 0
    assert (
        "notice: the writer 'csv' of testrium-extras 1.0 failed: ValueError: it needs a file"
        in outcome.stdout
    )


def test_a_writer_of_the_project_itself(workplace: Workplace) -> None:
    workplace.group({"a": 'entrypoint = "test_case:main"'}, PROBE)
    workplace.write(
        workplace.folder / "testrium.toml", '[plugins.writers]\nshout = "tools.shout:Shout"\n'
    )
    workplace.write(
        workplace.folder / "tools" / "shout.py",
        "class Shout:\n"
        "    def __init__(self, target, cwd): pass\n"
        "    def run_ended(self, result): print(result.verdict.upper() + '!')\n",
    )
    process = workplace.start("run", "--writer", "shout=-")
    assert workplace.finish(process).stdout == "PASS!\n"
