"""Groups as tasks of a Dask cluster: `testrium run --on tcp://SCHEDULER:8786`.

Dask decides which worker runs which group, moves what tasks need, and notices lost workers. A group
goes there with its folder, as an archive that each worker gets once, and what all groups of the
project need goes as another one; what its run has recorded comes back in chunks, and is judged at
home. On a worker all groups of one run share a `testrium` run in a temporary folder, so
fixtures and the supervisor are started once.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import io
import os
import platform
import shutil
import socket
import tempfile
import threading
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from testrium import api
from testrium.declared.groups import Scenario, UnitHost
from testrium.errors import InfraError, MissingHostError, NotStartedError, UsageError
from testrium.evidence import Finding
from testrium.history.rows import machine_class
from testrium.load.discover import NOT_SEARCHED
from testrium.load.project import STATE_FOLDER
from testrium.record.runs import end_lost_runs
from testrium.session import WorkerResult
from testrium.system.files import lock
from testrium.words import Code

if TYPE_CHECKING:
    from testrium.api import OpenRun
    from testrium.load.project import Project
    from testrium.run.services import Interrupt

#: Bytes that come back at a time.
CHUNK: Final = 8_000_000
#: An archive of fewer bytes goes with the task and its result: asking for it costs more.
SMALL: Final = 1_000_000
#: Seconds for a scheduler to answer.
CONNECT_S: Final = 10.0
#: How often a group is started: once, and once more where its worker was lost.
MOST_STARTS: Final = 2
#: A worker ends what it runs where the runner has not been heard of for so long (seconds).
SILENCE_S: Final = 20.0
_HEARTBEAT_S: Final = 4.0
_LOCAL: Final = "local:"
_MOST_LOCAL: Final = 1000


class Host(NamedTuple):
    """Where a group has run: the name of the machine, and its class for comparisons of figures."""

    name: str
    machine: str


class RanThere(NamedTuple):
    """What a worker has of one group: `archive` is a file there, of `size` bytes, or `data`.

    `error` says what the runner there has failed in.
    """

    host: Host
    worker: str
    archive: str = ""
    size: int = 0
    error: str = ""
    #: The host that the group requires and this worker does not reach, and why; or none.
    missing: tuple[str, str] | None = None
    data: bytes = b""
    took_s: float = 0.0


class GroupTask(NamedTuple):
    """One group to be run: the scenario, where its folder is in the files, and of which run.

    `shared` names the content of the archive that goes with every group, `software` is what the
    runner is made of: a worker may have joined that was not asked.
    """

    run: str
    scenario: Scenario
    place: str
    root: str
    shared: str
    software: Software


class Software(NamedTuple):
    """What must be the same on all machines."""

    testrium: str
    python: str

    def __str__(self) -> str:
        return f"Testrium {self.testrium} and Python {self.python}"


@cache
def _software() -> Software:
    version = importlib.metadata.version("testrium")
    return Software(version, ".".join(platform.python_version_tuple()[:2]))


# At home --------------------------------------------------------------------------------------


class Dask:
    """The scheduler at `tcp://HOST:PORT`, or `local:N` workers that are started on this machine.

    Raises UsageError for another address, or where the package distributed is missing.
    """

    def __init__(self, address: str) -> None:
        count = address.removeprefix(_LOCAL)
        self._address, self._workers = address, 0
        if count != address:
            if not count.isdecimal() or not 1 <= int(count) <= _MOST_LOCAL:
                raise UsageError(f"--on {address}: expected local:N with N from 1 to {_MOST_LOCAL}")
            self._workers = int(count)
        elif "://" not in address:
            raise UsageError(f"--on {address}: expected tcp://HOST:PORT or local:N")
        _distributed()

    @asynccontextmanager
    async def opened(self, run: str, project: Project, cwd: Path) -> AsyncIterator[Cluster]:
        """Connect, for one run; what was started for it is gone at the end.

        Raises UsageError for workers of another version, InfraError where no scheduler answers.
        """
        async with self._scheduler() as target, _connected(target, self._address) as client:
            cluster = Cluster(client, self._address, run, project, cwd)
            await cluster.check()
            beating = asyncio.create_task(cluster.beat())
            try:
                yield cluster
            finally:
                beating.cancel()
                await cluster.close()

    @asynccontextmanager
    async def _scheduler(self) -> AsyncIterator[Any]:
        if not self._workers:
            yield self._address
            return
        local = await _distributed().LocalCluster(
            n_workers=self._workers,
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",  # with None Dask warns where another has its port
            asynchronous=True,
        )
        try:
            yield local
        finally:
            await local.close()


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise UsageError(
            "--on needs the package distributed: pip install 'testrium[cluster]'"
        ) from None
    return distributed


@asynccontextmanager
async def _connected(target: Any, address: str) -> AsyncIterator[Any]:
    distributed = _distributed()
    try:
        client = await distributed.Client(target, asynchronous=True, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise InfraError(f"no scheduler answers at {address}: {error}") from error
    try:
        yield client
    finally:
        with suppress(Exception):  # a scheduler that is gone does not answer
            await asyncio.wait_for(client.close(), CONNECT_S)


class Cluster:
    """The workers of one scheduler, as the run sees them."""

    def __init__(self, client: Any, address: str, run: str, project: Project, cwd: Path) -> None:
        self._client = client
        self._address = address
        self._run = run
        self._root = project.file.parent if project.file else cwd
        self._shared = shared_files(project)
        #: What was sent to workers, by the group's folder; None: what goes with every group.
        self._archives: dict[Path | None, Any] = {}
        self._expected: Counter[Path] = Counter()  # by the group's folder
        self._went: set[Path] = set()
        self._starts: dict[str, list[str]] = {}
        self._heard: dict[str, Callable[[str], None]] = {}
        self._futures: dict[str, Any] = {}
        self._withdrawn = asyncio.Event()
        self._telling: set[asyncio.Future[None]] = set()
        self.slots = 0

    async def check(self) -> None:
        """Refuse workers of another version; count the groups that can run at once."""
        ours = _software()
        theirs, pythons = await asyncio.gather(
            self._client.run(importlib.metadata.version, "testrium", on_error="return"),
            self._client.run(platform.python_version_tuple),
        )
        if not theirs:
            raise InfraError(f"the scheduler at {self._address} has no workers")
        for worker, version in theirs.items():
            if isinstance(version, Exception):
                raise UsageError(f"{worker}: Testrium is not installed there")
            if (found := Software(version, ".".join(pythons[worker][:2]))) != ours:
                raise UsageError(_differs(worker, found, ours))
        self.slots = sum((await self._client.nthreads()).values())
        self._client.subscribe_topic(_topic(self._run), self._receive)

    def expect(self, scenarios: Iterable[Scenario]) -> None:
        """Which of them will be run."""
        self._expected.update(scenario.group.folder for scenario in scenarios)

    async def run(
        self, scenario: Scenario, folder: Path, begun: Callable[[str], None]
    ) -> WorkerResult:
        """Run one group somewhere, and put what it recorded into `folder`.

        Args:
            scenario: what is run.
            folder: the folder of the group's run at home; must not exist yet.
            begun: called with the host's name once it has started on a worker.

        Raises InfraError: it could not be run; says why. NotStartedError: it was withdrawn.
        """
        await self._check_resources(scenario)
        key = f"{scenario.id}-{scenario.mode}-{scenario.repeat}-{os.urandom(4).hex()}"
        self._heard[key] = begun
        try:
            ran = await self._ran(scenario, key)
        finally:
            del self._heard[key]
            # Dask would run again what it still holds for us when the worker that ran it is lost.
            self._futures.pop(key, None)
        if ran.missing is not None:
            raise MissingHostError(*ran.missing)
        await self._fetch(ran, folder)
        if ran.error:
            raise InfraError(f"{ran.host.name}: {ran.error}")
        lost = self._starts.get(key, [])[:-1]
        notes = tuple(_note(scenario, worker) for worker in lost)
        return WorkerResult(*ran.host, ran.took_s, notes)

    async def _ran(self, scenario: Scenario, key: str) -> RanThere:
        """Run a group, and once more if its worker is lost. Raises InfraError."""
        never_begun = 0
        while True:
            place, files, shared = self._files(scenario)
            starts = len(self._starts.get(key, ()))
            if self._withdrawn.is_set():
                raise InfraError(self._lost(key)) if starts else NotStartedError()
            digest = "" if shared is None else shared.key
            root = str(self._root)
            task = GroupTask(self._run, scenario, place, root, digest, _software())
            try:
                future = self._client.submit(
                    execute,
                    task,
                    files,
                    shared,
                    key,
                    key=f"{key}-{starts}",
                    pure=False,
                    resources=dict(scenario.group.resources) or None,
                )
                self._futures[key] = future
                return await future  # type: ignore[no-any-return]
            except asyncio.CancelledError as error:
                ours = asyncio.current_task()
                if ours is not None and ours.cancelling():
                    raise
                reason: BaseException = error
            except Exception as error:  # noqa: BLE001 - of Dask, for workers and schedulers that went
                reason = error
            now = len(self._starts.get(key, ()))
            if self._withdrawn.is_set() and not now:
                raise NotStartedError from reason
            never_begun += now == starts
            if self._client.status != "running" or max(now, never_begun) >= MOST_STARTS:
                raise InfraError(self._lost(key)) from reason

    def withdraw(self) -> None:
        """Begin nothing more: what waits on workers for its turn is NotStarted."""
        self._withdrawn.set()
        waiting = [one for key, one in self._futures.items() if not self._starts.get(key)]
        if waiting:
            self._soon(self._client.cancel(waiting))

    def _soon(self, telling: Any) -> None:
        """Let Dask's client tell the scheduler something."""
        task = asyncio.ensure_future(telling)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def end_with(self, interrupt: Interrupt) -> None:
        """Each time the user interrupts, ask all workers to end what they run for this run."""
        for asked in (interrupt.asked, interrupt.now):
            await asked.wait()
            self.withdraw()
            with suppress(Exception):  # what cannot be reached ends by itself
                await self._client.run(interrupt_run, self._run)

    async def beat(self) -> None:
        """Tell the workers again and again that this run is alive."""
        while True:
            with suppress(Exception):
                await self._client.run(note_runner_alive, self._run)
            await asyncio.sleep(_HEARTBEAT_S)

    async def close(self) -> None:
        """End the run on all workers; nothing of it stays there."""
        with suppress(Exception):
            await asyncio.wait_for(self._client.run(end_run, self._run), CONNECT_S)

    async def _check_resources(self, scenario: Scenario) -> None:
        wanted = scenario.group.resources
        if not wanted:
            return
        try:
            workers = (await self._client.scheduler.identity(n_workers=-1))["workers"].values()
        except Exception as error:  # of Dask, whose scheduler does not answer
            raise InfraError(self._gone()) from error
        if not any(
            all(worker.get("resources", {}).get(name, 0) >= n for name, n in wanted.items())
            for worker in workers
        ):
            listed = ", ".join(f"{name}={n:g}" for name, n in wanted.items())
            raise InfraError(f"no worker of {self._address} has the resources {listed}")

    def _files(self, scenario: Scenario) -> tuple[str, Any, Any]:
        """Where the group's folder is in its archive, that, and the archive of what all share.

        A worker gets each content once; the second is None where groups share nothing. The small
        archive of a group that is run once goes with its task: one of its own costs Dask 10 ms.
        """
        group = scenario.group.folder
        inside = group.is_relative_to(self._root)
        place = str(group.relative_to(self._root)) if inside else group.name
        if self._shared and None not in self._archives:
            self._archives[None] = self._sent(packed(self._shared))
        archive = self._archives.get(group)
        if archive is None:
            archive = packed(group_files(group, place))
            if self._expected[group] != 1 or group in self._went or len(archive) >= SMALL:
                archive = self._archives[group] = self._sent(archive)
            self._went.add(group)
        return place, archive, self._archives.get(None)

    def _sent(self, data: bytes) -> Any:
        """An archive as a task that comes to itself.

        So Dask makes it again where its worker was lost. What is scattered would be lost with it.
        """
        key = f"testrium-archive-{hashlib.sha256(data).hexdigest()}"
        with warnings.catch_warnings():  # Dask wants no more than 10 MB in a task
            warnings.simplefilter("ignore")
            # Before groups: those that wait for it are to be ready when a slot is free.
            return self._client.submit(bytes, data, key=key, priority=1)

    async def _fetch(self, ran: RanThere, folder: Path) -> None:
        """The archive of a run, chunk by chunk, unpacked into `folder`; none where it has none."""
        if not ran.size:
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.SpooledTemporaryFile(max_size=SMALL) as file:
            try:
                file.write(ran.data)
                for offset in range(len(ran.data), ran.size, CHUNK):
                    chunk = await self._client.submit(
                        read_chunk, ran.archive, offset, workers=[ran.worker], pure=False
                    )
                    file.write(chunk)
                if ran.archive:
                    await self._client.submit(
                        os.unlink, ran.archive, workers=[ran.worker], pure=False
                    )
            except (Exception, asyncio.CancelledError) as error:
                raise InfraError(
                    f"{ran.host.name} was lost before its files had come back"
                ) from error
            unpacked(file, folder)

    def _receive(self, event: Any) -> None:
        """A worker has begun a group: for the third time it is given up."""
        _, told = event
        key, worker = told["key"], told["worker"]
        starts = self._starts.setdefault(key, [])
        starts.append(worker)
        if len(starts) > MOST_STARTS and key in self._futures:
            self._soon(self._futures[key].cancel())
        elif (begun := self._heard.get(key)) is not None:
            begun(told["host"])

    def _gone(self) -> str:
        return f"the scheduler at {self._address} went away"

    def _lost(self, key: str) -> str:
        starts = self._starts.get(key, [])
        if self._client.status != "running":
            return self._gone()
        if not starts:
            return "no worker has started it"
        return f"the workers that ran it were lost: {', '.join(starts[:MOST_STARTS])}"


