"""Probes of Python code: one line of JSON, appended with one write.

The cost of a probe is what the code under test pays, so this module is written for speed: nothing
is imported that a probe without metadata does not need, and validated steps are remembered.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock
from errno import EBADF
from time import monotonic_ns, time_ns

from testrium.probe import environment as names
from testrium.probe.event import (
    MAX_LINE,
    MAX_STEP,
    check_depth,
    check_key,
    check_metric,
    check_names,
    check_step,
    check_type,
    check_unit,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from testrium.probe.event import ProbeRecord
    from testrium.probe.faults import Failpoints

try:  # the C function that `json` uses; `json` itself costs an import of 9 ms
    from _json import encode_basestring
except ImportError:  # not CPython
    from json.encoder import encode_basestring

#: A text as JSON writes it.
quoted = encode_basestring

#: The kernel gives a new file the lowest free number; few programs have this many open.
HIGH_FD = 500

#: Steps whose beginning of a line is remembered.
MAX_HEADS = 4096

#: What stands in a line after its checked part: the sequence number, the braces, a newline.
_ROOM = 64


class Emitter:
    """Appends the probes of this process to one file.

    Threads and signal handlers may emit at any time. A forked child is a process of its own: it has
    its own pid and counts from 1.
    """

    def __init__(self, path: str, domain: str) -> None:
        """`domain` is the clock that readers take for granted."""
        self._path = path
        self._heads: dict[tuple[str, str], str] = {}
        self._encode: Any = None
        self._fd = -1
        own = names.clock_domain() if domain else domain
        self._domain = "" if own == domain else f',"domain":{quoted(own)}'
        self._failpoints = _failpoints()
        self._clock = os.environ.get(names.CLOCK)
        self.begin_process()

    def begin_process(self) -> None:
        """Count from 1, as a process that has not emitted yet."""
        self._pid = os.getpid()
        self._seq = 0
        self._torn = False  # the file may end in a part of a line
        # Reentrant: a signal handler may emit while its thread is in here.
        self._lock = RLock()

    def emit(
        self,
        step: str,
        type_: str,
        key: str | None,
        cause: Sequence[str],
        meta: Mapping[str, Any],
        unit: str | None = None,
    ) -> None:
        """Append one line; `unit` is named in it unless None.

        Raises:
            TypeError, ValueError: not a probe; nothing was written.
            OSError: the line could not be written as a whole.
        """
        t_ns = monotonic_ns()
        wall_ns = time_ns()
        if self._clock:
            wall_ns += _shift_ns(self._clock)
        head = self._heads.get((step, type_)) or self._head(step, type_, key)
        tail = ""
        if key is not None:
            check_key(key)
            tail = f',"key":{quoted(key)}'
        elif type_ == "Send" or type_ == "Receive":
            check_type(type_, key)
        if cause:
            tail += f',"cause":{_quoted_keys(cause)}'
        if meta:
            tail += f',"meta":{self.quoted_meta(meta)}'
        if unit is not None:
            tail += f',"unit":{quoted(unit)}'
        line = (
            f'{head}{tail}{self._domain},"t_ns":{t_ns},"wall_ns":{wall_ns},"pid":{self._pid}'
        ).encode()
        if len(line) > MAX_LINE - _ROOM:
            raise ValueError(f"a probe's line is longer than {MAX_LINE} bytes")
        with self._lock:
            fd = self._fd if self._fd >= 0 else self._open()
            # A number that was taken must be written, else there is a hole. So a thread takes it
            # under the lock. And Python runs signal handlers, which may emit or raise, between
            # calls and while it makes text of a number: neither may stand between taking the
            # number and writing it.
            whole, made_for = b"", 0
            while made_for != (seq := self._seq + 1):
                whole = b'%b%b,"seq":%d}\n' % (b"\n" if self._torn else b"", line, seq)
                made_for = seq
            self._seq = seq
            try:
                written = os.write(fd, whole)
            except OSError as error:
                fd, written = self._write_anew(whole, error)
            if self._torn or written != len(whole):
                self._complete(fd, whole, written)
        if self._failpoints is not None and "uncaught" not in meta:
            self._failpoints.reach(unit, step, self._path, self._pid, seq)

    def append(self, line: bytes) -> None:
        """Append a line that has no number in the sequence, such as a metric's. Raises OSError."""
        with self._lock:
            fd = self._fd if self._fd >= 0 else self._open()
            whole = b"\n" + line if self._torn else line
            try:
                written = os.write(fd, whole)
            except OSError as error:
                fd, written = self._write_anew(whole, error)
            if self._torn or written != len(whole):
                self._complete(fd, whole, written)

    def _write_anew(self, whole: bytes, error: OSError) -> tuple[int, int]:
        """Write to the file opened again, where the program has closed all its, as daemons do."""
        if error.errno != EBADF:
            raise error
        fd = self._open()
        return fd, os.write(fd, whole)

    def _head(self, step: str, type_: str, key: str | None) -> str:
        check_step(step)
        check_type(type_, key)
        head = f'{{"step":{quoted(step)}'
        if type_ != "Default":
            head += f',"type":"{type_}"'
        if len(self._heads) < MAX_HEADS:
            self._heads[step, type_] = head
        return head

    def quoted_meta(self, meta: Mapping[str, Any], field: str = "meta") -> str:
        """The object as JSON. Raises TypeError, ValueError."""
        if self._encode is None:
            from json import JSONEncoder

            self._encode = JSONEncoder(
                ensure_ascii=False, allow_nan=False, separators=(",", ":")
            ).encode
        try:
            text: str = self._encode(meta)
        except RecursionError:
            raise ValueError(f"{field} is nested too deeply") from None
        check_depth(meta, text)
        check_names(meta)
        return text

    def reopen(self) -> None:
        """Open the file anew at the next probe: by now there may be another one at its path."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1

    def _open(self) -> int:
        """Open the file, under a number that no other file gets by chance.

        To look at every probe whether the number still means this file would cost more than all the
        rest, as it makes the kernel write a new time of change each time.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        low = os.open(self._path, flags, 0o600)
        try:
            from fcntl import F_DUPFD_CLOEXEC, fcntl

            self._fd = fcntl(low, F_DUPFD_CLOEXEC, HIGH_FD)
        except (ImportError, OSError):  # not POSIX, or the limit of this process is lower
            self._fd = low
        else:
            os.close(low)
        return self._fd

    def _complete(self, fd: int, line: bytes, written: int) -> None:
        """Write what a full disk or a limit left over; else the next line starts on a new one."""
        self._torn = True
        while written < len(line):
            written += os.write(fd, line[written:])
        self._torn = False


