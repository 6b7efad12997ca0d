"""Tracebacks: which frame is the user's, and which types of exceptions a text tells of.

What is below the user's frame is how libraries work.
"""

from __future__ import annotations

import linecache
import os
import re
import traceback
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from types import CodeType

from testrium.errors import error_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from types import FrameType

#: The standard library, installed packages, and what has no file: `<frozen importlib._bootstrap>`.
_LIBRARY = (
    r"<(?!stdin>|string>).*>$|.*[/\\](?:[Ll]ib[/\\]python3\.\d+t?|site-packages|dist-packages)[/\\]"
    r"|.*[/\\]Python3?\d*[/\\]Lib[/\\]"
)

#: As this package was imported: a checkout is not an installed package.
_OURS = str(PurePath(__file__).parent / "_").removesuffix("_")

_HEAD = "Traceback (most recent call last):"

_FRAME = r'  File "(?P<file>.*)", line \d+'


def is_library(file: str) -> bool:
    """Whether the file of a frame belongs to a library, as far as its path tells."""
    return re.match(_LIBRARY, file) is not None or file.startswith(_OURS)


def deepest_own(files: Sequence[str]) -> int | None:
    """The index of the user's frame that was called last; the last of all if none is the user's.

    `files` are those of the frames, the outermost first. None without frames.
    """
    own = [index for index, file in enumerate(files) if not is_library(file)]
    return own[-1] if own else len(files) - 1 if files else None


def where_raised(error: BaseException) -> str:
    """` (file.py:12)`: the line of the user that raised or called what raised; "" if there is none.

    The path of a file below the current folder is relative to it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    index = deepest_own([frame.filename for frame in frames])
    if index is None or is_library(frames[index].filename):
        return ""
    file = frames[index].filename.removeprefix(os.path.join(os.getcwd(), ""))  # noqa: PTH109, PTH118
    return f" ({file}:{frames[index].lineno})"


def error_with_place(error: BaseException) -> str:
    """What an error of the user's code says, and at which of their lines."""
    return error_text(error) + where_raised(error)


def own_place(error: BaseException, folder: str) -> tuple[str, int] | None:
    """File and line of the deepest frame whose file lies below `folder`, else of the user's."""
    frames = traceback.extract_tb(error.__traceback__)
    below = os.path.join(folder, "")  # noqa: PTH118 - as text
    files = [frame.filename for frame in frames]
    inside = [index for index, file in enumerate(files) if file.startswith(below)]
    index = inside[-1] if inside else deepest_own(files)
    if index is None or is_library(files[index]):
        return None
    return files[index], frames[index].lineno or 1


