"""What the Python files of a group define: read, never imported."""

from __future__ import annotations

import ast
import importlib.util
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from testrium.load.document import ProblemCollector, shown_path
from testrium.phrases import did_you_mean
from testrium.tuples import NamedTuple
from testrium.words import EMPTY

#: Names whose mention means that a module may define names in ways that cannot be read.
_DYNAMIC = frozenset({"globals", "vars", "exec", "eval", "setattr", "__dict__", "modules"})


Function = ast.FunctionDef | ast.AsyncFunctionDef


class Names(NamedTuple):
    """The names at the top level of a module; `certain` is False where there may be more.

    `uncallable` tells of some names why they cannot be called without arguments, `functions` has
    those that are certainly what is called by their name.
    """

    names: frozenset[str]
    certain: bool = True
    uncallable: Mapping[str, str] = EMPTY
    functions: Mapping[str, Function] = EMPTY

    def may_have(self, name: str) -> bool:
        """Whether the module can have this name."""
        return name in self.names or not self.certain

    def why_never_runs(self, name: str, *, may_yield: bool = False) -> str:
        """Why a call without arguments certainly does not run this function, or ""."""
        if why := self.uncallable.get(name):
            return why
        function = None if may_yield else self.functions.get(name)
        return (function and why_generator(function)) or ""


class PythonCode:
    """The Python files below one group's folder, each read at most once.

    Args:
        folder: the group's folder.
        cwd: what file names in messages are relative to.
        collector: where syntax errors are noted.
        pythonpath: further folders in which modules are found; they are not read.
    """

    def __init__(
        self,
        folder: Path,
        cwd: Path,
        collector: ProblemCollector,
        pythonpath: tuple[Path, ...] = (),
    ) -> None:
        self.folder = folder
        self.pythonpath = pythonpath
        self._cwd = cwd
        self._collector = collector
        self._trees: dict[Path, ast.Module | None] = {}
        self._read: dict[Path, Names] = {}

    def module(self, name: str) -> Names | None:
        """The names in a module of the group's folder; None if the file does not exist."""
        path = self._file(name)
        if path is None:
            return None
        if path not in self._read:
            self._read[path] = self._names(path)
        return self._read[path]

    def tree(self, path: Path) -> ast.Module | None:
        """The syntax tree of a file; None, and no complaint, where it cannot be read."""
        if path not in self._trees:
            try:
                return _parsed(path)
            except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
                return None
        return self._trees[path]

    def entrypoint_error(
        self, entrypoint: str, *, elsewhere: bool = False, may_yield: bool = False
    ) -> str | None:
        """Why `module:function` cannot be started, or None if nothing speaks against it.

        A module outside of the group's folder is only looked for, not read.

        Args:
            entrypoint: in the form `module:function`.
            elsewhere: whether the module may be found where this process does not look.
            may_yield: whether what it yields is used.
        """
        module, _, function = entrypoint.partition(":")
        names = self.module(module)
        if names is not None and (reason := names.why_never_runs(function, may_yield=may_yield)):
            return f"{function!r} of module {module!r} {reason}"
        return self.reference_error(entrypoint, "group", elsewhere=elsewhere)

    def reference_error(self, reference: str, owner: str, *, elsewhere: bool = False) -> str | None:
        """Why `module:name` cannot be found, or None if nothing speaks against it.

        Args:
            reference: in the form `module:name`.
            owner: whose folder it is: "group" or "project".
            elsewhere: whether the module may be found where this process does not look.
        """
        module, _, function = reference.partition(":")
        if names := self.module(module):
            if names.may_have(function):
                return None
            guess = did_you_mean(function, sorted(names.names))
            return f"module {module!r} has no function {function!r}{guess}"
        package = module.partition(".")[0]
        if module.endswith(".py") and self._file(proper := module.removesuffix(".py")):
            return f"{reference!r} names a file, not a module: write {f'{proper}:{function}'!r}"
        if self._file(package) is not None:
            return f"module {module!r} is not in the folder of its package {package!r}"
        if not (elsewhere or self.pythonpath or is_importable(package)):
            guess = did_you_mean(module, [path.stem for path in sorted(self.folder.glob("*.py"))])
            return f"module {module!r} is neither in the {owner}'s folder nor importable{guess}"
        known = sys.modules.get(module) if package in sys.stdlib_module_names else None
        if known is not None and not callable(getattr(known, function, None)):
            return f"module {module!r} of Python has no function {function!r}"
        return None

    def _file(self, module: str) -> Path | None:
        base = self.folder.joinpath(*module.split("."))
        candidates = (base.with_name(f"{base.name}.py"), base / "__init__.py")
        return next((path for path in candidates if path.is_file()), None)

    def _read_tree(self, path: Path) -> ast.Module | None:
        shown = shown_path(path, self._cwd)
        try:
            return _parsed(path)
        except SyntaxError as error:
            self._collector.problem(shown, error.lineno, "", f"Python syntax error: {error.msg}")
        except (ValueError, OSError, RecursionError, MemoryError) as error:
            self._collector.problem(shown, None, "", f"cannot be read: {error}")
        return None

    def _names(self, path: Path) -> Names:
        if path not in self._trees:
            self._trees[path] = self._read_tree(path)
        tree = self._trees[path]
        if tree is None:
            return Names(frozenset(), certain=False)
        bound = list(_bound_names(tree.body))
        names = frozenset(bound)
        if "*" in names or _is_dynamic(tree):
            return Names(names - {"*"}, certain=False)
        once = {name for name, times in Counter(bound).items() if times == 1}
        reasons = {name: why for name, why in _uncallable(tree.body) if name in once}
        functions = {
            each.name: each
            for each in tree.body
            if isinstance(each, Function) and each.name in once
        }
        return Names(names, uncallable=reasons, functions=functions)