class UnitProbes:
    """Emits the probes of one unit. Outside a run every call does nothing.

    A step has up to 200 characters, none of them a control character; a key up to 1 KiB; `cause`
    lists the keys that led to this probe; further keywords are metadata, anything that JSON can
    hold. Calls raise TypeError or ValueError for anything else, and OSError where the probe could
    not be written. A probe that returned is never lost.
    """

    __slots__ = ("_emitter", "_foreign", "name")

    def __init__(self, name: str | None = None) -> None:
        """`name` is the unit's; by default the one that the runner gave to this process."""
        environ = os.environ
        own = environ.get(names.UNIT)
        if name is not None:
            check_unit(name)
        self.name = name or own or ""
        self._foreign = None if name is None or name == own else name
        path = environ.get(names.PROBES)
        self._emitter = emitter_of(path, environ.get(names.DOMAIN, "")) if path else None

    def emit(
        self,
        step: str,
        type_: str,
        key: str | None,
        cause: Sequence[str],
        meta: Mapping[str, Any],
    ) -> None:
        """A probe of any type, with its metadata as a mapping."""
        if self._emitter is not None:
            self._emitter.emit(step, type_, key, cause, meta, self._foreign)

    def probe(
        self, step: str, /, *, key: str | None = None, cause: Sequence[str] = (), **meta: Any
    ) -> None:
        """Say that something important happened."""
        if self._emitter is not None:
            self._emitter.emit(step, "Default", key, cause, meta, self._foreign)

    def send(self, step: str, /, *, key: str, cause: Sequence[str] = (), **meta: Any) -> None:
        """Say that what `key` names is on its way to another unit."""
        if self._emitter is not None:
            self._emitter.emit(step, "Send", key, cause, meta, self._foreign)

    def receive(self, step: str, /, *, key: str, cause: Sequence[str] = (), **meta: Any) -> None:
        """Say that what `key` names has arrived."""
        if self._emitter is not None:
            self._emitter.emit(step, "Receive", key, cause, meta, self._foreign)

    def exception(
        self,
        exc: BaseException,
        /,
        *,
        key: str | None = None,
        cause: Sequence[str] = (),
        **meta: Any,
    ) -> None:
        """Say that an exception happened; the step is its class's name.

        Its message and traceback are kept as metadata.
        """
        if self._emitter is not None:
            step, told = described(exc)
            self._emitter.emit(step, "Exception", key, cause, told | meta, self._foreign)

    def wait_for(
        self, place: str, key: str | None = None, timeout: float | None = None
    ) -> ProbeRecord:
        """Block until the run has an event at `place`, and return it; past events count.

        Args:
            place: "unit:step"; `*` means any unit or any step.
            key: the event's key; None for any.
            timeout: seconds; None to wait as long as it takes.

        Raises:
            TimeoutError: no such event in time, or the unit has ended without it.
            ValueError: the run has no such unit.
            RuntimeError: outside a run, or the run has ended.
        """
        from testrium.probe import waiting

        return waiting.wait_for(place, key, timeout)

    async def wait_for_async(
        self, place: str, key: str | None = None, timeout: float | None = None
    ) -> ProbeRecord:
        """As `wait_for`, without blocking the event loop."""
        from testrium.probe import waiting

        return await waiting.wait_for_async(place, key, timeout)


