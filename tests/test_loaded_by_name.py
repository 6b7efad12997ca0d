"""What is loaded by a name in a text stands in one list, and exists."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import testrium
from testrium import loaded_by_name

ROOT = Path(testrium.__file__).parent
MODULES = {
    ".".join(("testrium", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
} - {"testrium"}
#: Where names of modules may stand in texts: the list, the table of commands, and attributes of
#: spans, which are called alike.
LISTS = {ROOT / "loaded_by_name.py", ROOT / "cli" / "main.py", ROOT / "report" / "traces.py"}


def named_modules(path: Path) -> Iterator[tuple[int, str]]:
    """Modules of ours that texts in this file name, but for documentation and `__module__`."""
    tree = ast.parse(path.read_text())
    silent = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__module__")
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in silent
        ):
            for name in re.findall(r"\btestrium(?:\.[a-z_]+)+", node.value):
                parts = name.split(".")
                if any(".".join(parts[:end]) in MODULES for end in range(2, len(parts) + 1)):
                    yield node.lineno, name


def test_no_other_text_names_a_module() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}": name
        for path in ROOT.rglob("*.py")
        if path not in LISTS
        for line, name in named_modules(path)
    }
    assert not found


@pytest.mark.parametrize(
    "reference",
    [
        *(
            value
            for value in vars(loaded_by_name).values()
            if ":" in str(value)[:80] and isinstance(value, str) and value.startswith("testrium.")
        ),
        *loaded_by_name.SUITES.values(),
    ],
)
def test_every_reference_leads_to_a_function(reference: str) -> None:
    module, function = reference.split(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", [*loaded_by_name.PRELOADED, loaded_by_name.PLUGIN_READINESS])
def test_every_module_can_be_imported(name: str) -> None:
    assert importlib.import_module(name)
