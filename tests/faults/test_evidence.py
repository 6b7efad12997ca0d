"""Evidence that is damaged while it is written: what was lost is said, and the rest is judged."""

from __future__ import annotations

import os
import resource
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from testrium.history.database import FILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Workplace
    from tests.faults.conftest import Soundness

UNITS = {"a": 'entrypoint = "test_case:a"\nevents = ["last"]'}

GARBAGE = r"""
import os

def a():
    me = testrium.unit()
    me.probe("first")
    with open(os.environ["TESTRIUM_PROBES"], "ab") as file:
        for line in LINES:
            file.write(line + b"\n")
    me.probe("last")

LINES = [
    b"\xff\xfe\x00 no text",
    b"{\"step\": \"torn",
    b"[1, 2]",
    b"null",
    b"{\"step\": NaN}",
    b"{\"step\": \"a\", \"meta\": {\"v\": Infinity}}",
    b"{\"step\": \"b\", \"meta\": {\"v\": \"\\ud800\"}}",
    b"{\"step\": " + b"[" * 100_000,
    b"{\"step\": \"c\", \"pid\": " + b"9" * 10_000 + b"}",
    b"y" * (100 << 20),
]
"""


def test_invalid_probe_lines_are_shown_and_the_rest_is_read(workplace: Workplace) -> None:
    workplace.group(UNITS, GARBAGE, configs="timeout = 30")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    outcome = workplace.run()
    assert outcome.exit_code == 4
    assert outcome.codes == ["gap a"]
    assert "10 lines" in outcome.group["findings"][0]["message"]
    assert outcome.group["required"]["missing"] == []
    assert "Traceback" not in outcome.stdout + outcome.stderr
    # The unit itself makes 100 MB; the runner, the largest of the others, must not.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(before, 400_000)


@pytest.mark.parametrize(
    "done",
    [
        "rm $TESTRIUM_PROBES",
        "mv $TESTRIUM_PROBES elsewhere",
        "cp $TESTRIUM_PROBES copy; mv copy $TESTRIUM_PROBES",
        ": > $TESTRIUM_PROBES",
        """echo '{"step":"last"}' > $TESTRIUM_PROBES""",
    ],
)
def test_a_unit_that_swaps_its_evidence_does_not_pass(workplace: Workplace, done: str) -> None:
    folder = workplace.group(
        {"a": 'command = ["sh", "unit.sh"]\nevents = ["last"]'},
        "",
        configs="timeout = 30",
    )
    (folder / "unit.sh").write_text(
        f"""echo '{{"step":"last"}}' >> $TESTRIUM_PROBES\nsleep 0.3\n{done}\n"""
    )
    outcome = workplace.run()
    assert (outcome.exit_code, outcome.codes) == (4, ["gap a"])


def test_a_probe_file_that_is_touched_is_as_it_was(workplace: Workplace) -> None:
    folder = workplace.group({"a": 'command = ["sh", "unit.sh"]\nevents = ["last"]'})
    (folder / "unit.sh").write_text(
        """echo '{"step":"last"}' >> $TESTRIUM_PROBES\nsleep 0.2\ntouch $TESTRIUM_PROBES\n"""
    )
    outcome = workplace.run()
    assert (outcome.exit_code, outcome.codes) == (0, [])


@pytest.mark.parametrize(
    ("done", "code"),
    [("rm $LOG", 4), ("cp $LOG copy; mv copy $LOG", 4), (": > $LOG", 4), ("echo more", 0)],
)
def test_a_unit_that_swaps_a_log_which_is_searched_does_not_pass(
    workplace: Workplace, done: str, code: int
) -> None:
    folder = workplace.group(
        {"a": 'command = ["sh", "unit.sh"]\nevents = ["last"]'},
        "",
        configs='timeout = 30\n[[checks]]\nname = "calm"\nlog = "a"\nlacks = "ERROR"',
    )
    (folder / "unit.sh").write_text(
        "echo ERR; LOG=$(dirname $TESTRIUM_PROBES)/stdout.log\n"
        f"""echo '{{"step":"last"}}' >> $TESTRIUM_PROBES\nsleep 0.3\n{done}\n"""
    )
    outcome = workplace.run()
    assert (outcome.exit_code, outcome.codes) == (code, ["gap a"] if code else [])


def test_what_no_probe_can_hold_is_refused_at_the_call(
    workplace: Workplace, sound: Soundness
) -> None:
    workplace.group(
        UNITS,
        r"""
        def deep(length):
            value = None
            for _ in range(length):
                value = [value]
            return value

        def a():
            me = testrium.unit()
            for bad in ("x" * (100 << 20), "x" * (1 << 20), float("nan"), "\ud800", deep(100_000),
                        {1, 2}, b"bytes", object()):
                try:
                    me.probe("refused", value=bad)
                except (ValueError, TypeError):
                    continue
                raise AssertionError(type(bad))
            me.probe("large", value="x" * ((1 << 20) - 1000))
            me.probe("last")
        """,
    )
    sound.of(workplace.run(), 0)