def _differs(worker: str, theirs: Software, ours: Software) -> str:
    return f"{worker} has {theirs}, here are {ours}: install the same there"


def _note(scenario: Scenario, worker: str) -> Finding:
    text = f"the worker {worker} was lost while it ran; this is another try"
    return Finding(Code.INFRA, scenario.id, text)


def _topic(run: str) -> str:
    return f"testrium-{run}"


# Files ----------------------------------------------------------------------------------------


def shared_files(project: Project) -> dict[str, Path]:
    """What goes with every group, by its name below the project's folder.

    Raises UsageError for a folder of `pythonpath` or a pattern of `[cluster] files` that is not
    below the project's folder, or that is not there.
    """
    if project.file is None:
        return {}
    root = project.file.parent
    named = [(f"pythonpath: {folder}", [folder]) for folder in project.pythonpath]
    for pattern in project.cluster_files:
        found = [] if Path(pattern).is_absolute() else sorted(root.glob(pattern))
        named.append((f"cluster.files: {pattern!r}", found))
    files = {project.file.name: project.file}
    for told, found in named:
        paths = [Path(os.path.normpath(path)) for path in found]
        if not paths or not all(path.exists() and path.is_relative_to(root) for path in paths):
            raise UsageError(
                f"{project.file.name}: {told}: expected files below {root}: only these are sent to"
                " other machines"
            )
        for path in paths:
            place = path.relative_to(root)
            if path.is_dir():
                files |= {str(place / name): each for name, each in _files_below(path)}
            else:
                files[str(place)] = path
    return files


