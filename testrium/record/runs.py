"""The state folder and the folders of its runs: made, found, removed, and lost ones ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from shutil import rmtree

from testrium.errors import InfraError, UsageError
from testrium.probe import environment as names
from testrium.system.files import lock

#: The longest path of a Unix socket. Source: sun_path of unix(7), without the byte that ends it.
_SOCKET_PATH = 107

#: What a run appends to a folder: its name, characters that make it unique, a socket's name.
_APPENDED = len("/testrium-20261121-031500-ab12-12345678/waits")


class SocketFolders:
    """Folders for the sockets of a run's groups, whose own folders have paths too long for that.

    A group that has left its folder empty leaves it to another one: to make and remove one takes
    the kernel milliseconds.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._free: list[Path] = []
        self._closed = False

    @contextlib.contextmanager
    def lease(self) -> Iterator[Path]:
        """An empty folder for one group. Raises InfraError: no folder is writable."""
        try:
            folder = self._free.pop() if self._free else self._made()
        except OSError as error:
            raise InfraError(str(error)) from error
        try:
            yield folder
        finally:
            try:
                is_empty = not any(folder.iterdir())
            except OSError:  # it was removed
                is_empty = False
            if is_empty and not self._closed:
                self._free.append(folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove those that no group has now; each other one goes with its group."""
        self._closed = True
        while self._free:
            shutil.rmtree(self._free.pop(), ignore_errors=True)

    def _made(self) -> Path:
        return Path(tempfile.mkdtemp(prefix=_prefix(self._run), dir=short_folder()))


def short_folder() -> str:
    """The first folder for temporary files whose path leaves room for a socket's name.

    Raises OSError where there is none.
    """
    for folder in _folders():
        if len(os.fsencode(folder)) + _APPENDED <= _SOCKET_PATH and os.access(folder, os.W_OK):
            return folder
    wanted = " or ".join(_folders())
    raise OSError(f"no folder for sockets: {wanted} is too long or cannot be written; set TMPDIR")


def remove_left(run: str) -> None:
    """Remove the temporary folders that a dead run has left."""
    for folder in _folders():
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder):
                if entry.name.startswith(_prefix(run)) and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _prefix(run: str) -> str:
    return f"testrium-{run}-"


def _folders() -> Iterator[str]:
    """Where temporary files go, then where they go by default."""
    yield tempfile.gettempdir()
    yield from (folder for folder in ("/tmp", "/var/tmp") if os.path.isdir(folder))  # noqa: S108, PTH112


FOLDER = "runs"

_LOCK = ".running"

#: What the lock says while its run continues, and once it has ended: then its processes are
#: gone. Of one length, so a full disk has room for the second where it had for the first.
_GOES_ON = b"runs\n"

_OVER = b"over\n"

_SHOWN = 5

#: An id begins with its date and second: "20261121-031500".
_SECOND = 15


def list_runs(state_folder: Path) -> tuple[Path, ...]:
    """The folders of all kept runs, the oldest first."""
    try:
        entries = list((state_folder / FOLDER).iterdir())
    except FileNotFoundError:
        return ()
    runs = []
    for entry in entries:
        # Another command may remove runs now. A link is never followed: prune would remove
        # what is not a run.
        with contextlib.suppress(FileNotFoundError):
            hidden = entry.name.startswith(".") or entry.is_symlink()
            if entry.is_dir() and not hidden and not _is_of_ancestor(entry):
                runs.append((entry.name[:_SECOND], entry.stat().st_mtime_ns, entry))
    return tuple(folder for *_, folder in sorted(runs))


def _is_of_ancestor(folder: Path) -> bool:
    """Whether testrium 0.3.0 made it: a run of one group, which cannot be shown and is left alone.

    There the store is in the run's folder; here it is below it, in a folder for each group.
    """
    return (folder / "Data.db").exists()


def find_run(state_folder: Path, beginning: str = "") -> Path:
    """The folder of the run whose id begins so; of the last run for "".

    Raises UsageError where none or several begin so, with the ids that could be meant.
    """
    runs = list_runs(state_folder)
    if not runs:
        raise UsageError(f"no run is kept in {state_folder}: start one with testrium run")
    if not beginning:
        return runs[-1]
    found = [run for run in runs if run.name.startswith(beginning)]
    exact = [run for run in found if run.name == beginning]
    if len(found) == 1 or exact:
        return (exact or found)[0]
    if found:
        raise UsageError(f"{beginning!r} begins several runs: {_names(found)}")
    raise UsageError(f"no run begins with {beginning!r}; the latest are {_names(list(runs))}")


def new_run_id() -> str:
    """The id of a run that begins now."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(2).hex()}"


@contextlib.contextmanager
def claimed(run_folder: Path) -> Iterator[None]:
    """Hold a run's folder while the run is active: no command removes it meanwhile.

    The kernel ends the claim with the process, so a killed run is not kept for ever; such a
    run is one of the `lost_runs`. Raises InfraError: nothing can be written there.
    """
    path = run_folder / _LOCK
    with contextlib.ExitStack() as stack:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            stack.callback(os.close, descriptor)
            lock(descriptor, wait=True)
            os.write(descriptor, _GOES_ON)
        except OSError as error:
            raise InfraError(f"cannot write {path}: {error.strerror}") from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # then it counts as lost: looked after once more
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, _OVER)


