"""How the package is built: each class name stands once, and no function outgrows a screen."""

from __future__ import annotations

import ast
import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import testrium

PACKAGE = Path(testrium.__file__).parent

#: Lines of a function, and what it may be given besides `self`.
MOST_LINES = 60
MOST_PARAMETERS = 8


@cache
def nodes() -> tuple[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef], ...]:
    """Every class and function of the package, with the file that it stands in."""
    return tuple(
        (file.relative_to(PACKAGE).as_posix(), node)
        for file in sorted(PACKAGE.rglob("*.py"))
        for node in _below(ast.parse(file.read_text(encoding="utf-8")))
    )


def _below(node: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Those in statements; expressions, of which there are many more, hold none."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        if not isinstance(child, ast.expr):
            yield from _below(child)


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for file, node in nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{file}:{node.lineno} {node.name}", node


def test_each_class_name_stands_once() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for file, node in nodes():
        if isinstance(node, ast.ClassDef):
            places[node.name].append(f"{file}:{node.lineno}")
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


#: Pictures, where the field has a word; parts of names, between capitals or underlines.
PICTURES = re.compile(
    r"(bystander|cast|complaints?|doorman|elsewhere|hear|heed|nobody|road|stations?|story|strangers"
    r"|teller)"
)


def test_names_are_words_of_the_field() -> None:
    names = {node.name: file for file, node in nodes()} | {
        file.stem: file.name for file in PACKAGE.rglob("*.py")
    }
    parts = {name: re.sub("([A-Z])", r"_\1", name).lower().split("_") for name in names}
    found = {name: names[name] for name in names if any(map(PICTURES.fullmatch, parts[name]))}
    assert found == {}


def test_functions_fit_on_a_screen() -> None:
    lengths = {
        place: (node.end_lineno or node.lineno) - node.lineno + 1 for place, node in functions()
    }
    assert {place: lines for place, lines in lengths.items() if lines > MOST_LINES} == {}


def test_functions_take_few_parameters() -> None:
    counts = {}
    for place, node in functions():
        given = node.args
        named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        counts[place] = sum(one is not None and one.arg not in ("self", "cls") for one in named)
    assert {place: count for place, count in counts.items() if count > MOST_PARAMETERS} == {}


def test_a_defect_in_a_callback_of_the_loop_ends_its_test_at_once() -> None:
    from tests.conftest import ending_at_defects

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: dict[str, int]()["defect"])
        async with asyncio.timeout(60):
            await loop.create_future()

    with ending_at_defects() as failed, pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    assert [type(error) for error in failed] == [KeyError]
