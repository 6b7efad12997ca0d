"""The test functions and callbacks of a group: its Python files are read, never imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from testrium.declared.groups import Group
from testrium.errors import Problem
from testrium.load.document import ProblemCollector, shown_path
from testrium.load.python_code import Function, PythonCode, why_generator
from testrium.load.units import UnitFile
from testrium.system.files import regular_text

#: Functions of these names are called with what a test came to, or all of them.
CALLBACKS = ("validate_test", "tests_results")

#: A decorator that groups written for older versions import; it is not a test.
_NO_TEST = "test_config"

#: Where test functions have always been; this module may define them in ways that cannot be read.
MAIN = "test_case"

_OTHERS = ("setup", "teardown", "conftest")

_SUITES = ("pytest", "unittest", "doctest")


def test_modules(
    folder: Path,
    code: PythonCode,
    files: Sequence[UnitFile],
    cwd: Path,
    collector: ProblemCollector,
) -> tuple[str, ...]:
    """The modules in the group's folder, and not below it, with test functions or callbacks.

    What a suite of the group runs is left to it. Noted as wrong: test classes, which only a suite
    runs, and a callback that two modules define.
    """
    suites = _files_of_suites(folder, files)
    # A program that the group starts may be a test runner of its own, for the classes of a file.
    commands = {word.rpartition("/")[2] for file in files for word in file["command"] or ()}
    keys = ("kind", "paths", "command")
    is_unknown = any(file.is_unread(key) for file in files for key in keys)
    found: list[str] = []
    callbacks: dict[str, str] = {}
    for path in sorted(folder.glob("*.py"), key=lambda path: (path.stem != MAIN, path.stem)):
        module = path.stem
        if module in _OTHERS or not module.isidentifier() or path.resolve() in suites:
            continue
        if module == MAIN:
            code.module(MAIN)  # complains where it cannot be read; others without tests may be data
        is_run = is_unknown or path.name in commands
        tree = code.tree(path)
        if tree is None:
            if not is_run and _TEST_FUNCTION.search(_text_of(path)):
                code.module(module)
            continue
        shown = shown_path(path, cwd)
        functions = {each.name: each for each in _functions(tree.body)}
        for line, name, kind in () if is_run else _test_classes(tree.body):
            collector.problem(
                shown,
                line,
                name,
                f"a test class needs a suite: declare a unit with kind = {kind} and"
                f" paths = [{path.name!r}], or write test functions",
            )
        for name in CALLBACKS:
            if name in functions:
                for line, why in _faults_of_callback(tree, functions[name], callbacks.get(name)):
                    collector.problem(shown, line, name, why)
                callbacks.setdefault(name, module)
        if any(_is_test(name) or name in CALLBACKS for name in functions) or (
            module == MAIN and _may_have_tests(code)
        ):
            found.append(module)
    return tuple(found)


test_modules.__test__ = False  # type: ignore[attr-defined]  # its name makes pytest collect it


def _faults_of_callback(
    tree: ast.Module, function: Function, other: str | None
) -> Iterator[tuple[int, str]]:
    """What is wrong with a callback, with its line; `other` is a module that has it too."""
    own = _lines_of(tree, function.name)
    if len(own) > 1:
        yield own[1], f"is defined in line {own[0]} too: keep one of the two callbacks"
    if why := why_generator(function):
        yield function.lineno, why
    if other is not None:
        yield function.lineno, f"is defined in {other}.py too: keep one of the two callbacks"


#: A test function in a file that is not Python.
_TEST_FUNCTION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+test_", re.MULTILINE)


def _text_of(path: Path) -> str:
    try:
        return regular_text(path, "replace")
    except OSError:
        return ""


def _may_have_tests(code: PythonCode) -> bool:
    names = code.module(MAIN)
    return names is not None and (
        not names.certain or any(_is_test(name) or name in CALLBACKS for name in names.names)
    )


def _is_test(name: str) -> bool:
    return name.startswith("test_") and name != _NO_TEST


def _lines_of(tree: ast.Module, name: str) -> list[int]:
    """Where a module defines a function; under `if` and `try` only one of several is defined."""
    return [each.lineno for each in tree.body if isinstance(each, Function) and each.name == name]


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


def _functions(body: Iterable[ast.stmt]) -> Iterator[Function]:
    """The functions at the top level of a module, those under `if` and `try` included."""
    for statement in _top_level(body):
        if isinstance(statement, Function):
            yield statement


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module outside of its functions and classes."""
    for statement in body:
        yield statement
        match statement:
            case ast.If() | ast.Try() | ast.TryStar() | ast.With() | ast.For() | ast.While():
                parts = [statement.body]
                parts += [getattr(statement, part, []) for part in ("orelse", "finalbody")]
                parts += [handler.body for handler in getattr(statement, "handlers", [])]
                for part in parts:
                    yield from _top_level(part)
            case _:
                pass