def lost_runs(state_folder: Path) -> tuple[Path, ...]:
    """The runs that were killed, and may have left processes behind."""
    return tuple(run for run in list_runs(state_folder) if _is_lost(run))


def mark_over(run_folder: Path) -> None:
    """A lost run was looked after: it is not lost any more."""
    with contextlib.suppress(OSError):  # removed meanwhile, or by another user's runner
        (run_folder / _LOCK).write_bytes(_OVER)


def is_run(folder: Path) -> bool:
    """Whether a run was begun in this folder: nothing else has been in it."""
    return (folder / _LOCK).is_file()


def prune(state_folder: Path, keep: int) -> tuple[str, ...]:
    """Remove the oldest runs beyond `keep`; returns the ids of those that are gone.

    Runs that go on are left alone. What cannot be removed stays, and is tried again next time.
    """
    runs = list_runs(state_folder)
    return remove(runs[: max(0, len(runs) - keep)])


def remove(run_folders: Iterable[Path]) -> tuple[str, ...]:
    """Remove runs that are not active; return the ids of the removed ones."""
    removed = []
    for run in run_folders:
        if is_claimed(run):
            continue
        rmtree(run, ignore_errors=True)
        if not run.exists():
            removed.append(run.name)
    return tuple(removed)


def discard_group(run_folder: Path, group_folder: Path) -> None:
    """Remove the folder of one group from a run, and the folders around it that are empty then.

    What cannot be removed stays.
    """
    rmtree(group_folder, ignore_errors=True)
    for folder in group_folder.relative_to(run_folder).parents[:-1]:
        with contextlib.suppress(OSError):  # another group is in it
            (run_folder / folder).rmdir()


def _is_lost(run_folder: Path) -> bool:
    try:
        return (run_folder / _LOCK).read_bytes() != _OVER and not is_claimed(run_folder)
    except OSError:
        return False


def is_claimed(run_folder: Path) -> bool:
    """Whether the run in this folder is still running."""
    try:
        descriptor = os.open(run_folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        lock(descriptor, wait=False)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _names(runs: list[Path]) -> str:
    latest = ", ".join(run.name for run in reversed(runs[-_SHOWN:]))
    more = len(runs) - _SHOWN
    return f"{latest} and {more} more" if more > 0 else latest


MARK = ".testrium-state"

_MARK_TEXT = """\
This folder was made by Testrium: runs, and the history of their results.
It may be deleted at any time. `testrium clean` removes runs only beside this file.
"""

#: What may lie in a folder that was made before it could be marked.
_OWN = ("runs", "history.db")


def make_state_folder(folder: Path) -> None:
    """Make the folder, for its owner only, and mark it; git ignores what is in it.

    One that exists and holds what is not Testrium's is used and left unmarked.

    Raises:
        OSError: it cannot be made.
        InfraError: it belongs to another user, who could change what is stored there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = folder.stat().st_uid
    if hasattr(os, "geteuid") and owner != os.geteuid():
        raise InfraError(
            f"the state folder {folder} belongs to another user (uid {owner}): remove it, or set"
            " `state` in testrium.toml"
        )
    if is_state_folder(folder):
        return
    if all(entry.name.startswith(_OWN) for entry in folder.iterdir()):
        _write(folder / MARK, _MARK_TEXT)
        _write(folder / ".gitignore", "*\n")


def is_state_folder(folder: Path) -> bool:
    """Whether Testrium made this folder."""
    return (folder / MARK).is_file()


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def end_lost_runs(state_folder: Path) -> tuple[str, ...]:
    """Kill what lost runs have left behind; each of them is looked at once.

    Returns:
        A sentence for each run that had left something.
    """
    notices = []
    for run in lost_runs(state_folder):
        killed = end_processes_of(run)
        remove_left(run.name)
        mark_over(run)
        if killed:
            count = "a process" if len(killed) == 1 else f"{len(killed)} processes"
            notices.append(f"run {run.name} was lost; ended {count} of it: {'; '.join(killed)}")
    return tuple(notices)


def end_processes_of(run_folder: Path) -> tuple[str, ...]:
    """SIGKILL all processes of a run but those above this one, until there are none.

    Returns:
        The command lines of those that have ended.
    """
    # psutil takes longer to import than a unit to start, and most runs have no lost one to end.
    from testrium.system import processes

    spared = processes.this_and_above()
    killed = []
    while found := [pid for pid in processes.pids() - spared if _belongs(pid, run_folder)]:
        for pid in found:
            command_line = processes.command_line(pid)
            if processes.kill_if(pid, partial(_belongs, pid, run_folder)):
                killed.append(command_line)
            else:
                spared.add(pid)
    return tuple(killed)


def _belongs(pid: int, run_folder: Path) -> bool:
    from testrium.system.processes import environment, outputs  # as above

    inside = f"{run_folder}/"
    env = environment(pid)
    if env.get(names.RUN) == run_folder.name and env.get(names.RUN_DIR, "").startswith(inside):
        return True
    return any(path.startswith(inside) for path in outputs(pid))
