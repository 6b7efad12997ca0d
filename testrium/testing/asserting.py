"""The checks of `[[checks]]` as functions: each raises CheckError, which shows lines or a diff.

Conditions are keywords with the names of the table's keys.
"""

from __future__ import annotations

import ast
import builtins
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, TypedDict, Unpack, cast

from testrium.checks import comparison
from testrium.checks.comparison import NAMED, normalized_by
from testrium.checks.conditions import (
    Failure,
    LineMap,
    Text,
    compare,
    every_match,
    extracted_values,
    failed_with,
    join_of,
    text_of,
    told,
)
from testrium.checks.examine import Examiner, UnreadableError, lines_of, whole_text
from testrium.checks.expression import FoundText
from testrium.checks.patterns import NotationError
from testrium.declared.checks import Check, Normalizer
from testrium.errors import TestriumError
from testrium.phrases import did_you_mean, one_of
from testrium.probe import environment as names
from testrium.testing.files import check_encoding, is_unit, run_dir, unit_encoding
from testrium.testing.functions import current_test
from testrium.testing.processes import Process
from testrium.testing.waiting import log_of
from testrium.testing.waking import Log

#: "datetime", "number", "port", "path", or a regular expression and what takes its place.
Normalizing = Literal["datetime", "number", "port", "path"] | tuple[str, str]
Patterns = str | Sequence[str]


class CheckError(TestriumError, AssertionError):
    """A check does not hold; the message shows the lines, a diff, or the values."""

    __module__ = "testrium.testing"


class Conditions(TypedDict, total=False):
    """What must hold for lines of text."""

    contains: Patterns
    lacks: Patterns
    sequence: Sequence[str]
    last: str
    count: str | int
    literal: bool
    join: str
    ignore: Patterns
    includes: Patterns
    map: Callable[[str], str | None]
    encoding: str
    every: bool
    extract: Patterns
    expect: Patterns
    golden: str | os.PathLike[str]
    normalize: Normalizing | Sequence[Normalizing]
    unordered: bool


def check_file(
    source: str | os.PathLike[str] | Process | Log, **conditions: Unpack[Conditions]
) -> None:
    """Check the lines of a text file; of a process, a Log or a unit, as `check_log` does.

    A text is the name of a unit of this run only where no file has this name.
    """
    if isinstance(source, Process | Log):
        check_log(source, **conditions)
    elif is_unit(source) and not Path(source).exists():
        check_log(str(source), **conditions)
    else:
        _made(_check("file", os.fspath(source), conditions), read=conditions.get("map"))


def check_log(source: Process | Log | Path | str, **conditions: Unpack[Conditions]) -> None:
    """Check what has been written so far.

    Args:
        source: a process, a file, or the name of a unit of this run. A text that is not a unit's
            name is the path of a file.
        conditions: see `Conditions`.
    """
    log = log_of(source)
    files = log.paths
    if isinstance(source, Process):
        name = source.name
    else:
        name = str(source) if is_unit(source) else " and ".join(map(str, files))
    logs = {path.stem: path for path in files}
    encoding = conditions.get("encoding", log.encoding)
    _made(_check("log", name, conditions), logs, conditions.get("map"), encoding)


def check_json(
    path: str | os.PathLike[str],
    at: str = "",
    *,
    equals: Any = ...,
    **conditions: Unpack[Conditions],
) -> None:
    """Check a JSON document, or the value `at` a place in it."""
    check = replace(_check("json", os.fspath(path), conditions), at=at or None)
    _made(_equal_to(check, equals), read=conditions.get("map"))


def check_value(value: Any, *, equals: Any = ..., **conditions: Unpack[Conditions]) -> None:
    """Check a text, a number, or what JSON can hold. In `expect` its name is `value`."""
    check = _equal_to(_check("value", "", conditions), equals)
    value = FoundText(value) if isinstance(value, str) else value
    examiner = _examiner(read=conditions.get("map"))
    _finish(examiner, examiner.value_failures(check, "the value", value))


def check_exists(path: str | os.PathLike[str]) -> None:
    """Check that there is a file or a folder."""
    _made(_check("exists", os.fspath(path), {}))


def check_absent(path: str | os.PathLike[str]) -> None:
    """Check that the file or folder does not exist."""
    _made(_check("absent", os.fspath(path), {}))


def check_that(expression: str, **values: Any) -> None:
    """Check an expression; a failure shows all values.

    It is of the language of `expect`, or else any expression of Python with these values.

    Examples:
        `check_that("total == price * n", total=30, price=10, n=3)`
        `check_that("body['state'].lower() == 'paid'", body=answer.json(), url=url)`

    Raises:
        CheckError: it does not hold.
        TypeError: it is not a text, but what an expression of Python gave, say.
    """
    if not isinstance(expression, str):
        raise TypeError(
            f"check_that takes an expression as text, got {expression!r}:"
            ' use assert, or check_that("a == b", a=a, b=b)'
        )
    try:
        failures = compare([expression], values, own_code=True)
    except NotationError as refused:
        failures = _python_failures(expression, values, refused)
    _raise(failures)