BREAKS = {
    "emptied": "os.truncate(store, 0)",
    "cut": "os.truncate(store, 5000)",
    "overwritten": "open(store, 'r+b').write(os.urandom(20_000))",
    "its log emptied": "os.truncate(store + '-wal', 0)",
    "its log overwritten": "open(store + '-wal', 'r+b').write(os.urandom(8_000))",
    "deleted with its log": "os.remove(store); os.remove(store + '-wal')",
    "replaced by a folder": "os.remove(store); os.mkdir(store)",
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_store_that_is_broken_while_the_group_runs(
    workplace: Workplace, check_databases: Callable[[Path], None], how: str
) -> None:
    workplace.group(
        UNITS,
        f"""
        import os
        def a():
            me = testrium.unit()
            for number in range(50):
                me.probe("counted", number=number)
            testrium.unit("a").wait_for("a:counted", timeout=10)
            store = os.environ["TESTRIUM_EVENT_DB"]
            {BREAKS[how]}
            me.probe("last")
        """,
    )
    outcome = workplace.run()
    assert "Traceback" not in outcome.stdout + outcome.stderr
    assert outcome.report["exit_code"] == outcome.exit_code
    if outcome.exit_code == 0:  # what was broken was not needed any more: it was written anew
        check_databases(workplace.folder / ".testrium")
        assert outcome.group["required"]["missing"] == []
    else:
        assert outcome.exit_code == 5
        assert outcome.codes[0] in ("infra group", "infra a")


def newer(history: Path) -> None:
    with closing(sqlite3.connect(history)) as connection:
        connection.execute("PRAGMA user_version = 999")


HISTORIES: dict[str, Callable[[Path], object]] = {
    "garbage": lambda history: history.write_bytes(os.urandom(10_000)),
    "of a newer version": newer,
    "a torn file": lambda history: history.write_bytes(history.read_bytes()[:5000]),
}


@pytest.mark.parametrize("kind", HISTORIES)
def test_a_history_that_cannot_be_read_is_set_aside_and_the_run_is_judged(
    workplace: Workplace, sound: Soundness, kind: str
) -> None:
    workplace.group(UNITS, 'def a():\n    testrium.unit().probe("last")\n')
    sound.of(workplace.run(), 0)
    history = workplace.folder / ".testrium" / FILE
    HISTORIES[kind](history)
    outcome = workplace.run()
    sound.of(outcome, 0)
    assert "notice" in outcome.stdout
    assert len(list(history.parent.glob("history*.db*"))) >= 2
    sound.of(workplace.run(), 0)


def test_an_empty_history_is_begun(workplace: Workplace, sound: Soundness) -> None:
    workplace.group(UNITS, 'def a():\n    testrium.unit().probe("last")\n')
    state = workplace.folder / ".testrium"
    state.mkdir()
    (state / FILE).touch()
    sound.of(workplace.run(), 0)


@pytest.mark.soak
def test_a_history_that_others_hold_is_left_alone_and_the_run_is_judged(
    workplace: Workplace, sound: Soundness
) -> None:
    bad = workplace.group(UNITS, 'def a():\n    testrium.unit().probe("first")\n')
    assert workplace.run().exit_code == 1
    state = workplace.folder / ".testrium"
    with closing(sqlite3.connect(state / FILE, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")  # else readers see the last state
        other.execute("BEGIN EXCLUSIVE")
        outcome = workplace.run()
        sound.of(outcome, 1)
        assert outcome.codes == ["missing a:last"]
        (notice,) = [line for line in outcome.stdout.splitlines() if line.startswith("notice")]
        assert notice.endswith("database is locked; this run is not in it")
        asked = workplace.finish(workplace.start("history"))
        assert asked.exit_code == 5
        assert asked.stderr.startswith("testrium: the history ")
        assert asked.stderr.endswith("cannot be used: database is locked\n")
        assert asked.stderr.count("\n") == 1
    listed = workplace.finish(workplace.start("history"))
    assert listed.exit_code == 0
    assert len(listed.stdout.splitlines()) == 2  # the head, and the first run
    assert [file.name for file in state.glob("*history*")] == [FILE], bad


def test_a_history_that_may_not_be_written_is_left_alone(
    workplace: Workplace, sound: Soundness, read_only: Callable[[Path], None]
) -> None:
    workplace.group(UNITS, 'def a():\n    testrium.unit().probe("last")\n')
    sound.of(workplace.run(), 0)
    history = workplace.folder / ".testrium" / FILE
    before = history.read_bytes()
    read_only(history)
    outcome = workplace.run()
    sound.of(outcome, 0)
    assert "this run is not in it" in outcome.stdout
    assert history.read_bytes() == before


@pytest.mark.parametrize("kind", HISTORIES)
def test_what_the_history_says_of_a_file_that_it_cannot_read(
    workplace: Workplace, kind: str
) -> None:
    workplace.group(UNITS, 'def a():\n    testrium.unit().probe("last")\n')
    assert workplace.run().exit_code == 0
    HISTORIES[kind](workplace.folder / ".testrium" / FILE)
    outcome = workplace.finish(workplace.start("history"))
    assert outcome.exit_code == 0
    assert "was set aside as" in outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr
