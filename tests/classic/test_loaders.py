"""The classic functions that find and read groups, and what test files import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testrium.common.loaders import discover_tests, load_config
from testrium.common.utils import test_config as decorate
from testrium.common.utils import verify_condition


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Groups `test_a`, `test_b` and one that is disabled."""
    for name, more in (("test_b", ""), ("test_a", ""), ("test_off", "enabled = false")):
        units = tmp_path / name / "units"
        units.mkdir(parents=True)
        (units.parent / "config.toml").write_text(
            f'["Configs"]\nunits = ["late", "early"]\n{more}\n'
        )
        (units / "late.toml").write_text('["late"]\ninit = 1\nunity_depencies = ["early"]\n')
        (units / "early.toml").write_text('["early"]\ninit = 0\nevents = ["up"]\n')
    return tmp_path


def test_groups_with_their_units_by_init(base: Path) -> None:
    found = discover_tests(str(base), [])
    assert [name for name, _ in found] == ["test_a", "test_b"]
    for _, units in found:
        assert [unit["name"] for unit in units] == ["early", "late"]
        assert units[0]["events"] == ["up"]
        assert units[1]["unit_dependencies"] == ["early"]


def test_excluded_groups(base: Path) -> None:
    assert [name for name, _ in discover_tests(base, ["test_a", "nobody"])] == ["test_b"]


def test_a_wrong_group_is_an_error_unless_strict_is_off(base: Path) -> None:
    (base / "test_a" / "config.toml").write_text('[Configs]\nunits = ["early"]\ntimeout = 0\n')
    with pytest.raises(ValueError, match=r"^test_a: test_a/config.toml:3: timeout: must be a pos"):
        discover_tests(base, [])
    assert [name for name, _ in discover_tests(base, [], strict=False)] == ["test_b"]


def test_a_missing_config_and_a_wrong_project_file(base: Path) -> None:
    (base / "test_a" / "config.toml").unlink()
    with pytest.raises(ValueError, match=r"test_a/config.toml: is missing"):
        discover_tests(base, [])
    assert [name for name, _ in discover_tests(base, [], strict=False)] == ["test_b"]
    (base / "testrium.toml").write_text("x = 1")
    with pytest.raises(ValueError, match=r"^testrium.toml:1: x: unknown key$"):
        discover_tests(base, [], strict=False)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        discover_tests(tmp_path / "nowhere", [])


def test_load_config(base: Path) -> None:
    assert load_config(base / "test_off" / "config.toml")["Configs"]["enabled"] is False
    with pytest.raises(FileNotFoundError):
        load_config(str(base / "nowhere.toml"))
    (base / "bad.toml").write_text("[Configs\n")
    with pytest.raises(ValueError, match="Expected"):
        load_config(base / "bad.toml")


def test_the_decorator_leaves_marks_and_the_function() -> None:
    def function() -> int:
        return 5

    assert decorate(priority=3, parallelize=True)(function) is function
    assert vars(function) == {"testrium_priority": 3, "testrium_parallelize": True}
    decorate()(function)
    assert vars(function) == {"testrium_priority": 0, "testrium_parallelize": False}


def test_verify_condition() -> None:
    verify_condition("anything")
    with pytest.raises(AssertionError, match=r"^Verification failed$"):
        verify_condition(0)
    with pytest.raises(AssertionError, match=r"^the door is open$"):
        verify_condition(None, "the door is open")


def test_what_units_import_brings_nothing_along() -> None:
    code = (
        "import sys, testrium.common.utils as _; "
        "print(*sorted(name for name in sys.modules if name.startswith('testrium')))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert output.split() == [
        "testrium",
        "testrium.common",
        "testrium.common.utils",
        "testrium.testing",
        "testrium.testing.functions",
    ]