def place_of_function(function: object) -> tuple[str, int | None]:
    """File and line at which a function is defined; "" and None where it is none of Python's."""
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    code = getattr(function, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if isinstance(code, CodeType) else ("", None)


def why_unrun(value: object) -> str:
    """Why the function that returned `value` has not run: it is a generator, or waits; or ""."""
    kinds = {"gi_code": "a generator (it contains `yield`)"}
    kinds |= {"ag_code": "an asynchronous generator (it contains `yield`)"}
    kinds |= {"cr_code": "a coroutine (`async def`), which is not awaited here"}
    for name, kind in kinds.items():
        code = getattr(value, name, None)
        if isinstance(code, CodeType):
            below = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118 - as text
            place = f"{code.co_filename.removeprefix(below)}:{code.co_firstlineno}"
            return f"{code.co_name} ({place}) is {kind}: its body was not run"
    return ""


#: Characters of one value that a failed `assert` shows, and how many values.
_LONGEST_VALUE = 300
_MOST_VALUES = 20


def add_asserted_values(error: BaseException) -> None:
    """Add what the parts of a failed `assert` were as notes of the exception.

    The parts are evaluated where that has no side effect (pure_eval): names, attributes, items,
    operators, harmless builtins such as `len`. Nothing is called a second time.
    """
    trace = error.__traceback__
    if not isinstance(error, AssertionError) or trace is None:
        return
    while trace.tb_next is not None:
        trace = trace.tb_next
    if is_library(trace.tb_frame.f_code.co_filename):
        return
    statement = _assert_at(trace.tb_frame, trace.tb_lineno)
    if statement is None:
        return
    head, *values = _asserted(statement, trace.tb_frame)
    if not error.args:
        error.args = (head,)
    for line in values:
        error.add_note(line)


def _assert_at(frame: FrameType, line: int) -> ast.Assert | None:
    import ast

    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return None
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(found, key=lambda node: node.lineno, default=None)


def _asserted(statement: ast.Assert, frame: FrameType) -> Iterator[str]:
    import ast

    from pure_eval import CannotEval, Evaluator

    evaluator = Evaluator.from_frame(frame)
    told: dict[str, str] = {}
    calls: dict[str, None] = {}
    conditions: set[str] = set()
    for part in _parts(statement.test):
        text = ast.unparse(part)
        try:
            value = evaluator[part]
        except CannotEval:
            if isinstance(part, ast.Call):
                calls[text] = None
            continue
        if part is not statement.test and not (callable(value) or hasattr(value, "__spec__")):
            told.setdefault(text, _shown(value))
            if isinstance(part, ast.Compare | ast.BoolOp | ast.UnaryOp):
                conditions.add(text)
    head = f"assert {ast.unparse(statement.test)}"
    yield f"{head[:_LONGEST_VALUE]}{_in_place_of_parts(statement.test, told)}"
    for text, shown in [pair for pair in told.items() if pair[0] != pair[1]][:_MOST_VALUES]:
        yield f"  ({text}) = {shown}" if text in conditions else f"  {text} = {shown}"
    if calls:
        yield f"  {next(iter(calls))}: calls are not repeated; name the result to see it"


#: A comparison with longer values is not shown a second time.
_LONGEST_IN_PLACE = 40


def _in_place_of_parts(test: ast.expr, told: dict[str, str]) -> str:
    """` (30 == 33)` of a comparison whose sides are known and short."""
    import ast

    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not told:
        return ""
    sides = [
        ast.unparse(side) if isinstance(side, ast.Constant) else told.get(ast.unparse(side))
        for side in (test.left, test.comparators[0])
    ]
    if any(side is None or len(side) > _LONGEST_IN_PLACE for side in sides):
        return ""
    operator = ast.unparse(ast.Compare(ast.Name("a"), test.ops, [ast.Name("b")]))[2:-2]
    return f" ({sides[0]} {operator} {sides[1]})"


def _parts(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions in it whose names are those of the frame, without constants."""
    import ast

    if isinstance(node, ast.Lambda | ast.Constant):
        return
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        yield from _parts(node.generators[0].iter)
        return
    if isinstance(node, ast.expr):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _parts(child)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - user code
        return f"<its repr raised {type(error).__name__}>"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def without_ours(lines: Sequence[str]) -> tuple[str, ...]:
    """The lines of a traceback without what this package did for the user's call that failed.

    Else the last lines, which reports show, would hide which call that was.
    """
    kept: list[str] = []
    frames: list[tuple[str, int]] = []  # the file of each, and where it begins in `kept`

    def end_traceback() -> None:
        files = [file for file, _ in frames]
        own = deepest_own(files)
        if own is not None and not is_library(files[own]):
            ours = (begin for file, begin in frames[own + 1 :] if file.startswith(_OURS))
            if (begin := next(ours, None)) is not None:
                del kept[begin:]
        frames.clear()

    inside = False
    for line in lines:
        if inside and not line.startswith("  "):
            inside = False
            end_traceback()
        if line == _HEAD:
            inside = True
        elif inside and (match := re.match(_FRAME, line)) is not None:
            frames.append((match["file"], len(kept)))
        kept.append(line)
    if inside:
        end_traceback()
    return tuple(kept)


_PYTHON = r"(?P<indent>[\s|+]*)(?:Exception Group )?Traceback \(most recent call last\):"

#: What ends a Python traceback; its frames are indented.
_PYTHON_TYPE = r"(?P<type>[A-Za-z_][\w.]*)(?::\s.*)?$"

#: Java, Kotlin, C#, JavaScript: the type stands in the line before the first frame.
_FOREIGN_FRAME = r"\s+at \S"

_FRAMED_TYPE = r"(?P<type>[A-Za-z_$][\w$.]*(?:Error|Exception|Throwable)|Error)\b"

_GO = r"(?:panic|fatal error): "

_GO_STACK = r"goroutine \d+ \["

_RUST = r"thread '.*'(?: \(\d+\))? panicked at "

_RUBY = r"\S+\.rb:\d+:in .*\((?P<type>[A-Z][\w:]*)\)\s*$"

#: No traceback has more lines between its head and its type.
_LONGEST = 2000


def raised_types(text: str) -> dict[str, str]:
    """The class names (`panic` for Go and Rust) of the tracebacks in `text`.

    Each with the line that names it. A word like "Error:" alone is not a traceback.
    """
    found: dict[str, str] = {}
    lines = text.splitlines()
    python, name_at, ruby_at, rust, go, goroutine, frame = (
        re.compile(pattern).match
        for pattern in (_PYTHON, _PYTHON_TYPE, _RUBY, _RUST, _GO, _GO_STACK, _FOREIGN_FRAME)
    )
    for number, line in enumerate(lines):
        following = lines[number + 1 : number + 4]
        if (head := python(line)) is not None:
            indent = len(head["indent"])
            places = range(number + 1, min(number + _LONGEST, len(lines)))
            body = (lines[place][indent:] for place in places)
            ends = (match for other in body if (match := name_at(other)) is not None)
            if (end := next(ends, None)) is not None:
                found.setdefault(_own_name(end["type"]), end[0])
        elif rust(line) or (go(line) and any(map(goroutine, following))):
            found.setdefault("panic", line)
        elif (ruby := ruby_at(line)) is not None:
            found.setdefault(_own_name(ruby["type"]), line)
        elif (
            following
            and frame(following[0])
            and not frame(line)
            and (framed := re.search(_FRAMED_TYPE, line)) is not None
        ):
            found.setdefault(_own_name(framed["type"]), line)
    return found


def _own_name(qualified: str) -> str:
    """`ValueError` of `package.module.ValueError`."""
    return re.split(r"[.:]+", qualified)[-1]
