"""`testrium show --key` and `--timeline` print stored events."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testrium.cli.main import entry

CODE = """
import testrium


def source():
    me = testrium.unit()
    for key in ("order-1", "order-2"):
        me.send("sent", key=key)
        me.receive("answered", key=key)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run of two groups, the second of which is skipped."""
    folder = tmp_path_factory.mktemp("project")
    for name, more in (("shop", ""), ("later", 'skip = "not yet"')):
        group = folder / name
        (group / "units").mkdir(parents=True)
        (group / "config.toml").write_text(f'[Configs]\nunits = ["source"]\n{more}\n')
        unit = '[source]\ninit = 0\nentrypoint = "test_case:source"\n'
        (group / "units" / "source.toml").write_text(unit)
        (group / "test_case.py").write_text(CODE)
    run = [sys.executable, "-m", "testrium", "run", "--plain"]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(autouse=True)
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def test_the_way_of_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["show", "--key", "order-2"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("order-2 in shop  2 events\n")
    assert [line.split()[2:4] for line in output.splitlines()[1:2]] == [["source", "sent"]]
    assert [line.split()[4:6] for line in output.splitlines()[2:]] == [["source", "answered"]]


def test_all_events_of_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["show", "--timeline", "2", "shop"]) == 0
    title, *rows = capsys.readouterr().out.splitlines()
    assert title == "shop  4 events"
    steps = [word for row in rows for word in row.split() if word in ("sent", "answered")]
    assert steps == ["sent", "answered", "sent", "answered"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--key", "order-3"], "the key 'order-3'; did you mean 'order-2'?"),
        (["--key", "zzz"], "has no event with the key 'zzz'\n"),
        (["--timeline", "2", "later"], "has no event\n"),
        (["--timeline", "--key", "order-1"], "choose one"),
        (["--timeline", "2", "shp"], "did you mean 'shop'?"),
    ],
)
def test_what_is_not_there_is_told(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry(["show", *arguments]) == 3
    assert message in capsys.readouterr().err
