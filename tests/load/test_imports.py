"""pydantic is imported where files are read, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic.plugin import _loader

from testrium import loaded_by_name
from testrium.declared.circuits import Circuit
from testrium.load.schema import adapter

if TYPE_CHECKING:
    from tests.load.conftest import Workspace

CODE = "import sys; import {}; print(*[m for m in sys.modules if m.startswith('pydantic')])"


@pytest.mark.parametrize(
    "module",
    [
        "testrium",
        "testrium.cli.main",
        "testrium.run.supervisor.server",
        "testrium.run.supervisor.program",
        "testrium.run.supervisor.keeper",
        "testrium.declared.groups",
        "testrium.results",
    ],
)
def test_a_module_that_never_needs_pydantic(module: str) -> None:
    command = [sys.executable, "-c", CODE.format(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_loading_a_group_imports_the_core_of_pydantic_alone(workspace: Workspace) -> None:
    workspace.group(a="command = ['true']")
    workspace.write({"testrium.toml": "[env]\nA = '1'\n"})
    code = CODE.format(
        "testrium.load; testrium.load.load_groups([], cwd=__import__('pathlib').Path())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workspace.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    # The package around it makes hundreds of types that only type checkers look at.
    assert done.stdout.split() == ["pydantic_core._pydantic_core"]


#: The core is loaded `before` or after the whole package, or where its file cannot be found.
SAME_CORE = """
import sys
{before}
from testrium import loaded_by_name
{then}
core = loaded_by_name.compiled_core()
assert loaded_by_name.compiled_core() is core
import pydantic, pydantic_core
from pydantic_core import _pydantic_core
assert core is _pydantic_core
assert core.ValidationError is pydantic.ValidationError is pydantic_core.ValidationError
assert pydantic.TypeAdapter(list[int]).validate_json("[1]") == [1]
"""


@pytest.mark.parametrize(
    ("before", "then"),
    [
        ("", ""),
        ("import pydantic_core", ""),
        ("", "import types; loaded_by_name.PathFinder = types.SimpleNamespace(find_spec=print)"),
    ],
)
def test_the_core_is_the_one_of_the_package(before: str, then: str) -> None:
    code = SAME_CORE.format(before=before, then=then)
    subprocess.run([sys.executable, "-c", code], check=True)


NAMES = "SchemaValidator = ValidationError = from_json = to_json = None"


@pytest.mark.parametrize(
    ("compiled", "used"),
    [
        (NAMES, "core._core"),
        (None, "core"),
        ("import core\nraise ImportError(core)", "core"),
        ("SchemaValidator = None", "core"),
    ],
)
def test_another_layout_of_the_core_is_imported_as_a_package(
    compiled: str | None, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text(NAMES)
    if compiled is not None:
        (tmp_path / "core" / "_core.py").write_text(compiled)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(loaded_by_name, "_PYDANTIC_CORE", "core")
    monkeypatch.setattr(loaded_by_name, "_COMPILED", "core._core")
    try:
        assert loaded_by_name.compiled_core().__name__ == used
    finally:
        for name in ("core", "core._core"):
            sys.modules.pop(name, None)


def test_plugins_of_pydantic_stay_out_of_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked(**_: object) -> list[object]:
        raise AssertionError("looked for plugins")

    monkeypatch.setattr(_loader, "_plugins", None)
    monkeypatch.setattr(_loader, "entry_points", looked)
    adapter(Circuit)
    assert "PYDANTIC_DISABLE_PLUGINS" not in os.environ
