"""Evaluate a check: read its file, log or value, and test every condition."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from testrium.checks import comparison, conditions, values
from testrium.checks.comparison import PluginFailedError, called, normalized_by
from testrium.checks.conditions import Failure, LineMap, Lookup, Stream, Text
from testrium.checks.expression import FoundText
from testrium.checks.patterns import matcher
from testrium.declared.checks import Check
from testrium.errors import TestriumError
from testrium.system.files import LineDecoder, decoded
from testrium.variables import substitute

_CHUNK = 1 << 18

#: What must be held in memory as a whole (JSON, two sides of a comparison) may be so large (bytes).
MOST_AT_ONCE = 64_000_000


class UnreadableError(TestriumError):
    """A file that a check looks at is not a regular file, is too large, or cannot be read."""


class FileLines:
    """The lines of a file, without their ends, read anew each time; bytes that do not fit stay
    visible as `\\xff`. Only a line is held in memory, of a longer one `MOST_AT_ONCE`: logs may be
    large."""

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        self._path = path
        self._encoding = encoding

    def __iter__(self) -> Iterator[str]:
        try:
            with self._path.open("rb") as file:
                if self._encoding != "utf-8":
                    yield from self._decoded(file)
                    return
                while line := file.readline(MOST_AT_ONCE):
                    yield line.rstrip(b"\r\n").decode(errors="backslashreplace")
        except OSError as error:
            raise UnreadableError(f"{self._path} cannot be read: {error.strerror}") from error

    def _decoded(self, file: BinaryIO) -> Iterator[str]:
        """As another encoding has them: there a line's end need not be one byte."""
        decoder = LineDecoder(self._encoding)
        while data := file.read(_CHUNK):
            yield from decoder.lines(data)
        yield from decoder.lines(b"", final=True)
        if decoder.rest:
            yield decoder.rest.rstrip("\r")


def is_there(path: Path) -> bool:
    """Whether there is a file that can be read line by line: no folder, pipe or device.

    Raises UnreadableError where there is something else.
    """
    try:
        if not path.exists():
            return False
        if path.is_file():
            return True
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path} cannot be read: {error}") from error
    raise UnreadableError(f"{path} is {'a folder' if path.is_dir() else 'not a regular file'}")


def whole_text(path: Path, encoding: str = "utf-8-sig") -> str:
    """The text of a file that is not too large. Raises UnreadableError."""
    try:
        size = path.stat().st_size
        if size > MOST_AT_ONCE:
            raise UnreadableError(
                f"{path} has {size / 1e6:.0f} MB: files of more than"
                f" {MOST_AT_ONCE / 1e6:.0f} MB are not compared"
            )
        return decoded(path.read_bytes(), encoding)
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}") from error


def lines_of(text: str) -> list[str]:
    """The lines of a text as FileLines reads them."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def rewrite(path: Path, lines: list[str]) -> Path | None:
    """Write a reference file.

    Returns where the content is now that was there before, None if there was none.

    Raises UnreadableError where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        old = None
        if path.exists():
            old = _unused(path)
            path.rename(old)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"{path} cannot be rewritten: {error.strerror}") from error
    return old


def _unused(path: Path) -> Path:
    """`NAME.old`, `NAME.old2`, ...: the first that is free, so none is ever lost."""
    number = 1
    while True:
        old = path.with_name(f"{path.name}.old{number if number > 1 else ''}")
        if not old.exists():
            return old
        number += 1


