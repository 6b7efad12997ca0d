"""Which modules of a group hold its test functions and callbacks: read, never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from testrium.load.document import Complaints, shown_path
from testrium.load.python_code import PythonCode
from testrium.load.units import UnitFile

#: Functions of these names are called with what a test came to, or all of them.
CALLBACKS = ("validate_test", "tests_results")
#: A decorator that groups written for older versions import; it is no test.
_NO_TEST = "test_config"
#: Where test functions have always been; this module may define them in ways that cannot be read.
MAIN = "test_case"
_OTHERS = ("setup", "teardown", "conftest")
_SUITES = ("pytest", "unittest", "doctest")


def test_modules(
    folder: Path, code: PythonCode, files: Sequence[UnitFile], cwd: Path, complaints: Complaints
) -> tuple[str, ...]:
    """The modules in the group's folder, and not below it, with test functions or callbacks.

    What a suite of the group runs is left to it. Noted as wrong: test classes, which only a suite
    runs, and a callback that two modules define.
    """
    suites = _files_of_suites(folder, files)
    # A program that the group starts may be a test runner of its own, for the classes of a file.
    commands = {word.rpartition("/")[2] for file in files for word in file["command"] or ()}
    found: list[str] = []
    callbacks: dict[str, str] = {}
    for path in sorted(folder.glob("*.py"), key=lambda path: (path.stem != MAIN, path.stem)):
        module = path.stem
        if module in _OTHERS or not module.isidentifier() or path.resolve() in suites:
            continue
        if module == MAIN:
            code.module(MAIN)  # complains where it cannot be read; others may be data
        tree = code.tree(path)
        if tree is None:
            continue
        shown = shown_path(path, cwd)
        functions = {each.name: each.lineno for each in _functions(tree.body)}
        for line, name, kind in () if path.name in commands else _test_classes(tree.body):
            complaints.problem(
                shown,
                line,
                name,
                f"a test class needs a suite: declare a unit with kind = {kind} and"
                f" paths = [{path.name!r}], or write test functions",
            )
        for name in CALLBACKS:
            if name not in functions:
                continue
            if name in callbacks:
                complaints.problem(
                    shown,
                    functions[name],
                    name,
                    f"is defined in {callbacks[name]}.py too: keep one of the two callbacks",
                )
            callbacks.setdefault(name, module)
        if any(_is_test(name) or name in CALLBACKS for name in functions) or (
            module == MAIN and _may_have_tests(code)
        ):
            found.append(module)
    return tuple(found)


test_modules.__test__ = False  # type: ignore[attr-defined]  # its name makes pytest collect it


def _may_have_tests(code: PythonCode) -> bool:
    names = code.module(MAIN)
    return names is not None and (
        not names.certain or any(_is_test(name) or name in CALLBACKS for name in names.names)
    )


def _is_test(name: str) -> bool:
    return name.startswith("test_") and name != _NO_TEST


def _files_of_suites(folder: Path, files: Sequence[UnitFile]) -> set[Path]:
    """The Python files in the group's folder that its suites run."""
    named: set[Path] = set()
    for file in files:
        for text in file["paths"] if file["kind"] in _SUITES else ():
            path = folder / text.partition("::")[0]
            if path.is_dir():  # what a suite finds in a folder by itself
                named.update(each.resolve() for each in path.glob("*_test.py"))
                named.update(each.resolve() for each in path.glob("test_*.py") if each.stem != MAIN)
            else:
                named.add(path.resolve())
    return named


def _functions(body: Iterable[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions at the top level of a module, those under `if` and `try` included."""
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield statement
            case ast.If() | ast.Try() | ast.With():
                parts = [statement.body, getattr(statement, "orelse", [])]
                parts += [handler.body for handler in getattr(statement, "handlers", [])]
                for part in parts:
                    yield from _functions(part)
            case _:
                pass


def _test_classes(body: Iterable[ast.stmt]) -> Iterator[tuple[int, str, str]]:
    """Line, name and the kinds of suite of each class that holds tests."""
    for statement in body:
        if not isinstance(statement, ast.ClassDef):
            continue
        bases = {
            base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
            for base in statement.bases
        }
        has_tests = any(
            isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            and each.name.startswith("test")
            for each in statement.body
        )
        if bases & {"TestCase", "IsolatedAsyncioTestCase"}:
            yield statement.lineno, statement.name, '"unittest" (or "pytest")'
        elif statement.name.startswith("Test") and has_tests:
            yield statement.lineno, statement.name, '"pytest" (for a TestCase: "unittest")'
