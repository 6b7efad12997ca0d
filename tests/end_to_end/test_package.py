"""What is published works where nothing of this checkout is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email import message_from_bytes
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in an environment that points to no virtual environment and no checkout."""
    environment = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    return subprocess.run(
        command, cwd=cwd, env=environment, text=True, capture_output=True, timeout=100
    )


def succeed(*command: str | Path, cwd: Path) -> str:
    """Run a command that must work; returns its standard output."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made from the source distribution as an installation from source makes it."""
    folder = tmp_path_factory.mktemp("dist")
    hatchling = (sys.executable, "-m", "hatchling", "build", "--target", "sdist")
    succeed(*hatchling, "--directory", folder, cwd=ROOT)
    [source] = folder.glob("*.tar.gz")
    wheel = ("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder)
    succeed(*PIP, *wheel, source, cwd=folder)
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh virtual environment that has the wheel.

    Its dependencies are those of the environment that runs the tests: installing them again would
    take longer than all other tests together.
    """
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, symlinks=True)
    scheme = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ("--python", folder / "bin" / "python", "install", "--no-deps", "--ignore-installed")
    succeed(*PIP, *install, wheel, cwd=folder)
    return folder / "bin"


def test_the_wheel_holds_the_package_and_its_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "testrium/__init__.py",
        "testrium/py.typed",
        "testrium/record/schema.sql",
        "testrium/_templates/scaffold/hello/config.toml",
        "testrium/_templates/scaffold/hello/units/source.toml",
        "testrium/_docs/findings/lost.md",
        "testrium/_docs/reference/groups.md",
    } <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert tops == {"testrium", f"testrium-{version('testrium')}.dist-info"}
    assert not [name for name in names if "__pycache__" in name]


def test_the_long_description_has_no_link_that_needs_the_checkout(wheel: Path) -> None:
    folder = f"testrium-{version('testrium')}.dist-info"
    metadata = message_from_bytes(zipfile.ZipFile(wheel).read(f"{folder}/METADATA"))
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert text.startswith("# Testrium\n\nTestrium is ")
    assert [link for link in re.findall(r"\]\(([^)]*)\)", text) if link[:6] != "https:"] == []
    for shown in ("follow the tutorial:", "$ testrium run", "route = ["):
        assert shown in text


def test_a_generated_group_runs_in_an_empty_folder(programs: Path, tmp_path: Path) -> None:
    installed = succeed(
        programs / "python", "-c", "import testrium; print(testrium.__file__)", cwd=tmp_path
    )
    assert Path(installed.strip()).is_relative_to(programs.parent)

    assert (
        succeed(programs / "testrium", "--version", cwd=tmp_path)
        == succeed(programs / "python", "-m", "testrium", "--version", cwd=tmp_path)
        == f"testrium {version('testrium')}\n"
    )
    succeed(programs / "testrium", "gen", "config-template", cwd=tmp_path)
    output = succeed(programs / "testrium", "run", cwd=tmp_path)
    assert "1 passed" in output

    assert "never reached" in succeed(programs / "testrium", "explain", "lost", cwd=tmp_path)
    again = run(programs / "testrium", "gen", "config-template", cwd=tmp_path)
    assert again.returncode == 3
    assert "config.toml" in again.stderr