def unit(name: str | None = None) -> UnitProbes:
    """The unit that this process belongs to; with a name, another one.

    Raises TypeError or ValueError for what cannot be a unit's name.
    """
    return UnitProbes(name)


def emit(
    step: str,
    *,
    type: str = "Default",  # noqa: A002 - the field's name everywhere
    key: str | None = None,
    cause: Sequence[str] = (),
    meta: Mapping[str, Any] | None = None,
) -> None:
    """One probe of this process's unit, of any type. Does nothing outside a run."""
    UnitProbes().emit(step, type, key, cause, meta or {})


def _shift_ns(path: str) -> int:
    from testrium.probe.faults import read_ns

    return read_ns(path)


def _failpoints() -> Failpoints | None:
    """What is to be broken or held in this process: mostly nothing."""
    listed, points = os.environ.get(names.FAILPOINTS), os.environ.get(names.POINTS)
    if not listed and not points:
        return None
    from testrium.probe.faults import Failpoints

    return Failpoints(listed or "", os.environ.get(names.UNIT, ""), points or "")


_emitters: dict[str, Emitter] = {}


def emitter_of(path: str, domain: str) -> Emitter:
    """This process's one emitter for a file: its sequence numbers are per process and file."""
    emitter = _emitters.get(path)
    if emitter is None:
        emitter = _emitters.setdefault(path, Emitter(path, domain))
        if path == os.environ.get(names.PROBES):
            _report_deaths()
    return emitter