def _parsed(path: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the code, for example about its escapes
        return ast.parse(path.read_bytes(), filename=str(path))


def is_importable(package: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ValueError, ImportError):
        return True  # loaded in an unusual way: it is there


def _bound_names(body: list[ast.stmt]) -> Iterator[str]:
    """The names that the statements of a module's top level bind; `*` for a star import."""
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield statement.name
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    yield alias.asname or alias.name.partition(".")[0]
            case _:
                yield from _names_bound_inside(statement)


def _uncallable(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Names that certainly cannot be called without arguments, each with the reason."""
    for statement in body:
        match statement:
            case (
                ast.FunctionDef(name=name, args=args, decorator_list=[])
                | ast.AsyncFunctionDef(name=name, args=args, decorator_list=[])
            ):
                if needed := _needed(args):
                    yield name, f"needs arguments: {', '.join(needed)}"
            case ast.Import():
                for alias in statement.names:
                    yield alias.asname or alias.name.partition(".")[0], "is a module"
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if isinstance(
                value, ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.Set | ast.JoinedStr
            ):
                yield name, "is not a function"
            case _:
                pass


def why_generator(function: Function) -> str:
    """Why a call does not run the body of this function, or "": it is a generator.

    What a decorator makes of it is known only when it is called.
    """
    left: list[ast.AST] = [] if function.decorator_list else [*reversed(function.body)]
    while left:
        node = left.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return (
                f"is a generator, whose body would not run: take out the `yield` in line"
                f" {node.lineno}"
            )
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            left += reversed([*ast.iter_child_nodes(node)])
    return ""


def _needed(args: ast.arguments) -> list[str]:
    """The parameters without a default."""
    positional = [*args.posonlyargs, *args.args]
    needed = positional[: len(positional) - len(args.defaults)]
    needed += [
        each
        for each, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
        if default is None
    ]
    return [each.arg for each in needed]


def _names_bound_inside(statement: ast.stmt) -> Iterator[str]:
    for field in ast.iter_child_nodes(statement):
        match field:
            case ast.stmt():
                yield from _bound_names([field])
            case ast.ExceptHandler() | ast.match_case():
                yield from _bound_names(field.body)
            case _:
                for node in ast.walk(field):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        yield node.id


def _is_dynamic(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        match node:
            case ast.Global():
                return True
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in _DYNAMIC:
                return True
            case ast.FunctionDef(name="__getattr__"):
                return True
            case _:
                pass
    return False