class Examiner:
    """Makes checks on the files below a folder.

    Args:
        folder: where relative paths begin.
        logs: the files that hold the output of a unit, by the name of the stream.
        lookup: the value of a reference such as `run.dir`; None: texts hold no references.
        run_dir: the folder of the run, which messages call `${run.dir}`.
        update_golden: rewrite reference files that differ; `notices` tells which.
        encoding: the encoding of a unit's output.
        read: gives what is read in the place of each line, where the check itself names nothing.
    """

    def __init__(
        self,
        folder: Path,
        logs: Callable[[str], Mapping[str, Path]],
        *,
        lookup: Lookup = None,
        run_dir: Path | None = None,
        update_golden: bool = False,
        encoding: Callable[[str], str] = lambda _: "utf-8",
        read: LineMap | None = None,
    ) -> None:
        self._map = read
        self._encoding = encoding
        self.notices: list[str] = []
        self._folder = folder
        self._logs = logs
        self._lookup = lookup
        self._run_dir = run_dir
        self._update_golden = update_golden

    def path(self, text: str) -> Path:
        """The path that a text names."""
        return self._folder / self._filled(text)

    def failures(self, check: Check) -> list[Failure]:
        """Why the check fails; [] where it does not."""
        match check.kind:
            case "exists" | "absent":
                return self._existence(check)
            case "log":
                return self._log(check)
            case "file":
                return self._file(check)
            case "json":
                return self._json(check)
            case "plugin":
                return self._plugin(check)
            case "value":
                name, value = "the value", FoundText(self._filled(check.target))
                return self.value_failures(check, name, value)

    def _plugin(self, check: Check) -> list[Failure]:
        """A plugin returns what is wrong, as a text or texts; nothing or True where all is well."""
        settings = {name: self._filled(text) for name, text in check.settings.items()}
        told = called(check.plugged, settings)
        if told is None or told is True:
            return []
        if told is False:
            return [Failure(f"{check.target} returned False", owed=False)]
        if isinstance(told, str):
            told = [told]
        if not isinstance(told, list | tuple):
            text = f"{check.target} returned {told!r}: it must return None, True, or texts"
            return [Failure(text, owed=False)]
        return [Failure(str(text), owed=False) for text in told]

    def _existence(self, check: Check) -> list[Failure]:
        path = self.path(check.target)
        there = os.path.lexists(path)
        if there is (check.kind == "exists"):
            return []
        if there:
            return [Failure(f"{self._shown(path)} exists, and must not", owed=False)]
        return [Failure(f"{self._shown(path)} does not exist")]

    def _log(self, check: Check) -> list[Failure]:
        logs = self._logs(check.target)
        there = {name: path for name, path in logs.items() if is_there(path)}
        # One that is empty is left out: places of lines are shorter then.
        written = {name: path for name, path in there.items() if path.stat().st_size} or there
        encoding = self._encoding(check.target)
        streams = [Stream(name, FileLines(path, encoding)) for name, path in written.items()]
        if not streams:
            text = f"{check.target} has no output: it was not started, or its logs were removed"
            return [Failure(text)]
        return self._text(check, Text(f"the output of {check.target}", tuple(streams)))

    def _file(self, check: Check) -> list[Failure]:
        path = self.path(check.target)
        name = self._shown(path)
        if not is_there(path):
            return [Failure(f"{name} does not exist")]
        return self._text(check, Text(name, (Stream(name, FileLines(path, check.encoding)),)))

    def _json(self, check: Check) -> list[Failure]:
        path = self.path(check.target)
        name = self._shown(path)
        if not is_there(path):
            return [Failure(f"{name} does not exist")]
        document, failure = values.read_json(whole_text(path), name)
        if failure is not None:
            return [failure]
        if not check.at:
            return self.value_failures(check, name, document)
        try:
            value = values.value_at(document, check.at)
        except values.AbsentError as error:
            return [Failure(f"{name}: {error}")]
        return self.value_failures(check, f"{name} at {check.at!r}", value)

    # Conditions -------------------------------------------------------------------------------

    def _text(self, check: Check, text: Text) -> list[Failure]:
        read = self._line_map(check)
        failures = conditions.text_failures(check, text, self._lookup, read)
        if check.golden is not None:
            lines = (line for stream in text.streams for line in stream.lines)
            failures += self._golden(check, text.name, lines)
        return failures

    def value_failures(self, check: Check, name: str, value: Any) -> list[Failure]:
        """The conditions of a check on a value: on itself, and on its lines."""
        failures: list[Failure] = []
        if check.expected is not None:
            expected = check.expected[0]
            if isinstance(expected, str):
                expected = self._filled(expected)
            normalize = normalized_by(check.normalize)
            failure = values.unequal(name, value, expected, normalize)
            failures += [failure] if failure else []
        lines = values.as_lines(value)
        text = Text(name, (Stream(name, lines),))
        if check.expect and not check.extract:
            failures += conditions.compare(check.expect, {"value": value})
        failures += conditions.text_failures(check, text, self._lookup, self._line_map(check))
        if check.golden is not None:
            failures += self._golden(check, name, lines, is_json=check.kind == "json")
        return failures

    def _golden(
        self, check: Check, name: str, lines: Iterable[str], *, is_json: bool = False
    ) -> list[Failure]:
        """The difference to the reference file, which is rewritten where that was asked for."""
        assert check.golden is not None
        path = self.path(check.golden)
        shown = self._shown(path)
        ignored, included = (
            [matcher(text, literal=check.literal, lookup=self._lookup) for text in patterns]
            for patterns in (check.ignore, check.includes)
        )
        read = self._line_map(check)
        actual = _kept(lines, ignored, included, read)
        there = is_there(path)
        if there:
            expected = self._reference(path, shown, is_json=is_json)
            difference = comparison.diff(
                _kept(expected, ignored, included, read),
                actual,
                normalized_by(check.normalize),
                names=(shown, name),
                unordered=check.unordered,
            )
            if not difference:
                return []
        if self._update_golden:
            old = rewrite(path, actual)
            self.notices.append(
                f"golden: {shown} rewritten, the old one is {self._shown(old)}"
                if old
                else f"golden: {shown} written"
            )
            return []
        if not there:
            return [Failure(f"{shown} does not exist: {_WRITE_IT}", owed=False)]
        return [Failure(f"{name} differs from {shown} ({_REWRITE_IT})", difference)]

    def _line_map(self, check: Check) -> LineMap | None:
        """What reads each line."""
        if not check.mapped:
            return self._map

        def read(line: str) -> str | None:
            new = called(check.mapped, line)
            if new is None or isinstance(new, str):
                return new
            raise PluginFailedError(
                f"{check.map} returned {new!r}: it must return a line, or None to leave it out"
            )

        return read

    def _reference(self, path: Path, shown: str, *, is_json: bool) -> list[str]:
        text = whole_text(path)
        if is_json:
            document, failure = values.read_json(text, shown)
            if failure is None:
                return values.as_lines(document)
        return lines_of(text)

    def _filled(self, text: str) -> str:
        return text if self._lookup is None else substitute(text, self._lookup)

    def _shown(self, path: Path) -> str:
        """A path as messages name it: below the group's or the run's folder if it lies there."""
        if self._run_dir is not None and path.is_relative_to(self._run_dir):
            return f"run folder/{path.relative_to(self._run_dir)}"
        return str(path.relative_to(self._folder) if path.is_relative_to(self._folder) else path)


def _kept(
    lines: Iterable[str],
    ignored: Sequence[Callable[[str], object]],
    included: Sequence[Callable[[str], object]],
    read: LineMap | None,
) -> list[str]:
    """The lines to be compared, as they are read."""
    kept, size = [], 0
    for each in lines:
        line = each if read is None else read(each)
        if line is None or (included and not any(matches(line) for matches in included)):
            continue
        if not any(matches(line) for matches in ignored):
            kept.append(line)
            size += len(line)
            if size > MOST_AT_ONCE:
                raise UnreadableError(
                    f"texts of more than {MOST_AT_ONCE / 1e6:.0f} MB are not compared"
                )
    return kept


#: What `--update-golden` is for.
_WRITE_IT = "testrium run --update-golden writes it"

_REWRITE_IT = "if that is meant: testrium run --update-golden"