def _python_failures(
    expression: str, values: Mapping[str, Any], refused: NotationError
) -> list[Failure]:
    """What an expression of Python fails in; raises `refused` where it is none of Python either."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError):
        raise refused from None
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {name.id for name in names if not isinstance(name.ctx, ast.Load)}
    bound |= {each.arg for each in ast.walk(tree) if isinstance(each, ast.arg)}
    for name in names:
        if name.id not in {*bound, *values, *vars(builtins)}:
            known = ", ".join(sorted(values)) or "none"
            why = f"unknown name {name.id!r}; known are: {known}"
            raise NotationError(expression, name.col_offset + 1, why) from None
    try:
        # It comes from the code around the call, which could do the same itself.
        if eval(compile(tree, "<check_that>", "eval"), dict(values)):  # noqa: S307
            return []
        reason = f"{expression} does not hold"
    except Exception as error:  # noqa: BLE001 - of the user's own methods
        reason = f"{expression!r}: {type(error).__name__}: {error}"
    return [failed_with(reason, values)]


def extract(
    source: Process | Log | Path | str, *patterns: str, join: str = ""
) -> dict[str, str | None]:
    """The named groups of the first line that matches each pattern.

    Args:
        source: a process, a file, or the name of a unit of this run, see `check_log`.
        patterns: regular expressions with named groups.
        join: "traceback", or a pattern for lines that continue the one before.

    Raises:
        CheckError: no line matches.
    """
    values, _, failure = extracted_values(_text_of(source, join), patterns)
    if failure is not None:  # there is nothing to return: this ends a `collect` block too
        raise _error([failure])
    return _as_texts(values)


def extract_all(
    source: Process | Log | Path | str, *patterns: str, join: str = ""
) -> list[dict[str, str | None]]:
    """The named groups of every match, pattern by pattern, in the order of the lines.

    Args:
        source, patterns, join: as `extract` takes them.

    Raises:
        CheckError: no line matches one of the patterns.
    """
    found, _, failure = every_match(_text_of(source, join), patterns)
    if failure is not None:
        raise _error([failure])
    return list(map(_as_texts, found))


def _as_texts(values: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: None if value is None else str(value) for name, value in values.items()}


def _text_of(source: Process | Log | Path | str, join: str) -> Text:
    log = log_of(source)
    lines = "\n".join(line for file in log.paths for line in _lines(file, log.encoding))
    return text_of(_name(source), lines).read_as(join_of(join) if join else None, ())


def normalize(text: str, *normalizers: Normalizing) -> str:
    """A text with what differs from run to run replaced."""
    apply = normalized_by(map(_normalizer, normalizers))
    return "\n".join(map(apply, text.split("\n")))


def diff(expected: str, actual: str, *normalizers: Normalizing, unordered: bool = False) -> str:
    """How two texts differ, as `diff -u` shows it; "" where they do not."""
    lines = comparison.diff(
        lines_of(expected),
        lines_of(actual),
        normalized_by(map(_normalizer, normalizers)),
        names=("expected", "actual"),
        unordered=unordered,
    )
    return "\n".join(lines)


#: The innermost `collect` block, for checks that go on after a failure.
_block: _Collecting | None = None


def collect() -> _Collecting:
    """A context manager in which a test continues after a failed check.

    Each `check_*` of the block is made. What else raises ends the block. What failed is reported
    together, at the end of the test function; outside of a run, at the end of the block.
    """
    return _Collecting()


class _Collecting:
    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self._outer: _Collecting | None = None

    def __enter__(self) -> None:
        global _block
        self._outer, _block = _block, self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        global _block  # noqa: PLW0603
        _block = self._outer
        kept = isinstance(error, Exception)
        if kept and error is not None:
            self.failures.append(error)
        if self._outer is not None:
            self._outer.failures += self.failures
        elif (current := current_test()) is not None:
            current.failures += self.failures
        elif self.failures and (error is None or kept):
            raise _together(self.failures)
        return kept


def _failed(error: Exception) -> None:
    """Raise what a check found, or keep it where the test continues."""
    if _block is None:
        raise error
    _block.failures.append(error.with_traceback(_stack()))


def _stack() -> TracebackType | None:
    """The frames of the test, as if something had been raised in the check that it calls."""
    from testrium.run import test_runner

    trace: TracebackType | None = None
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - as inspect does
    while frame is not None and frame.f_code.co_filename != test_runner.__file__:
        trace = TracebackType(trace, frame, max(frame.f_lasti, 0), frame.f_lineno)
        frame = frame.f_back
    return trace


def _together(failures: Sequence[BaseException]) -> BaseException:
    """Several failures as one."""
    if len(failures) == 1:
        return failures[0]
    lines = [f"{len(failures)} failures:"]
    for number, error in enumerate(failures, 1):
        text = str(error) if isinstance(error, TestriumError) else repr(error)
        lines.append(f"{number}. " + text.replace("\n", "\n   "))
    return CheckError("\n".join(lines))


def _made(
    check: Check,
    logs: Mapping[str, Path] | None = None,
    read: LineMap | None = None,
    encoding: str | None = None,
) -> None:
    examiner = _examiner(logs, read, encoding)
    try:
        failures = examiner.failures(check)
    except UnreadableError as error:
        failures = [Failure(str(error))]
    _finish(examiner, failures)


def _finish(examiner: Examiner, failures: Sequence[Failure]) -> None:
    for notice in examiner.notices:
        sys.stderr.write(f"{notice}\n")
    _raise(failures)


def _examiner(
    logs: Mapping[str, Path] | None = None,
    read: LineMap | None = None,
    encoding: str | None = None,
) -> Examiner:
    return Examiner(
        Path.cwd(),
        lambda _: logs or {},
        run_dir=run_dir(),
        update_golden=bool(os.environ.get(names.UPDATE_GOLDEN)),
        encoding=unit_encoding if encoding is None else lambda _: encoding,
        read=None if read is None else _line_map(read),
    )


def _line_map(function: LineMap) -> LineMap:
    """The function of `map`, whose mistakes are reported."""
    if not callable(function):
        raise TypeError(f"map takes a function, got {function!r}")

    def read(line: str) -> str | None:
        new = function(line)
        if new is None or isinstance(new, str):
            return new
        raise TypeError(f"map returned {new!r}: it must return a line, or None to leave it out")

    return read


def _check(kind: Any, target: str, conditions: Conditions) -> Check:
    from testrium.declared.quantities import comparison_of

    given: dict[str, Any] = dict(conditions)
    fields: dict[str, Any] = {}
    given.pop("map", None)  # the examiner has it
    for name in ("contains", "lacks", "sequence", "ignore", "includes", "extract", "expect"):
        value = given.pop(name, ())
        fields[name] = (value,) if isinstance(value, str) else tuple(value)
    if "count" in given:
        if len(fields["contains"]) != 1:
            raise ValueError("count needs one pattern in contains: it counts the lines that match")
        fields["counted"] = comparison_of(given.pop("count"))
    if "encoding" in given:
        check_encoding(given["encoding"])
    if "golden" in given:
        fields["golden"] = os.fspath(given.pop("golden"))
    if (wanted := given.pop("normalize", None)) is not None:
        fields["normalize"] = tuple(map(_normalizer, _listed(wanted)))
    for name in ("last", "literal", "join", "unordered", "encoding", "every"):
        if name in given:
            fields[name] = given.pop(name)
    if given:
        first = next(iter(given))
        near = did_you_mean(first, Conditions.__annotations__)
        raise TypeError(f"{first!r} is not a condition of a check{near}")
    subject: Any = {str(kind): target}
    check = Check("", **subject, **fields)
    if kind in ("file", "log") and check == Check("", **subject):
        raise TypeError("give a condition, such as contains=...: nothing would be checked")
    return check


def _equal_to(check: Check, equals: Any) -> Check:
    return check if equals is ... else replace(check, equals=(equals,))


def _listed(wanted: Normalizing | Iterable[Normalizing]) -> Iterable[Normalizing]:
    if isinstance(wanted, str):
        return (wanted,)
    if isinstance(wanted, tuple) and len(wanted) == 2:
        first, second = wanted
        if isinstance(first, str) and isinstance(second, str) and first not in NAMED:
            return ((first, second),)
    return cast("Iterable[Normalizing]", wanted)


def _normalizer(wanted: Normalizing) -> Normalizer:
    if isinstance(wanted, str):
        if wanted not in NAMED:
            raise ValueError(f"unknown normaliser {wanted!r}{one_of(wanted, NAMED)}")
        return Normalizer(wanted)
    sub, by = wanted
    return Normalizer("", sub, by)


def _lines(file: Path, encoding: str) -> list[str]:
    try:
        return lines_of(whole_text(file, "utf-8-sig" if encoding == "utf-8" else encoding))
    except UnreadableError:
        if file.exists():
            raise
        return []


def _name(source: Process | Log | Path | str) -> str:
    if isinstance(source, Process):
        return f"the output of {source.name}"
    if isinstance(source, Log):
        return str(source.paths[0])
    return f"the output of {source}" if is_unit(source) else str(source)


def _raise(failures: Sequence[Failure]) -> None:
    if failures:
        _failed(_error(failures))


def _error(failures: Sequence[Failure]) -> CheckError:
    message, details = told(failures)
    return CheckError("\n".join((message, *(f"  | {line}" for line in details))))
