"""The supervisor: the process that owns every process of a run (on Linux; else see `spawn`).

Started once by the runner, while that still loads; single-threaded, without user code. It has a
session of its own, so Ctrl-C reaches only the runner, and it ends when the runner has ended,
never before: then the runner's socket closes, and everything below is killed until nothing is left.

A keeper that gets SIGSTOP would hold up its unit's group for ever: the supervisor wakes it again,
as the supervisor itself is by the runner.

It imports what Python units commonly need before it forks them (`PRELOADED`): a unit then starts in
milliseconds.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import multiprocessing.popen_fork  # else imported at the first start
import os
import selectors
import signal
import socket
from multiprocessing.process import BaseProcess
from time import monotonic_ns

from testrium.loaded_by_name import PRELOADED
from testrium.probe.environment import RUN_DIR
from testrium.run.supervisor.keeper import keep
from testrium.run.supervisor.protocol import Channel, Exit, Message, signal_name
from testrium.system import kernel

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)


def main(fd: int) -> None:
    """Serve the runner at the other end of the socket `fd`; returns when it is gone."""
    # Also what the runner was started with (nohup): units get the signals of a fresh process.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):  # a few belong to the C library
            signal.signal(number, signal.SIG_IGN if number in _IGNORED else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if kernel.proc_problem():
        return  # the runner says why
    kernel.become_subreaper()
    kernel.set_title("testrium: supervisor")
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # shared by all units, and never copied because a collection touched it
    gc.enable()
    with socket.socket(fileno=fd) as wire:
        wire.set_inheritable(False)
        _ForkingSupervisor(Channel(wire)).serve()
        kernel.kill_descendants()
    os._exit(0)  # multiprocessing has nothing left to wait for


#: What a keeper says of a unit last.
_LAST_WORDS = ("cleared", "refused")

#: How many keepers wait for units at most, and how many units each keeps one after the other.
_SPARE = 3
_MOST_UNITS = 50


#: So long nothing must happen after the start of a command before the next one is prepared
#: (seconds): a fork takes a processor that a short command needs, or the runner that judges it.
_QUIET_S = 0.004


class _Kept:
    """A keeper, and what it has told of its unit; one that waits for a unit has none.

    `groups` are the runs of groups that it has kept units of, by their folders. It does not get
    another one of the same: its pid tells there whose process is below it. One that is `prepared`
    has forked what becomes the unit.
    """

    def __init__(self, process: BaseProcess, channel: Channel, *, prepared: bool = True) -> None:
        self.process = process
        self.channel = channel
        self.number = 0
        self.unit = ""
        self.told: set[str] = set()
        self.groups: list[str] = []
        self.prepared = prepared

    def begin(self, number: int, unit: str, group: str) -> None:
        """It gets this unit."""
        self.number, self.unit = number, unit
        self.told.clear()
        self.groups.append(group)
        self.prepared = False


class _ForkingSupervisor:
    def __init__(self, runner: Channel) -> None:
        self._runner = runner
        self._context = multiprocessing.get_context("fork")
        self._kept: dict[int, _Kept] = {}
        self._waiting: list[_Kept] = []  # for a unit
        self._reserve_used = True
        self._commands = 0  # were started since the last entrypoint
        self._starting: set[int] = set()  # the units that do not run yet
        self._last_group = ""  # of the one that has started a unit last
        self._selector = selectors.DefaultSelector()
        self._selector.register(runner, selectors.EVENT_READ)
        self._wake, self._wake_writer = socket.socketpair()
        for end in (self._wake, self._wake_writer):
            end.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def serve(self) -> None:
        """Pass messages on until the runner is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        try:
            while True:
                ready = self._selector.select(self._pause_s)
                if not ready:
                    self._make_reserve()
                for key, _ in ready:
                    if key.fileobj is self._runner:
                        for message in self._runner.receive():
                            self._obey(message)
                    elif key.fileobj is self._wake:
                        self._wake.recv(4096)
                        kernel.resume_children()
                    else:
                        self._receive(key.data)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        finally:
            signal.set_wakeup_fd(-1)  # children still end
            self.close()

    def close(self) -> None:
        """Let go of the keepers: they end."""
        self._selector.close()
        self._wake.close()
        self._wake_writer.close()
        for kept in (*self._kept.values(), *self._waiting):
            kept.channel.close()

    @property
    def _may_prepare(self) -> bool:
        """Whether it is time to prepare the next start.

        While a unit is being started, a fork beside it would delay it by 3 ms.
        """
        return self._reserve_used and not self._starting

    @property
    def _pause_s(self) -> float | None:
        """How long to wait for news; then the next start is prepared. None where it is."""
        if not self._may_prepare:
            return None
        return _QUIET_S if self._commands else 0

    def _obey(self, message: Message) -> None:
        number = message["number"]
        if message["op"] == "start":
            self._start(number, message["launch"])
        elif (kept := self._kept.get(number)) is not None:
            try:
                kept.channel.send(message)
            except OSError:
                return  # the keeper is ending, and has said or will say why

    def _start(self, number: int, launch: Message) -> None:
        group = launch["env"].get(RUN_DIR, launch["folder"])
        if launch["stdout"] != os.devnull:  # else it asks whether a unit is ready
            is_command = launch["command"] is not None
            self._commands = self._commands + 1 if is_command else 0
        try:
            if usable := self._usable(group):
                kept = usable[0]
                self._waiting.remove(kept)
            else:
                kept = self._forked()
        except OSError as error:
            reason = f"cannot start another process: {error.strerror}"
            self._tell("refused", number, reason=reason, infra=True)
            return
        self._last_group, self._reserve_used = group, True
        kept.begin(number, launch["unit"], group)
        self._kept[number] = kept
        self._starting.add(number)
        self._selector.register(kept.channel, selectors.EVENT_READ, kept)
        with contextlib.suppress(OSError):  # if it is dead already, its end is the next message
            kept.channel.send({"op": "start", "number": number, "launch": launch})

    def _usable(self, group: str) -> list[_Kept]:
        """The waiting keepers that may keep a unit of this group, the best first."""
        usable = [kept for kept in self._waiting if group not in kept.groups]
        return sorted(usable, key=lambda kept: not kept.prepared)

    @property
    def _expects_command(self) -> bool:
        """Whether nothing but commands is started now: these need no process in reserve."""
        return self._commands > 1

    def _make_reserve(self) -> None:
        """Prepare the next start, while there is nothing else to do: it is then faster."""
        self._reserve_used = False
        usable = self._usable(self._last_group)
        with contextlib.suppress(OSError):  # the next start will say it
            if not usable:
                self._waiting.append(self._forked())
            elif not usable[0].prepared and not self._expects_command:
                usable[0].channel.send({"op": "prepare"})
                usable[0].prepared = True

    def _forked(self) -> _Kept:
        ours, theirs = socket.socketpair()
        try:
            prepared = not self._expects_command
            process = self._context.Process(target=keep, args=(theirs, prepared))
            process.start()
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return _Kept(process, Channel(ours), prepared=prepared)

    def _receive(self, kept: _Kept) -> None:
        try:
            messages = kept.channel.receive()
        except EOFError:
            self._report_end(kept)
            return
        for message in messages:
            kept.told.add(message["event"])
            self._starting.discard(kept.number)
            self._runner.send(message)
            if message["event"] in _LAST_WORDS:
                self._put_back(kept)

    def _put_back(self, kept: _Kept) -> None:
        """A keeper has nothing left to keep: it waits for another unit, or ends."""
        if len(self._waiting) < _SPARE and len(kept.groups) < _MOST_UNITS:
            self._selector.unregister(kept.channel)
            del self._kept[kept.number]
            self._waiting.append(kept)
        else:
            kept.channel.end()  # its end is reported once it has come

    def _report_end(self, kept: _Kept) -> None:
        """A keeper has ended: report what it has not reported itself."""
        self._selector.unregister(kept.channel)
        kept.channel.close()
        del self._kept[kept.number]
        self._starting.discard(kept.number)
        kept.process.join()
        code = kept.process.exitcode or 0
        kept.process.close()
        if not kept.told.isdisjoint(_LAST_WORDS):
            return
        # Its unit dies with it, and what the unit had started is ours now.
        others = [*self._kept.values(), *self._waiting]
        pids = {other.process.pid for other in others if other.process.pid}
        kernel.kill_descendants(pids)
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with {code}"
        reason = f"the keeper of unit {kept.unit} {how}"
        if "started" not in kept.told:
            self._tell("refused", kept.number, reason=reason, infra=True)
            return
        if "ended" not in kept.told:
            end = Exit(None, None, monotonic_ns(), infra=reason)
            self._tell("ended", kept.number, exit=end.to_message())
        self._tell("cleared", kept.number, leaks=[])

    def _tell(self, event: str, number: int, **fields: object) -> None:
        self._runner.send({"event": event, "number": number, **fields})