def _report_deaths() -> None:
    """Emit what the interpreter reports as uncaught, in the main process of a unit's command.

    What calls an entrypoint does so itself. A process that a unit has started has no say in how the
    unit ends.
    """
    from testrium.loaded_by_name import UNIT_PROGRAM

    if UNIT_PROGRAM in sys.modules or not _leads_session():
        return
    uncaught = sys.excepthook

    def died(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            _emit_uncaught(error, "main")
        uncaught(kind, error, trace)

    sys.excepthook = died
    threading: Any = sys.modules.get("threading")
    if threading is None:  # without it no thread exists whose end it reports
        return
    thread_uncaught = threading.excepthook

    def thread_died(args: Any) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            _emit_uncaught(args.exc_value, "thread")
        thread_uncaught(args)

    threading.excepthook = thread_died


def _leads_session() -> bool:
    return not hasattr(os, "getsid") or os.getsid(0) == os.getpid()


def _emit_uncaught(error: BaseException, where: str) -> None:
    if not _leads_session():  # a fork of it
        return
    try:
        UnitProbes().exception(error, uncaught=where)
    except (OSError, ValueError, TypeError) as failure:
        sys.stderr.write(f"testrium: the exception could not be stored: {failure}\n")


def _begin_child() -> None:
    for emitter in _emitters.values():
        emitter.begin_process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_child)


def _quoted_keys(keys: Sequence[str]) -> str:
    if not isinstance(keys, list | tuple):
        raise TypeError(f"cause is a list of keys, not {type(keys).__name__}")
    for key in keys:
        check_key(key)
    return f"[{','.join(map(quoted, keys))}]"


#: Characters of an exception's message and traceback that are kept.
MAX_MESSAGE = 8 << 10

MAX_TRACEBACK = 64 << 10


def described(exc: BaseException) -> tuple[str, dict[str, Any]]:
    """The step and the metadata of an exception, whatever its class does."""
    if not isinstance(exc, BaseException):
        raise TypeError(f"not an exception: {type(exc).__name__}")
    from traceback import format_exception  # 5 ms, for the few that report one

    try:
        message = str(exc)
    except Exception as error:  # noqa: BLE001 - the user's __str__
        message = f"<its text raises {type(error).__name__}>"
    trace = "".join(format_exception(exc))
    name = "".join(char for char in type(exc).__name__ if char.isprintable())[:MAX_STEP]
    meta: dict[str, Any] = {
        "message": _clean(message)[:MAX_MESSAGE],
        "traceback": _clean(trace)[-MAX_TRACEBACK:],
    }
    waited_for = getattr(exc, "waited_for", None)  # see `testrium.probe.waiting`
    if isinstance(exc, TimeoutError) and isinstance(waited_for, dict):
        meta["waited_for"] = waited_for
    return _clean(name) or "Exception", meta


def _clean(text: str) -> str:
    """The text with lone surrogates (undecodable file names) escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def metric(
    name: str,
    value: float,
    unit: str = "",
    better: str = "smaller",
    details: dict[str, Any] | None = None,
) -> None:
    """Report a figure of this run: a throughput, a size, a time that the code itself took.

    Several reports of one name, from any process, are aggregated. Outside a run it does nothing. A
    report that returned is never lost.

    Args:
        name: up to 200 characters, none of them a control one.
        value: a finite number, in `unit`.
        unit: up to 32 characters: "ms", "1/s"; "" for a plain number.
        better: "smaller" or "larger"; a regression is a change the other way.
        details: how it came about, for reports: what JSON can hold.

    Raises:
        TypeError, ValueError: no name, value or unit for a metric; nothing was written.
        OSError: it could not be written.
    """
    path = os.environ.get(names.PROBES)
    if not path:
        return
    number = check_metric(name, value, unit, better)
    emitter = emitter_of(path, os.environ.get(names.DOMAIN, ""))
    line = (
        f'{{"metric":{quoted(name)},"value":{number!r},"unit":{quoted(unit)},"better":"{better}"'
        f',"t_ns":{monotonic_ns()},"pid":{os.getpid()}'
    )
    if details:
        if not isinstance(details, dict):
            raise TypeError(f"a metric's details are a dictionary, not {type(details).__name__}")
        line += f',"details":{emitter.quoted_meta(details, "details")}'
    written = f"{line}}}\n".encode()
    if len(written) > MAX_LINE:
        raise ValueError(f"a metric's line is longer than {MAX_LINE} bytes")
    emitter.append(written)
