"""`testrium migrate`: what it proposes for groups of 0.3.0, and what it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testrium import session
from testrium.cli import migrate as migrate_module
from testrium.cli.main import entry
from testrium.declared.groups import Configs
from testrium.declared.units import Unit
from testrium.errors import ExitCode, UsageError
from testrium.results import RunResult
from testrium.words import Verdict

CONFIG = """\
# The shop: what it proves
["Configs"]
units = ["target", "source", "watcher"]   # all three
analitics  = true   # measured
timeout = 9
# the end of it

# rules
[verify]
settle = 0.05  # short
"""

UNITS = {
    "target": """
ready_event = "ready"
events = ["ready"]   # one
""",
    "source": """
# needs it
unity_depencies = ["target"]
events = ["sent"]
""",
    "watcher": 'events = ["up"]',
}

CODE = """
from testrium.modules.events import Events_Manager
import time

def target():
    events = Events_Manager(Unit="target", path=".")
    events.Set_Event("ready")
    Events_Manager(Unit="*", path=".").wait_for_event("sent", unit="source", timeout=5)
    events.Set_Event("received", event_type="Receive", event_key="r1")

def source():
    Events_Manager("source").Set_Event("sent", event_type="Send", event_key="r1")

def watcher():
    Events_Manager("watcher").Set_Event("up")
    time.sleep(60)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A group of 0.3.0 in the current folder."""
    group = tmp_path / "test_shop"
    (group / "units").mkdir(parents=True)
    (group / "config.toml").write_text(CONFIG)
    for init, (name, keys) in enumerate(UNITS.items()):
        head = f'["{name}"]\ninit = {init}\nentrypoint = "test_case:{name}"\n'
        (group / "units" / f"{name}.toml").write_text(head + keys.strip() + "\n")
    (group / "test_case.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return group


def migrate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as it starts a run."""
    return subprocess.run(
        [sys.executable, "-m", "testrium", "migrate", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_what_is_written_has_each_change_and_all_comments(shop: Path) -> None:
    done = migrate("--write", "test_shop")
    assert done.returncode == 0, done.stderr
    assert "3 files written" in done.stderr
    before, after = CONFIG.splitlines(), (shop / "config.toml").read_text().splitlines()
    assert after[:2] == before[:2]
    assert after[2:6] == [
        before[2],
        "gen-metrics  = true   # measured",
        "timeout = 9",
        "classic = true  # 0.3.0's rule: done once its events are in",
    ]
    assert after[6:11] == before[5:]
    assert "[[circuits]]" in after
    assert '    "target:received",  # 1 of 1 key' in after
    assert (
        (shop / "units" / "source.toml")
        .read_text()
        .endswith('# needs it\nunit_dependencies = ["target"]\nevents = ["sent"]\n')
    )
    assert (
        (shop / "units" / "target.toml")
        .read_text()
        .endswith('events = ["ready"]   # one\nstop = "self"  # it ended by itself\n')
    )
    assert "stop" not in (shop / "units" / "watcher.toml").read_text()
    assert f"+{after[5]}" in done.stdout.splitlines()  # all of it was shown
    assert entry(["check"]) == 0
    again = migrate("test_shop")
    assert (again.returncode, again.stdout) == (0, "nothing to do: no file needs a change\n")


def test_nothing_is_written_without_being_asked_for(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry(["migrate", "--no-run"]) == 0
    said = capsys.readouterr()
    assert "-analitics  = true   # measured\n+gen-metrics  = true   # measured\n" in said.out
    assert "classic" not in said.out  # only a run shows that
    assert "nothing was written: add --write" in said.err
    assert (shop / "config.toml").read_text() == CONFIG


def test_line_endings_and_a_mark_at_the_start_stay(shop: Path) -> None:
    raw = ("\ufeff" + CONFIG).replace("\n", "\r\n").encode()
    (shop / "config.toml").write_bytes(raw)
    assert entry(["migrate", "--no-run", "--write"]) == 0
    assert (shop / "config.toml").read_bytes() == raw.replace(b"analitics", b"gen-metrics")


STOP = {"stop": ("self", "why")}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (  # odd indentation and quotes; no end of the last line
            '\t["a"]\n\t\t"unity_depencies"\t=\t["b"] # w\n  events = [\n\t"x", # x\n  ]',
            (
                '\t["a"]\n\t\tunit_dependencies\t=\t["b"] # w\n  events = [\n\t"x", # x\n  ]\n  '
                'stop = "self"  # why\n'
            ),
        ),
        (
            'a.unity_depencies = ["b"] # who\na.init = 0 # where\n',
            'a.unit_dependencies = ["b"] # who\na.init = 0 # where\na.stop = "self"  # why\n',
        ),
        (
            'a = { unity_depencies=["b"],init = 0 } # it\n',
            'a = { unit_dependencies=["b"],init = 0, stop = "self" } # it\n',
        ),
        (  # a table below it first: both are parts of the one
            '[a.env]\nX = "1"\n[a]\nunity-depencies = ["b"]\n[a.x]\n',
            '[a.env]\nX = "1"\n[a]\nunit_dependencies = ["b"]\nstop = "self"  # why\n[a.x]\n',
        ),
        ("[a]\r\ninit = 0", '[a]\r\ninit = 0\r\nstop = "self"  # why\r\n'),
        ('[a]\nstop = "runner"\n', '[a]\nstop = "runner"\n'),
    ],
)
def test_what_a_file_is_written_with_stays(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(before.encode())
    change = migrate_module._changed(file, migrate_module._Edit("a", Unit, STOP))
    assert change is not None
    assert change.after == after


def test_a_file_that_would_lose_something_stays_as_it_is(shop: Path) -> None:
    file = shop / "config.toml"
    file.write_text("circuits = []\n" + CONFIG)
    edit = migrate_module._Edit("Configs", Configs, {"classic": (True, "")})
    assert migrate_module._changed(file, edit, '[[circuits]]\nname = "c"\n') is None
    assert migrate_module._by_hand(file, edit, "[[circuits]]").endswith(
        "write by hand: gen-metrics in place of analitics, classic = true, the circuits that"
        " testrium learn prints"
    )


def test_permissions_and_links_stay(shop: Path) -> None:
    real, link = shop.parent / "real.toml", shop / "config.toml"
    link.rename(real)
    link.symlink_to(real)
    real.chmod(0o640)
    assert entry(["migrate", "--no-run", "--write"]) == 0
    assert link.is_symlink()
    assert "gen-metrics" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640


def test_all_files_are_put_back_where_one_cannot_be_written(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write, source = migrate_module._overwrite, (shop / "units" / "source.toml").read_text()

    def refuse(file: Path, text: str) -> None:
        if file.name == "source.toml":
            raise PermissionError(13, "Permission denied", os.fspath(file))
        write(file, text)

    monkeypatch.setattr(migrate_module, "_overwrite", refuse)
    assert entry(["migrate", "--no-run", "--write"]) == 3
    assert (
        "test_shop/units/source.toml: cannot be written (Permission denied): all files are as they"
        " were" in capsys.readouterr().err
    )
    assert (shop / "config.toml").read_text() == CONFIG
    assert (shop / "units" / "source.toml").read_text() == source


def test_a_file_that_was_changed_in_the_meantime_is_not_written(shop: Path) -> None:
    change = migrate_module._Change(shop / "config.toml", "what it was", "what it becomes")
    with pytest.raises(UsageError, match=r"config\.toml: was changed in the meantime"):
        migrate_module._write([change], lambda: None, shop)
    assert (shop / "config.toml").read_text() == CONFIG


def test_an_interrupt_while_a_group_runs_ends_it_all(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted = RunResult("r", Verdict.ERROR, ExitCode.INTERRUPTED, 0.1)
    monkeypatch.setattr(session, "run_scenario", lambda *_: interrupted)
    assert entry(["migrate", "--write"]) == 130
    assert "testrium: interrupted; nothing was written" in capsys.readouterr().err
    assert (shop / "config.toml").read_text() == CONFIG


def test_a_group_that_fails_gets_no_circuit(shop: Path) -> None:
    code = CODE.replace("time.sleep(60)", "raise ValueError(1)")
    (shop / "test_case.py").write_text(code)
    done = migrate("--write")
    assert done.returncode == 0
    assert "test_shop: did not pass (exception at watcher:ValueError): no circuit" in done.stderr
    text = (shop / "config.toml").read_text()
    assert "gen-metrics" in text
    assert "[[circuits]]" not in text


def test_without_tomlkit_the_extra_is_named(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    assert entry(["migrate", os.fspath(shop)]) == 3
    assert "pip install 'testrium[migrate]'" in capsys.readouterr().err


def test_a_mistake_or_no_group_is_told(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "config.toml").write_text(CONFIG.replace("timeout = 9", "tiemout = 9"))
    assert entry(["migrate"]) == 3
    assert "test_shop/config.toml:5: tiemout: unknown key" in capsys.readouterr().err
    assert entry(["migrate", "nowhere"]) == 3
    assert entry(["--less", "test_shop", "migrate"]) == 2  # where the mistake does not count
