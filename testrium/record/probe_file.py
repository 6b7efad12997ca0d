"""Read a probe file that is still being written: each line as a probe, or why it is not one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, NoReturn

from testrium.probe.event import (
    MAX_LINE,
    check_depth,
    check_key,
    check_metric,
    check_step,
    check_text,
    check_type,
    check_unit,
    shown,
)
from testrium.record.database import Reading
from testrium.record.quick_lines import (
    MAX_NUMBER,
    NOT_QUICK,
    QUICK_FROM,
    Columns,
    QuickReader,
    quick_reader,
    read_emitted,
)
from testrium.system.files import after_hole, open_regular
from testrium.tuples import NamedTuple
from testrium.words import WITHOUT_ORDER

METRIC_FIELDS = frozenset(("metric", "value", "unit", "better", "details", "t_ns", "pid"))

#: Characters of a damaged line that are kept.
_SHOWN = 200


class ProbeLine(NamedTuple):
    """What a line says; None for what it leaves out. `meta_json` is `meta` as it is stored."""

    step: str
    type: str
    key: str | None
    cause: tuple[str, ...]
    t_ns: int | None
    t_low_ns: int | None
    wall_ns: int | None
    pid: int | None
    seq: int | None
    domain: str | None
    unit: str | None
    meta: dict[str, Any]
    cause_json: str | None
    meta_json: str | None


#: The names in a line.
FIELDS = frozenset(ProbeLine._fields) - {"cause_json", "meta_json"}


class MetricLine(NamedTuple):
    """What a line says that reports a figure; None for what it leaves out."""

    name: str
    value: float
    unit: str
    better: str
    details_json: str | None
    t_ns: int | None
    pid: int | None


class BadLineError(ValueError):
    """The line is not a probe; the message says why."""


def parse_line(line: bytes) -> ProbeLine | MetricLine:
    """Read one line, without its newline. Raises BadLineError."""
    if len(line) >= MAX_LINE:
        raise BadLineError(f"longer than {MAX_LINE} bytes")
    try:
        text = line.decode().strip(" \t\r")
        value, end = _decode(text)
    except BadLineError:
        raise
    except UnicodeDecodeError as error:
        raise BadLineError("not UTF-8") from error
    except RecursionError as error:
        raise BadLineError("nested too deeply") from error
    except ValueError as error:
        raise BadLineError(f"not JSON: {error}") from error
    if end != len(text):
        raise BadLineError(f"not JSON: something follows behind character {end}")
    if not isinstance(value, dict):
        raise BadLineError("not a JSON object")
    return _metric(value) if "metric" in value else check_fields(value)


def _metric(value: dict[str, Any]) -> MetricLine:
    _check_names(value, METRIC_FIELDS)
    given = {field: said for field, said in value.items() if said is not None}
    name, unit = value["metric"], given.get("unit", "")
    better = given.get("better", "smaller")
    try:
        number = check_metric(name, given.get("value"), unit, better)
        details = _checked_meta(given["details"], "details") if given.get("details") else None
    except (ValueError, TypeError) as error:
        raise BadLineError(str(error)) from error
    t_ns, pid = _number(value, "t_ns"), _number(value, "pid")
    return MetricLine(name, number, unit, better, details, t_ns, pid)


def check_fields(value: dict[str, Any]) -> ProbeLine:
    """What an object says as a probe. Raises BadLineError."""
    _check_names(value, FIELDS)
    get = value.get
    type_, key, cause, meta = get("type"), get("key"), get("cause"), get("meta")
    unit, domain = get("unit"), get("domain")
    if type_ is None:
        type_ = "Default"
    try:
        check_step(get("step"))
        check_type(type_, key)
        if key is not None:
            check_key(key)
        if unit is not None:
            check_unit(unit)
        if domain is not None:
            check_step(domain)
        cause_json = _checked_cause(cause) if cause else None
        meta_json = _checked_meta(meta) if meta else None
    except (ValueError, TypeError) as error:
        raise BadLineError(str(error)) from error
    if cause is not None and not isinstance(cause, list):
        raise BadLineError("cause is a list of keys")
    if meta is not None and not isinstance(meta, dict):
        raise BadLineError("meta is an object")
    return ProbeLine(
        value["step"],
        type_,
        key,
        tuple(cause) if cause else (),
        _number(value, "t_ns"),
        _checked_low(value),
        _number(value, "wall_ns"),
        _number(value, "pid"),
        _number(value, "seq", least=1),
        domain,
        unit,
        meta or {},
        cause_json,
        meta_json,
    )


def _checked_low(value: dict[str, Any]) -> int | None:
    """The time before which it was not, where its time is known between two bounds only."""
    low_ns, t_ns = _number(value, "t_low_ns"), _number(value, "t_ns")
    if low_ns is not None and (t_ns is None or low_ns > t_ns):
        raise BadLineError("t_low_ns needs a t_ns that is not smaller")
    return low_ns


def shown_line(line: bytes) -> str:
    """The beginning of a line as text."""
    return line[: 4 * _SHOWN].decode(errors="backslashreplace")[:_SHOWN]


def _check_names(value: dict[str, Any], known: frozenset[str]) -> None:
    if not value.keys() <= known:
        unknown = ", ".join(sorted(shown(name) for name in value.keys() - known))
        raise BadLineError(f"unknown field: {unknown}")


def _checked_cause(cause: object) -> str:
    if not isinstance(cause, list):
        raise TypeError("cause is a list of keys")
    for key in cause:
        check_key(key)
    return json.dumps(cause, ensure_ascii=False)


def _checked_meta(meta: object, field: str = "meta") -> str:
    if not isinstance(meta, dict):
        raise TypeError(f"{field} is an object")
    try:
        text = json.dumps(meta, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError(f"{field} is nested too deeply") from error
    check_text(text, field)
    check_depth(meta, text)
    return text


def _number(value: dict[str, Any], name: str, least: int = 0) -> int | None:
    number = value.get(name)
    if number is None:
        return None
    if type(number) is not int or not least <= number <= MAX_NUMBER:  # a bool is not a number
        raise BadLineError(
            f"{name} must be a whole number of at least {least}, got {shown(number)}"
        )
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadLineError("the same name twice in one object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise BadLineError(f"not JSON: {name}")


# `decode` would look for white space with a regular expression, which takes a fifth of the time.
_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant).raw_decode


#: Bytes that are read at once: some 240 lines, 2 ms of work.
CHUNK = 32 << 10

#: And how many lines, however short.
MOST_LINES = 400

#: Damaged lines of one file that are kept one by one.
MAX_DAMAGES = 1000

#: unit, reason, line, attempt: the fields of `model.Damage`.
DamageFields = tuple[str, str, str, int]

#: Columns of the table Metrics, but for its ID.
MetricFields = tuple[str, float, str, str, str, int, int, int, int, str | None]


#: How many neighbours of a line are read by themselves where that line has to be.
_FEW = 16


def _groups(
    lines: Sequence[bytes], quick: QuickReader | None
) -> Iterator[Columns | Sequence[bytes]]:
    """The lines in their order: read already as far as that goes quickly."""
    columns = _read(lines, quick)
    if columns is not None or len(lines) <= _FEW:
        yield lines if columns is None else columns
        return
    for first in range(0, len(lines), _FEW):
        group = lines[first : first + _FEW]
        columns = _read(group, quick)
        yield group if columns is None else columns


def _read(lines: Sequence[bytes], quick: QuickReader | None) -> Columns | None:
    """The lines where they can be read at once: those of one form, or all but odd ones."""
    return read_emitted(lines) or (None if quick is None else quick.read(lines))


#: How many of the last bytes that were read must still be there.
_TAIL = 256


class Batch(NamedTuple):
    """The result of one read of a file. `more`: the file continues behind it."""

    readings: list[Reading]
    damages: list[DamageFields]
    more: bool
    metrics: Sequence[MetricFields] = ()


class ProbeFile:
    """One probe file, and how far it was read.

    A line counts when its newline is there. Lines without a time of their own get the time at which
    they were read; they cannot be older than `low_ns`: the line before them, the last time the
    file had nothing more, or the start of the process.
    """

    def __init__(
        self,
        path: str,
        unit: str,
        *,
        domain: str,
        start: int = 1,
        attempt: int = 1,
        offset: int = 0,
        low_ns: int | None = None,
        quick: bool = False,
    ) -> None:
        """Make the file if need be, so it can be watched. Raises OSError.

        `quick`: pydantic may be imported, which no process of a unit does.
        """
        self.path = path
        self.unit = unit
        self.start = start
        self.attempt = attempt
        self.offset = offset
        self.low_ns = low_ns
        self._domain = self._reader_domain = domain
        self._is_far = False
        self._quick = quick
        self._fd: int | None = None
        status = os.fstat(self._open(os.O_CREAT))
        self._identity = (status.st_dev, status.st_ino)
        self._tail = b""  # the end of what was read
        self._mtime_ns: int | None = None  # of the file when all of it was read
        self.is_watched = False  # somebody calls `was_modified`
        self._modified = False  # something was written that made it no longer
        self._damages = 0
        self._displaced = False
        self._skipping = False  # inside a line that is too long
        self._unterminated = False  # the last line taken had no newline

    def come_from(self, domain: str) -> None:
        """It is written on another host, where `domain` is the clock of times that name no other.

        How long a line was on its way is unknown: of one without a time no more is known than
        that it was written after the start of the process.
        """
        self._domain, self._is_far = domain, True

    def close(self) -> None:
        """Keep no descriptor; it is opened again where there is more to read."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @property
    def rests(self) -> bool:
        """Whether it was closed, and not read since."""
        return self._fd is None

    def size(self) -> int:
        """Bytes in the file now; those that were read where a closed one was deleted."""
        if self._fd is not None:
            return os.fstat(self._fd).st_size
        status = self._status_of_path()
        return self.offset if status is None or self._displaced else status.st_size

    def has_grown(self) -> bool:
        """Whether there is something that was not read."""
        return self.size() != self.offset

    def was_modified(self) -> None:
        """Note that the file was written just now; a `touch` alone changes only its time."""
        if self._mtime_ns is None or self._modified:
            return
        status = self._status_of_path()
        if status is not None and status.st_size == self.offset:
            self._modified = status.st_mtime_ns != self._mtime_ns

    def _status_of_path(self) -> os.stat_result | None:
        try:
            return os.stat(self.path)  # noqa: PTH116 - of thousands, often
        except OSError:  # or what was its folder is none any more
            return None

    def _open(self, flags: int = 0) -> int:
        if self._fd is None:
            self._fd = open_regular(self.path, flags | os.O_RDONLY)
        return self._fd

    def _read_at(self, count: int, ahead: int = 0) -> bytes:
        """Read up to `count` bytes, `ahead` of `offset`; without os.pread, which Windows lacks."""
        fd = self._open()
        os.lseek(fd, self.offset + ahead, os.SEEK_SET)
        return os.read(fd, count)

    def read(self, first_id: int, read_ns: int | None = None) -> Batch:
        """Take the next whole lines, at most `CHUNK` bytes (or one line).

        Args:
            first_id: the number of the first event.
            read_ns: an upper bound for lines without a time; by default it is now.

        Raises:
            OSError: the file cannot be read.
        """
        before_ns = time.monotonic_ns()
        damages, status = self._tampering()
        if status is None:
            return Batch([], damages, more=False)
        data = self._read_at(CHUNK)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == CHUNK:
            data = self._read_at(MAX_LINE)
            end = data.rfind(b"\n") + 1
        at_end = len(data) < CHUNK
        if not end and len(data) == MAX_LINE:
            return self._skip(data, damages)
        *lines, left = data[:end].split(b"\n", MOST_LINES)
        end -= len(left)
        at_end = at_end and not left
        if lines:
            if self._skipping or (self._unterminated and not lines[0]):
                del lines[0]
            self._skipping = self._unterminated = False
        self._step_over(data[:end])
        quick = None
        if self._quick and len(lines) >= QUICK_FROM and len(data) <= CHUNK:
            quick = None if any(odd in data for odd in NOT_QUICK) else quick_reader()
        batch = self._take(lines, first_id, read_ns or time.monotonic_ns(), damages, quick)
        if at_end and end == len(data) and read_ns is None and not self._is_far:
            self.low_ns = max(self.low_ns or 0, before_ns)
        if end:
            self._mtime_ns = status.st_mtime_ns if status.st_size == self.offset else None
        return batch._replace(more=not at_end)

    def read_rest(self, first_id: int, read_ns: int | None = None) -> Batch:
        """Take the rest behind the last newline: a line whose writer has ended."""
        damages, status = self._tampering()
        data = b"" if status is None else self._read_at(MAX_LINE)
        if not data or b"\n" in data:
            return Batch([], damages, bool(data))
        self._step_over(data)
        self._mtime_ns = None
        self._unterminated = not self._skipping
        lines = [] if self._skipping else [data]
        return self._take(lines, first_id, read_ns or time.monotonic_ns(), damages)

    def read_end(self) -> list[DamageFields]:
        """What was done to the file besides appending, once its writers have ended."""
        rested = self.rests
        if rested and not self._displaced and not self.is_displaced():
            there = self._status_of_path()
            if there and (there.st_size, there.st_mtime_ns) == (self.offset, self._mtime_ns):
                return []
        damages, status = self._tampering()
        if rested:
            self.close()
        if (
            status is not None
            and status.st_size == self.offset > 0
            and self._mtime_ns not in (None, status.st_mtime_ns)
            and (self._modified or not self.is_watched)
        ):
            self._mtime_ns = status.st_mtime_ns
            self._damage(damages, "the probe file was written over: append to it (>>)", b"")
        return damages

    def is_displaced(self) -> bool:
        """Whether something else is where the file was, and that was not told yet."""
        status = self._status_of_path()
        there = None if status is None else (status.st_dev, status.st_ino)
        return not self._displaced and there != self._identity

    def go_to(self, offset: int) -> None:
        """Continue there: another process has read up to it."""
        self.offset, self._tail, self._mtime_ns = offset, b"", None

    def _step_over(self, data: bytes) -> None:
        self.offset += len(data)
        self._tail = (self._tail + data[-_TAIL:])[-_TAIL:]

    def _tampering(self) -> tuple[list[DamageFields], os.stat_result | None]:
        """What was done to the file besides appending to it, and its status; None: it is gone."""
        damages: list[DamageFields] = []
        if self.is_displaced():
            self._displaced = True
            gone = self._status_of_path() is None
            done = "deleted or renamed" if gone else "replaced by another file"
            self._damage(damages, f"the probe file was {done} while it was in use", b"")
        if self._displaced and self._fd is None:
            return damages, None
        status = os.fstat(self._open())
        if status.st_size < self.offset:
            self._damage(
                damages,
                f"the probe file was cut from {self.offset} to {status.st_size} bytes:"
                " append to it (>>)",
                b"",
            )
        elif self._tail and self._read_at(len(self._tail), -len(self._tail)) != self._tail:
            self._damage(damages, "the probe file was written over: append to it (>>)", b"")
        else:
            return damages, status
        self.go_to(0)
        return damages, status

    def _skip(self, data: bytes, damages: list[DamageFields]) -> Batch:
        """Step over a part of a line that is too long, and say so once."""
        self.go_to(max(self.offset + len(data), after_hole(self._open(), self.offset)))
        if not self._skipping:
            self._skipping = True
            self._damage(damages, f"longer than {MAX_LINE} bytes", data)
        return Batch([], damages, more=True)

    def _take(
        self,
        lines: list[bytes],
        first_id: int,
        read_ns: int,
        damages: list[DamageFields],
        quick: QuickReader | None = None,
    ) -> Batch:
        readings: list[Reading] = []
        metrics: list[MetricFields] = []
        wall_ns = time.time_ns()
        for group in _groups(lines, quick):
            if isinstance(group, Columns):
                readings += self._readings(group, first_id + len(readings), read_ns, wall_ns)
                continue
            for text in group:
                if not text or text.isspace():
                    continue
                try:
                    line = parse_line(text)
                except BadLineError as error:
                    self._damage(damages, str(error), text)
                    continue
                if isinstance(line, MetricLine):
                    metrics.append(self._metric(line, read_ns))
                    continue
                readings.append(self._reading(line, first_id + len(readings), read_ns, wall_ns))
        return Batch(readings, damages, more=False, metrics=metrics)

    def _readings(
        self, lines: Columns, number: int, read_ns: int, wall_ns: int
    ) -> Iterable[Reading]:
        """The same as `_reading` of each line, in a third of the time for the usual ones."""
        domains = set(lines.domain)
        exact = None not in lines.t_ns and not any(lines.t_low_ns)
        if not exact or not domains <= {None, self._domain}:
            return [
                self._reading(line, number + position, read_ns, wall_ns)
                for position, line in enumerate(zip(*lines, strict=True))
            ]
        latest = max(filter(None, lines.t_ns), default=0)
        if not self._is_far:
            self.low_ns = max(self.low_ns or 0, min(latest, read_ns))
        units: Iterable[str | None] = repeat(self.unit)
        owners = units
        if any(lines.unit):
            units = [unit or self.unit for unit in lines.unit]
            owners = [self.unit or unit for unit in lines.unit]
        fields = zip(
            range(number, number + len(lines.step)),
            units,
            lines.step,
            lines.type,
            lines.key,
            lines.cause,
            lines.t_ns,
            repeat(None),
            [wall_ns if own is None else own for own in lines.wall_ns],
            repeat(self._domain),
            [pid or 0 for pid in lines.pid],
            lines.seq,
            repeat(self.start),
            repeat(self.attempt),
            owners,
            lines.meta,
            strict=False,
        )
        return zip(fields, lines.cause_json, lines.meta_json, strict=False)

    def _reading(self, line: tuple[Any, ...], number: int, read_ns: int, wall_ns: int) -> Reading:
        (
            step, type_, key, cause, t_ns, low_ns, own_wall_ns, pid, seq,
            domain, unit, meta, cause_json, meta_json,
        ) = line  # fmt: skip
        if low_ns is not None:
            pid = WITHOUT_ORDER
        before_ns = self.low_ns or 0
        if t_ns is None:
            t_ns = read_ns
            low_ns = min(before_ns, read_ns)
            domain = domain or self._reader_domain
        elif t_ns > before_ns and not self._is_far and (domain is None or domain == self._domain):
            self.low_ns = max(before_ns, min(t_ns, read_ns))
        fields = (
            number,
            unit or self.unit,
            step,
            type_,
            key,
            cause,
            t_ns,
            low_ns,
            wall_ns if own_wall_ns is None else own_wall_ns,
            domain or self._domain,
            pid or 0,
            seq,
            self.start,
            self.attempt,
            self.unit or unit,
            meta,
        )
        return fields, cause_json, meta_json

    def _metric(self, line: MetricLine, read_ns: int) -> MetricFields:
        t_ns = read_ns if line.t_ns is None else line.t_ns
        reporter = (self.unit, line.pid or 0, t_ns, self.start, self.attempt)
        return (*line[:4], *reporter, line.details_json)

    def _damage(self, damages: list[DamageFields], reason: str, line: bytes) -> None:
        self._damages += 1
        if self._damages < MAX_DAMAGES:
            damages.append((self.unit, reason, shown_line(line), self.attempt))
        elif self._damages == MAX_DAMAGES:
            damages.append((self.unit, "and more lines that are not probes", "", self.attempt))
