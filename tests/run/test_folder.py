from __future__ import annotations

from pathlib import Path

import pytest

from testrium.declared.groups import Generate, Group, Scenario
from testrium.run.folder import RunFolder, hiding_file, last_lines
from testrium.run.group import reserved_units


def test_the_folders_are_private(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run" / "group")
    folder.create(("host",))
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.unit("host").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("group", "folders"),
    [
        (Group("group", Path("group"), ()), []),
        (
            Group("group", Path("group"), (), has_setup=True, test_modules=("t",)),
            ["setup", "tests"],
        ),
        (Group("group", Path("group"), (), has_teardown=True), ["teardown"]),
        (Group("group", Path("group"), (), generate=Generate(reset="code:reset")), ["setup"]),
    ],
)
def test_only_units_that_a_group_has_get_a_folder(group: Group, folders: list[str]) -> None:
    scenario = Scenario(
        id="group", group=group, units=(), mode="DEBUG", params={}, repeat=0, folder_name="group"
    )
    assert list(reserved_units(scenario)) == folders


def test_each_start_has_a_probe_file_of_its_own(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.probes("host", 1) != folder.probes("host", 2)


def test_last_lines_of_a_short_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo \xff\nthree")
    assert last_lines(log, 2) == ("two \\xff", "three")


def test_a_line_that_is_cut_by_the_limit_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * 100 + "\nwhole\n")
    assert last_lines(log, limit=20) == ("whole",)


def test_no_log_has_no_lines(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("AttributeError: module 'queue' has no attribute 'SimpleQueue'", "queue.py"),
        ("ImportError: cannot import name 'X' from 'json' (/g/json.py)", "json.py"),
        (
            "ImportError: cannot import name 'X' from partially initialized module 'json'",
            "json/__init__.py",
        ),
        ("ModuleNotFoundError: No module named 'json.decoder'; 'json' is not a package", "json.py"),
    ],
)
def test_a_file_that_hides_a_module_of_python_is_named(
    tmp_path: Path, line: str, file: str
) -> None:
    path = tmp_path / file
    assert hiding_file([tmp_path], [line]) == ""
    path.parent.mkdir(exist_ok=True)
    path.touch()
    name = file.partition("/")[0].removesuffix(".py")
    told = f"{path} hides Python's own module {name!r}: rename it"
    assert hiding_file([tmp_path], ["Traceback", line]) == told
    assert hiding_file([tmp_path], [f"KeyError: {name!r}"]) == ""
