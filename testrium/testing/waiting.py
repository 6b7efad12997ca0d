"""Waits, each ended early by a process that dies, or by a line that says what went wrong.

`process` is a `Process`, the name of a unit of the run, or the number of any process. `timeout` is
in seconds, None for ever. All of them raise WaitTimeoutError (a TimeoutError) and
ProcessEndedError, both WaitErrors.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from testrium.checks.comparison import shown
from testrium.testing.files import check_unit, emitted_steps, is_unit
from testrium.testing.processes import Process
from testrium.testing.waking import (
    ErrorLineError,
    Log,
    LogSearch,
    ProcessEndedError,
    WaitTimeoutError,
    Waking,
    unit_log,
    waking,
)

if TYPE_CHECKING:
    from testrium.probe.event import ProbeRecord

_TRY_S = 1.0
#: Steps of a unit that a message lists at most.
_MOST_STEPS = 10


def wait_for_log(
    source: Process | Log | str | os.PathLike[str],
    pattern: str,
    *,
    error: str | Sequence[str] = (),
    ignore: str | Sequence[str] = (),
    count: int = 1,
    literal: bool = False,
    process: Process | str | int | None = None,
    timeout: float | None = 10.0,
) -> re.Match[str]:
    """Wait for a line, or for a number of lines.

    Args:
        source: a `Process`; the name of a unit of the run; the path of a file, as a Path; or a
            `Log`, which continues behind the line that was found last.
        pattern: a regular expression, searched in each line; plain text if `literal`.
        error: patterns of lines that mean that it will not come any more.
        ignore: patterns of lines that do not count, for `pattern` and for `error`.
        count: how many lines must match.
        literal: the patterns are plain text.
        process: whose end ends the wait; if the source is a process or a unit, that one.
        timeout: seconds.

    Returns:
        The match, of several the last: `match["port"]` is the named group, `match.string` the line.

    Raises:
        ErrorLineError: a line matches `error`.
    """
    log = log_of(source)
    if process is None and isinstance(source, Process | str):
        process = source
    errors = (error,) if isinstance(error, str) else tuple(error)
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"count must be a whole number from 1, got {count!r}")
    search = LogSearch(pattern, errors, ignored, count, literal=literal)
    lines = "a line that matches" if count == 1 else f"{count} lines that match"
    what = f"{lines} {pattern!r} in {_named(source)}"
    with waking(what, timeout, process, log.paths) as wakes:
        while True:
            over = wakes.is_over()
            left = wakes.left_s()
            final = over or (left is not None and left <= 0)
            found = search.found(log, final=final)
            if isinstance(found, re.Match):
                return found
            if found is not None:
                raise ErrorLineError(f"{what} will not come, because of this one: {found}")
            if over:
                wakes.raise_ended(log.last_seen())
            wakes.wait(log.last_seen() if final else None)


def wait_for_file(
    path: str | os.PathLike[str],
    *,
    process: Process | str | int | None = None,
    timeout: float | None = 10.0,
) -> Path:
    """Wait until there is a file or a folder; its path."""
    wanted = Path(path).absolute()

    def seen() -> str:
        parent = wanted.parent
        if not parent.is_dir():
            return f"its folder {parent} does not exist"
        names = sorted(entry.name for entry in parent.iterdir())[:10]
        return f"its folder holds {', '.join(names) or 'nothing'}"

    with waking(f"the file {wanted}", timeout, process, (wanted,)) as wakes:
        _look(wakes, wanted.exists, seen)
    return wanted


def wait_for_port(
    port: int,
    host: str = "127.0.0.1",
    *,
    process: Process | str | int | None = None,
    timeout: float | None = 10.0,
) -> None:
    """Wait until something listens on a TCP port."""
    reasons: list[str] = []

    def listens() -> bool:
        try:
            with socket.create_connection((host, port), timeout=_TRY_S):
                return True
        except OSError as error:
            reasons[:] = [f"the last try: {error.strerror or error}"]
            return False

    with waking(f"a server at {host}:{port}", timeout, process) as wakes:
        _look(wakes, listens, lambda: "".join(reasons))


def wait_for_exit(process: Process | int, *, timeout: float | None = 10.0) -> int | None:
    """Wait until a process has ended; its exit code, None if it is none of ours.

    As in `subprocess`, a signal is a negative number.
    """
    if isinstance(process, Process):
        return process.wait(timeout)
    with waking(f"the end of process {process}", timeout, process) as wakes:
        while not wakes.is_over():
            wakes.wait()
    return None


def wait_for_probe(
    place: str,
    key: str | None = None,
    *,
    process: Process | str | int | None = None,
    timeout: float | None = 10.0,
) -> ProbeRecord:
    """Wait for a probe `unit:step` of this run, as `testrium.unit().wait_for` does.

    Args:
        place: `*` means any unit, or any step.
        key: only a probe with this key.
        process: whose end ends the wait; by default the unit's.
        timeout: seconds.

    Raises:
        RuntimeError: outside of a run, or the run has ended.
        ValueError: the run has no such unit.
    """
    from testrium.probe.event import ProbeRecord
    from testrium.probe.waiting import ask, wait_request

    suffix = "" if key is None else f" with key {key!r}"
    request = wait_request(place, key, timeout)
    if request["unit"] != "*":
        check_unit(request["unit"])
        if process is None:
            process = request["unit"]
    with waking(f"a probe {place}{suffix}", timeout, process) as wakes:
        if request["now"]:
            answer = ask(request)
        else:
            try:
                answer = ask(request, None, lambda wire: wakes.wait_readable(wire.fileno()))
            except ProcessEndedError:  # what it emitted at last may not have been read yet
                answer = ask({**request, "now": True})
                if answer["event"] is None:
                    raise
            except WaitTimeoutError as error:
                raise WaitTimeoutError(f"{error}; {_emitted(request['unit'])}") from None
        if answer["event"] is None:
            wakes.wait(_emitted(request["unit"]))  # raises: the time was over
    return ProbeRecord(answer["event"])


def _emitted(unit: str) -> str:
    """What a unit has emitted, for a message."""
    if unit == "*":
        return "no unit has emitted it"
    steps = [shown(step) for step in emitted_steps(unit)]
    more = f" and {len(steps) - _MOST_STEPS} more" if len(steps) > _MOST_STEPS else ""
    return f"{unit} has emitted {', '.join(steps[:_MOST_STEPS]) or 'nothing'}{more}"


def wait_until(
    condition: Callable[[], Any],
    what: str = "",
    *,
    process: Process | str | int | None = None,
    timeout: float | None = 10.0,
) -> None:
    """Wait until `condition()` is true; it is called again and again, with growing pauses.

    Args:
        condition: its last value is shown when the time is over.
        what: what is waited for, in words.
    """
    last: list[Any] = []

    def holds() -> bool:
        last[:] = [condition()]
        return bool(last[0])

    name = what or getattr(condition, "__name__", "the condition")
    with waking(name, timeout, process) as wakes:
        _look(wakes, holds, lambda: f"the last value was {last[0]!r}" if last else "")


def log_of(source: Process | Log | str | os.PathLike[str]) -> Log:
    """The output that is meant by a process, a unit of the run, or a path."""
    if isinstance(source, Log):
        return source
    if isinstance(source, Process):
        return Log(source.stdout_path, source.stderr_path, encoding=source.encoding)
    if isinstance(source, str) and not _is_path(source):
        return unit_log(source)
    return Log(Path(source).absolute())


def _is_path(text: str) -> bool:
    """Whether a text means a file: one that no unit is called like, and that looks like a path."""
    return not is_unit(text) and ("/" in text or os.sep in text or Path(text).is_file())


def _named(source: Process | Log | str | os.PathLike[str]) -> str:
    if isinstance(source, Process):
        return f"the output of {source.name}"
    if is_unit(source):
        return f"the output of {source}"
    paths = source.paths if isinstance(source, Log) else (Path(source),)
    return " and ".join(path.name for path in paths)


def _look(wakes: Waking, condition: Callable[[], bool], seen: Callable[[], str]) -> None:
    """Return when the condition holds; it is asked once more after the end of the process."""
    while True:
        over, left = wakes.is_over(), wakes.left_s()
        if condition():
            return
        if over:
            wakes.raise_ended(seen())
        wakes.wait(seen() if left is not None and left <= 0 else None)


_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


def _async_twin(wait: Callable[_Given, _Found]) -> Callable[_Given, Coroutine[Any, Any, _Found]]:
    """The wait in a thread of its own: those of the loop are few, and a wait may last."""

    @wraps(wait)
    async def twin(*args: _Given.args, **kwargs: _Given.kwargs) -> _Found:
        import asyncio
        from contextlib import suppress
        from contextvars import copy_context
        from threading import Thread

        loop = asyncio.get_running_loop()
        found: asyncio.Future[_Found] = loop.create_future()

        def tell(set_it: Callable[[Any], None], value: object) -> None:
            if not found.done():  # the caller may have given up
                set_it(value)

        def work() -> None:
            set_it: Callable[[Any], None] = found.set_result
            value: object
            try:
                value = context.run(wait, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - raised again where it is awaited
                set_it, value = found.set_exception, error
            with suppress(RuntimeError):  # the loop is over
                loop.call_soon_threadsafe(tell, set_it, value)

        context = copy_context()
        Thread(target=work, daemon=True).start()
        return await found

    twin.__name__ = twin.__qualname__ = f"{wait.__name__}_async"
    twin.__doc__ = f"As `{wait.__name__}`, without blocking the event loop."
    return twin


wait_for_exit_async = _async_twin(wait_for_exit)
wait_for_file_async = _async_twin(wait_for_file)
wait_for_log_async = _async_twin(wait_for_log)
wait_for_port_async = _async_twin(wait_for_port)
wait_for_probe_async = _async_twin(wait_for_probe)
wait_until_async = _async_twin(wait_until)
