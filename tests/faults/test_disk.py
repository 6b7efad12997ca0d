"""Disks that are full or cannot be written, and limits of the machine: told, never a traceback."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace
    from tests.faults.conftest import Soundness

UNITS = {"a": 'entrypoint = "test_case:a"'}
CODE = """
import os
def a():
    me = testrium.unit()
    try:
        for number in range(200):
            me.send("sent", key=f"k{number}")
            me.receive("received", key=f"k{number}")
    except OSError as error:  # a probe that did not return is not promised
        os._exit(9)
"""


def limited(workplace: Workplace, number: int, limit: int) -> Outcome:
    """A run below a limit of the kernel; what is compiled must not be written, or it is torn."""
    report = workplace.folder / "report.json"
    report.unlink(missing_ok=True)
    code = (
        f"import resource, os, sys; resource.setrlimit({number}, ({limit}, {limit}));"
        f" os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    program = [sys.executable, "-c", code, "-m", "testrium"]
    return workplace.finish(workplace.start("run", "--json", str(report), program=program))


PAGE = 4096


@pytest.mark.timeout(3600)
def test_a_disk_that_is_full_at_any_write_is_the_runners_fault(
    workplace: Workplace,
    check_databases: Callable[[Path], None],
    disk: Callable[[Path, str], None],
    rounds: Callable[[int, int], int],
) -> None:
    workplace.group(UNITS, CODE)
    state = workplace.folder / ".testrium"
    last = 150
    sizes = [1, 3, 14, 40, last] if rounds(0, 1) == 0 else range(1, last + 1)
    for pages in sizes:
        disk(state, f"size={pages * PAGE}")
        outcome = workplace.run()
        check_full(outcome, f"{pages} pages")
        check_databases(state)


def check_full(outcome: Outcome, when: str) -> None:
    assert "Traceback" not in outcome.stdout + outcome.stderr, when
    assert outcome.exit_code in (0, 1, 5), when
    assert outcome.report["exit_code"] == outcome.exit_code, when
    if outcome.exit_code == 1:  # the unit was told that its probe was not stored
        assert outcome.codes[0] in ("crash a", "exception a:OSError"), when


@pytest.mark.parametrize("size", [0, 8 << 10, 128 << 10])
def test_files_that_may_not_grow_are_the_runners_fault(workplace: Workplace, size: int) -> None:
    workplace.group(UNITS, CODE)
    outcome = limited(workplace, resource.RLIMIT_FSIZE, size)
    assert outcome.exit_code == 5
    assert "Traceback" not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize("count", [8, 12])
def test_too_few_descriptors_are_the_runners_fault(workplace: Workplace, count: int) -> None:
    workplace.group(UNITS, CODE)
    outcome = limited(workplace, resource.RLIMIT_NOFILE, count)
    assert "Traceback" not in outcome.stdout + outcome.stderr
    if outcome.exit_code != 0:
        assert outcome.exit_code == 5
        assert "oo many open files" in outcome.stdout + outcome.stderr


def test_few_descriptors_are_enough(workplace: Workplace, sound: Soundness) -> None:
    workplace.group(UNITS, CODE)
    sound.of(limited(workplace, resource.RLIMIT_NOFILE, 40), 0)


def test_a_folder_that_cannot_be_written_is_told_in_a_line(
    workplace: Workplace, disk: Callable[[Path, str], None]
) -> None:
    workplace.group(UNITS, CODE)
    disk(workplace.folder / ".testrium", "ro")
    outcome = workplace.run()
    assert outcome.exit_code == 5
    assert outcome.stderr.startswith("testrium: cannot make the run folder ")
    assert "Read-only file system" in outcome.stderr
    assert outcome.report["exit_code"] == 5


def test_a_read_only_group_runs(workplace: Workplace, sound: Soundness) -> None:
    group = workplace.group(UNITS, CODE)
    for path in (group, group / "units"):
        path.chmod(0o500)
    try:
        sound.of(workplace.run(), 0)
    finally:
        for path in (group, group / "units"):
            path.chmod(0o700)


def without_rights_over_files(workplace: Workplace) -> Outcome:
    """A run by somebody whom the modes of files bind; root needs to be told so."""
    report = workplace.folder / "report.json"
    report.unlink(missing_ok=True)
    program = [sys.executable, "-m", "testrium"]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere")
        rights = "--bounding-set=-dac_override,-dac_read_search"
        program = ["setpriv", rights, "--", *program]
    return workplace.finish(workplace.start("run", "--json", str(report), program=program))


def test_a_state_folder_of_another_user_is_reported_in_a_line(workplace: Workplace) -> None:
    workplace.group(UNITS, CODE)
    state = workplace.folder / ".testrium"
    state.mkdir(mode=0o500)
    outcome = without_rights_over_files(workplace)
    assert outcome.exit_code == 5
    assert "Permission denied" in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert outcome.report["exit_code"] == 5


def test_a_group_that_may_not_be_read_is_told_with_its_file(workplace: Workplace) -> None:
    group = workplace.group(UNITS, CODE)
    (group / "units" / "a.toml").chmod(0)
    outcome = without_rights_over_files(workplace)
    assert outcome.exit_code == 3
    (error,) = outcome.report["errors"]
    assert error["file"] == "group/units/a.toml"
    assert "Permission denied" in error["message"]


def test_a_store_that_may_not_be_written_any_more_is_the_runners_fault(
    workplace: Workplace,
) -> None:
    """A unit takes its own run folder's rights away, and tells more."""
    code = """
    import os
    def a():
        os.chmod(os.environ["TESTRIUM_RUN_DIR"], 0o500)
        me = testrium.unit()
        me.probe("told")
        me.wait_for("a:told", timeout=10)
    """
    workplace.group(UNITS, code)
    outcome = without_rights_over_files(workplace)
    for folder in (workplace.folder / ".testrium" / "runs").glob("*/*"):
        folder.chmod(0o700)
    assert "Traceback" not in outcome.stdout + outcome.stderr
    # What was open stays open: the run may end well, and else it is not the unit's fault.
    assert outcome.exit_code in (0, 5)
    assert outcome.report["exit_code"] == outcome.exit_code


def test_a_state_folder_that_is_a_file_is_told_in_a_line(workplace: Workplace) -> None:
    workplace.group(UNITS, CODE)
    (workplace.folder / ".testrium").write_text("no folder")
    outcome = workplace.run()
    assert outcome.exit_code == 5
    assert outcome.stderr.count("\n") == 1