#: Names of functions that people mean as tests.
_LIKE_A_TEST = re.compile(
    r"(?:Test|TEST|tests|[Cc]heck|CHECK|should)_\w|(?:test|check)[A-Z]|\w+_test$"
)


def unrun_tests(group: Group, cwd: Path) -> Iterator[Problem]:
    """Functions that look like tests, and that neither Testrium runs nor anything names."""
    folder = group.folder
    modules: dict[Path, str] = {}
    texts = []
    patterns = ("*.py", "*/*.py", "*.toml", "*/*.toml")  # deeper may be a virtual environment
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        try:
            text = regular_text(path, "replace")
        except OSError:
            continue
        texts.append(text)
        if path.parent == folder and path.suffix == ".py" and path.stem not in _OTHERS:
            modules[path] = text
    of_suites = {
        (folder / text.partition("::")[0]).resolve()
        for unit in group.units
        for text in (unit.paths if unit.kind in _SUITES else ())
    }
    for path, text in modules.items():
        if of_suites & {path.resolve(), folder.resolve()}:
            continue
        try:
            functions = list(_functions(ast.parse(text).body))
        except (SyntaxError, ValueError):
            continue
        for function in functions:
            name = function.name
            if function.decorator_list or not _LIKE_A_TEST.match(name) or name in CALLBACKS:
                continue
            if sum(len(re.findall(rf"\b{name}\b", each)) for each in texts) > 1:
                continue  # it is called, or an entrypoint
            yield Problem(
                shown_path(path, cwd),
                function.lineno,
                name,
                "looks like a test and is never run: rename it to test_…, or to _… for a helper",
            )


def _last_name(node: ast.expr) -> str:
    """`c` of `a.b.c` or of `c`; "" of any other expression."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _test_classes(body: Iterable[ast.stmt]) -> Iterator[tuple[int, str, str]]:
    """Line, name and the kinds of suite of each class that holds tests."""
    test_cases = {"TestCase", "IsolatedAsyncioTestCase"}
    with_tests: set[str] = set()  # by what they define or inherit in this module
    for statement in _top_level(body):
        match statement:
            case ast.ImportFrom(module="unittest"):
                test_cases |= {
                    alias.asname
                    for alias in statement.names
                    if alias.asname and alias.name in test_cases
                }
            case ast.Assign(value=value, targets=[ast.Name(id=name)]):
                if _last_name(value) in test_cases:
                    test_cases.add(name)
            case _:
                pass
        if not isinstance(statement, ast.ClassDef):
            continue
        bases = set(map(_last_name, statement.bases))
        has_tests = any(
            isinstance(each, Function) and each.name.startswith("test") for each in statement.body
        ) or bool(bases & with_tests)
        if has_tests:
            with_tests.add(statement.name)
        if bases & test_cases:
            yield statement.lineno, statement.name, '"unittest" (or "pytest")'
        elif statement.name.startswith("Test") and has_tests:
            yield statement.lineno, statement.name, '"pytest" (for a TestCase: "unittest")'