def group_files(group: Path, place: str) -> dict[str, Path]:
    """What is in the group's folder, which is at `place`."""
    return {f"{place}/{name}": path for name, path in _files_below(group)}


def packed(files: Mapping[str, Path]) -> bytes:
    """A ZIP archive of files, by their names in it.

    The same files give the same bytes, so they are sent once.
    """
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, path in sorted(files.items()):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (path.stat().st_mode & 0o777) << 16
            archive.writestr(entry, path.read_bytes())
    return memory.getvalue()


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_SEARCHED and name[:1] != "."]
        for name in names:
            path = Path(base, name)
            if path.is_file():
                yield str(path.relative_to(folder)), path


def unpacked(file: Any, folder: Path) -> None:
    """Unpack an archive that `packed` or a worker has made into a folder that is not there yet."""
    folder.mkdir(mode=0o700)
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, folder))
            if mode := entry.external_attr >> 16:
                path.chmod(mode)


# On a worker ----------------------------------------------------------------------------------


#: In the folder of a run: locked by the worker that has made it, for as long as that lives.
_LOCK: Final = ".worker"


class _RunThere:
    """One run on this worker: a folder, and the run that its groups share."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.folder, self._lock_file = _made_folder(run)
        self.heard = time.monotonic()
        self._open: OpenRun | None = None
        self._over = False
        self._lock = threading.Lock()
        self._removing = ThreadPoolExecutor(1, "testrium-removing")

    def opened(self) -> OpenRun:
        """The run; it begins with the first group. Raises InfraError: it has ended."""
        with self._lock:
            if self._over:
                raise InfraError("the run has ended on this worker")
            if self._open is None:
                self._open = api.OpenRun(api.request((), cwd=self.folder))
            return self._open

    def shared_folder(self, name: str, data: bytes) -> Path:
        """The folder with the files that all groups share; unpacked once."""
        folder = self.folder / name
        with self._lock:
            if not folder.exists():
                unpacked(io.BytesIO(data), made := folder.with_suffix(".new"))
                made.rename(folder)
        return folder

    def remove(self, folder: Path) -> None:
        """Remove a folder beside the groups: a disk may take longer for it than for all else."""
        with suppress(RuntimeError):  # the run has ended, and all of it is removed
            self._removing.submit(shutil.rmtree, folder, ignore_errors=True)

    def interrupt(self) -> None:
        if self._open is not None:
            self._open.interrupt()

    def close(self) -> None:
        """End it, and remove all that is there of it."""
        with self._lock:
            self._over = True
            if self._open is not None:
                with suppress(InfraError):
                    self._open.discard()
        self._removing.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock_file)


def _made_folder(run: str) -> tuple[Path, int]:
    """A new folder for a run, and its lock; folders that dead workers have left are removed."""
    temporary = Path(tempfile.gettempdir())
    with (temporary / f"testrium-workers-{os.getuid()}.lock").open("ab") as all_workers:
        lock(all_workers.fileno(), wait=True)
        for left in temporary.glob(f"testrium-*/{_LOCK}"):
            _sweep(left)
        folder = Path(tempfile.mkdtemp(prefix=f"testrium-{run}-", dir=temporary))
        file = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        lock(file, wait=False)
    return folder, file


def _sweep(left: Path) -> None:
    """Remove the folder of this lock, and end what its run has left, where its worker is dead."""
    with suppress(OSError):  # of another user, or its worker lives
        file = os.open(left, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            lock(file, wait=False)
            end_lost_runs(left.parent / STATE_FOLDER)
            shutil.rmtree(left.parent, ignore_errors=True)
        finally:
            os.close(file)


_runs: dict[str, _RunThere] = {}
_runs_lock = threading.Lock()


def _run_there(run: str) -> _RunThere:
    with _runs_lock:
        there = _runs.get(run)
        if there is None:
            there = _runs[run] = _RunThere(run)
            threading.Thread(target=_end_when_silent, args=(there,), daemon=True).start()
        return there


def _end_when_silent(there: _RunThere) -> None:
    """End a run whose runner is gone: it can no longer ask for it."""
    while _runs.get(there.run) is there:
        if time.monotonic() - there.heard > SILENCE_S:
            end_run(there.run)
        time.sleep(1)


def execute(task: GroupTask, files: bytes, shared: bytes | None, key: str) -> RanThere:
    """Run one group on this worker: the task."""
    from distributed import get_worker

    worker = get_worker()
    host = Host(socket.gethostname(), machine_class() or "")
    if (found := _software()) != task.software:
        error = _differs(worker.address, found, task.software)
        return RanThere(host, worker.address, error=error)
    there = _run_there(task.run)
    root = there.folder / os.urandom(6).hex()
    try:
        unpacked(io.BytesIO(files), root)
        if shared is not None:
            _link_lacking(there.shared_folder(task.shared, shared), root)
        scenario = _moved(task.scenario, root / task.place, task.root, str(root))
        with _host_shared(exclusive=scenario.group.exclusive):
            run = there.opened()
            told = {"key": key, "worker": worker.address, "host": host.name}
            worker.log_event(_topic(task.run), told)
            began = time.monotonic()
            recorded = run.record(scenario)
            took_s = time.monotonic() - began
        error = str(recorded.error or "")
        archive = root.with_suffix(".zip")
        size, data = _pack_run(recorded.folder, archive)
        there.remove(recorded.folder)
        path = "" if data else str(archive)
        return RanThere(host, worker.address, path, size, error, data=data, took_s=took_s)
    except MissingHostError as missing:
        reason = (missing.host, missing.reason)
        return RanThere(host, worker.address, missing=reason)
    except (InfraError, OSError) as failure:
        return RanThere(host, worker.address, error=str(failure))
    finally:
        there.remove(root)


def _link_lacking(shared: Path, root: Path) -> None:
    """Let `root` have all that `shared` has, without a copy: links, and folders around the group's.

    At home too all groups see the same files.
    """
    for entry in os.scandir(shared):
        there = root / entry.name
        if not there.exists():
            there.symlink_to(entry.path)
        elif entry.is_dir() and there.is_dir():
            _link_lacking(Path(entry.path), there)


def _moved(scenario: Scenario, folder: Path, old: str, new: str) -> Scenario:
    """The scenario with its files where they are on this worker. Its figures are judged at home."""
    env = {
        name: text.replace(old, new) if name == "PYTHONPATH" else text
        for name, text in scenario.group.env.items()
    }
    hosts = {name: _moved_host(host, old, new) for name, host in scenario.group.hosts.items()}
    group = replace(
        scenario.group, folder=folder, env=env, hosts=hosts, save_metrics=False, use_ai=False
    )
    return scenario._replace(group=group, max_regression=None)


def _moved_host(host: UnitHost, old: str, new: str) -> UnitHost:
    """The host; `connect` begins in the folder of its file, on this worker."""
    if host.folder is None or not host.folder.is_relative_to(old):
        return replace(host, folder=Path(new))
    return replace(host, folder=Path(new, host.folder.relative_to(old)))


@contextmanager
def _host_shared(*, exclusive: bool) -> Iterator[None]:
    """Hold the machine for one group alone, or with others that need not be alone."""
    import fcntl

    path = Path(tempfile.gettempdir()) / f"testrium-host-{os.getuid()}.lock"
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


def _pack_run(folder: Path, archive: Path) -> tuple[int, bytes]:
    """The archive of a group's run: its size, and all of it where it is small, else as a file."""
    paths = [
        path
        for base, _, names in os.walk(folder)
        for path in (Path(base, name) for name in names)
        if path.is_file() and not path.is_symlink()
    ]
    small = sum(path.stat().st_size for path in paths) < SMALL
    target: Any = io.BytesIO() if small else archive
    compression = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(
        target, "w", compression, compresslevel=1, strict_timestamps=False
    ) as packing:
        for path in paths:
            packing.write(path, str(path.relative_to(folder)))
    data = target.getvalue() if small else b""
    return len(data) or archive.stat().st_size, data


def read_chunk(archive: str, offset: int) -> bytes:
    """A part of an archive on this worker."""
    with open(archive, "rb") as file:  # noqa: PTH123 - a name of another machine
        file.seek(offset)
        return file.read(CHUNK)


def note_runner_alive(run: str) -> None:
    """Note on this worker that the runner is alive."""
    if (there := _runs.get(run)) is not None:
        there.heard = time.monotonic()


def interrupt_run(run: str) -> None:
    """Ask the groups of a run on this worker to end."""
    if (there := _runs.get(run)) is not None:
        there.interrupt()


def end_run(run: str) -> None:
    """End a run on this worker."""
    with _runs_lock:
        there = _runs.pop(run, None)
    if there is not None:
        there.close()
