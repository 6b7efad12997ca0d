"""`testrium learn` proposes circuits from a stored run, ready to be pasted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from testrium.cli.main import entry

CODE = """
import testrium


def client():
    me = testrium.unit()
    for number in range(3):
        me.send("sent", key=f"k{number}")


def server():
    me = testrium.unit()
    for number in range(3):
        me.wait_for("client:sent", key=f"k{number}", timeout=10)
        me.receive("received", key=f"k{number}")


def broken():
    testrium.unit().probe("began")
    raise ValueError("broken")
"""


def write(folder: Path, *units: str) -> Path:
    (folder / "units").mkdir(parents=True)
    (folder / "config.toml").write_text(f"[Configs]\nunits = {list(units)}\n")
    for init, unit in enumerate(units):
        text = f'[{unit}]\ninit = {init}\nentrypoint = "test_case:{unit}"\n'
        (folder / "units" / f"{unit}.toml").write_text(text)
    (folder / "test_case.py").write_text(CODE)
    return folder


@pytest.fixture
def run_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one group that passed and of one that failed, in the current folder."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good", "client", "server")
    write(tmp_path / "bad", "broken")
    done = subprocess.run(
        [sys.executable, "-m", "testrium", "run", "--plain"], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return tmp_path


def test_what_is_learned_can_be_pasted_and_holds(
    run_groups: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry(["learn"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("# Learned from run ")
    assert '    "client:sent",      # 3 of 3 keys\n    "server:received",  #' in output.out
    assert output.err == "notice: bad did not pass: nothing is learned from it\n"

    with (run_groups / "good" / "config.toml").open("a") as config:
        config.write(output.out)
    assert entry(["check", "good"]) == 0
    assert entry(["verify", "--plain"]) == 1  # because of the other group, as before
    assert "PASS    good" in capsys.readouterr().out


def test_there_may_be_nothing_to_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "bad", "broken")
    subprocess.run([sys.executable, "-m", "testrium", "run"], capture_output=True)
    assert entry(["learn"]) == 3
    assert "nothing to learn from run" in capsys.readouterr().err
    assert entry(["learn", "zzz"]) == 3
    assert "no run begins with 'zzz'" in capsys.readouterr().err


def test_nothing_is_learned_from_what_was_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good", "client", "server")
    command = [sys.executable, "-m", "testrium", "run", "--keep", "failed", "--archive", "a.zip"]
    subprocess.run(command, capture_output=True, check=True)
    for run in ((), ("a.zip",)):
        assert entry(["learn", *run]) == 3
        told = "notice: the folder of good was not kept: nothing is learned from it\n"
        assert capsys.readouterr().err.startswith(told)


def test_an_archive_is_learned_from_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good", "client", "server")
    command = [sys.executable, "-m", "testrium", "run", "--keep", "all", "--archive", "good.zip"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(tmp_path / ".testrium")
    shutil.rmtree(tmp_path / "good")

    assert entry(["learn", "good.zip"]) == 0
    assert '"client:sent",      # 3 of 3 keys' in capsys.readouterr().out
