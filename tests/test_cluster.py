"""Groups on a Dask cluster: what comes back, and what happens to workers that are lost."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

import testrium.cluster as cluster_module
from testrium import api
from testrium.api import SilentObserver
from testrium.cluster import Cluster, Host, RanThere, shared_files
from testrium.declared.groups import Group, Scenario
from testrium.errors import InfraError, NotStartedError, UsageError
from testrium.load.project import Project
from testrium.run.services import Interrupt
from testrium.session import WorkerResult

pytest.importorskip("distributed")

CODE = """
    import os, psutil, testrium

    def works():
        testrium.unit().probe("done", host=os.uname().nodename)

    def reads_what_all_share():
        assert open("../schemas/order.json").read() == "{}"
        assert not os.path.exists("../fails")
        works()

    def kills_its_worker():
        here = psutil.Process()
        worker = next(p for p in here.parents() if "spawn_main" in " ".join(p.cmdline()))
        mark = os.environ["MARK"]
        times = len(open(mark).read()) if os.path.exists(mark) else 0
        if times < int(os.environ["KILLS"]):
            open(mark, "a").write("x")
            worker.kill()
        testrium.unit().probe("done")
"""


def group(
    folder: Path, name: str, function: str = "works", configs: str = "", tables: str = ""
) -> None:
    unit = f'[a]\nentrypoint = "case:{function}"\nevents = ["done"]\n'
    files = {
        "config.toml": f'[Configs]\nunits = ["a"]\n{configs}\n{tables}',
        "units/a.toml": unit,
        "case.py": textwrap.dedent(CODE),
    }
    for file, text in files.items():
        path = folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "testrium", "run", "--plain", "--json", "out.json", *options]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finished(process: subprocess.Popen[str], folder: Path) -> tuple[int, dict[str, Any], str]:
    output, _ = process.communicate(timeout=100)
    file = folder / "out.json"
    report = json.loads(file.read_text()) if file.exists() else {}
    return process.returncode, report, output


def test_groups_run_on_workers_and_are_judged_at_home(tmp_path: Path) -> None:
    (tmp_path / "testrium.toml").write_text('[cluster]\nfiles = ["schemas"]\n')
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/order.json").write_text("{}")
    group(tmp_path, "passes", "reads_what_all_share")
    group(tmp_path, "fails", configs="", tables="[[checks]]\nname = 'c'\nvalue = '1'\nequals = '2'")
    mark = f"[env]\nMARK = '{tmp_path}/KILLS'\nKILLS = '{{}}'"
    group(tmp_path, "loses_a_worker", "kills_its_worker", tables=mark.format(1))
    group(tmp_path, "wants_much", configs="resources = {gpu = 1}")
    for name, command in {"on_a_host": "sh", "on_no_host": "no-such-ssh"}.items():
        tables = f"[hosts.edge]\nconnect = ['{command}', 'near.sh']\npython = '{sys.executable}'"
        group(tmp_path, name, configs="requires = ['host:edge']", tables=tables)
        (tmp_path / name / "near.sh").write_text('exec sh -c "$1"')
        unit = tmp_path / name / "units/a.toml"
        unit.write_text(unit.read_text() + "host = 'edge'\n")
    code, report, output = finished(started(tmp_path, "--on", "local:1"), tmp_path)
    groups = {one["id"]: one for one in report["groups"]}
    assert {name: one["verdict"] for name, one in groups.items()} == {
        "passes": "pass",
        "fails": "fail",
        "loses_a_worker": "pass",
        "wants_much": "error",
        "on_a_host": "pass",
        "on_no_host": "skip",
    }, output
    assert groups["on_no_host"]["reason"].startswith(
        "requires host:edge: connect: 'no-such-ssh' cannot be started"
    )
    assert code == 5
    assert groups["passes"]["host"] == socket.gethostname()
    assert groups["passes"]["required"]["completed"] == [{"unit": "a", "step": "done"}]
    assert (Path(groups["passes"]["run_dir"]) / "Data.db").is_file()
    [note] = groups["loses_a_worker"]["notes"]
    assert "was lost while it ran" in note["message"]
    assert "gpu=1" in groups["wants_much"]["findings"][0]["message"]
    assert " on " + socket.gethostname() in output
    assert not _left_over(tmp_path)


def _left_over(folder: Path) -> list[str]:
    """Processes of groups that a folder's run has started."""
    environs = [one.info["environ"] or {} for one in psutil.process_iter(["environ"])]
    return [one["TESTRIUM_UNIT"] for one in environs if str(folder) in one.get("MARK", "")]


@pytest.mark.soak
def test_a_group_that_loses_two_workers_is_an_error_of_its_own(tmp_path: Path) -> None:
    group(tmp_path, "passes")
    mark = f"[env]\nMARK = '{tmp_path}/KILLS'\nKILLS = '9'"
    group(tmp_path, "loses_workers", "kills_its_worker", tables=mark)
    code, report, output = finished(started(tmp_path, "--on", "local:2"), tmp_path)
    groups = {one["id"]: one for one in report["groups"]}
    assert groups["passes"]["verdict"] == "pass", output
    assert groups["loses_workers"]["verdict"] == "error"
    [finding] = groups["loses_workers"]["findings"]
    assert "the workers that ran it were lost: " in finding["message"]
    assert (tmp_path / "KILLS").read_text() == "xx"
    assert code == 5


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("local:none", "expected local:N with N from 1 to 1000"),
        ("somewhere", "expected tcp://HOST:PORT or local:N"),
    ],
)
def test_a_wrong_address_is_refused(tmp_path: Path, address: str, told: str) -> None:
    group(tmp_path, "passes")
    code, _, output = finished(started(tmp_path, "--on", address), tmp_path)
    assert code == 3
    assert f"--on {address}: {told}" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "option", ["--verbose", "--update-golden", "--coverage", "--debug", "--hold"]
)
def test_what_needs_units_on_this_machine_is_refused(tmp_path: Path, option: str) -> None:
    group(tmp_path, "passes")
    code, _, output = finished(started(tmp_path, "--on", "local:1", option), tmp_path)
    assert code == 3
    assert f"--on conflicts with {option}: remove one of them" in output


class ForgetfulClient:
    """Dask's client where workers are lost before a task begins."""

    def __init__(self, tasks_lost: int, status: str = "running") -> None:
        self.tasks_lost, self.status = tasks_lost, status
        self.sent: list[bytes] = []
        self.hangs = False

    async def cancel(self, futures: list[asyncio.Future[RanThere]]) -> None:
        for future in futures:
            future.cancel()

    def submit(self, *what: Any, key: str, **_: Any) -> asyncio.Future[RanThere]:
        future = asyncio.get_running_loop().create_future()
        if what[0] is bytes:
            self.sent.append(what[1])
            future.key = key  # type: ignore[attr-defined]
            return future
        if self.hangs:
            return future
        self.tasks_lost -= 1
        if self.tasks_lost >= 0:
            future.cancel()
            return future
        with zipfile.ZipFile(memory := io.BytesIO(), "w") as archive:
            archive.writestr("Data.db", b"stored")
        data = memory.getvalue()
        ran = RanThere(Host("far", ""), "tcp://w", "", len(data), data=data, took_s=0.5)
        future.set_result(ran)
        return future


@pytest.mark.parametrize(
    ("tasks_lost", "status", "told"),
    [
        (0, "running", ""),
        (1, "running", ""),
        (2, "running", "no worker has started it"),
        (1, "closed", "the scheduler at tcp://s went away"),
    ],
)
def test_what_is_lost_before_a_group_begins_is_sent_once_more(
    tmp_path: Path, tasks_lost: int, status: str, told: str
) -> None:
    group(tmp_path, "shop")
    scenario = Scenario("shop", Group("shop", tmp_path / "shop", ()), ())
    client = ForgetfulClient(tasks_lost, status)
    cluster = Cluster(client, "tcp://s", "run-1", Project(tmp_path / ".testrium"), tmp_path)
    running = cluster.run(scenario, tmp_path / "run" / "shop", lambda _: None)
    if told:
        with pytest.raises(InfraError, match=told):
            asyncio.run(running)
    else:
        assert asyncio.run(running) == WorkerResult("far", "", 0.5)
        assert len(client.sent) == 1
        assert (tmp_path / "run" / "shop" / "Data.db").read_bytes() == b"stored"


def names_in(archive: bytes) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        return set(files.namelist())


def test_what_all_groups_share_and_a_group_that_is_repeated_are_sent_once(tmp_path: Path) -> None:
    for name in ("shop", "bank"):
        group(tmp_path, name)
    for name in ("testrium.toml", "schemas/order.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    shop, bank = (
        Scenario(name, Group(name, tmp_path / name, ()), (), folder_name=name)
        for name in ("shop", "bank")
    )
    again = shop._replace(repeat=1, folder_name="shop~1")
    client = ForgetfulClient(0)
    project = Project(
        tmp_path / ".testrium", file=tmp_path / "testrium.toml", cluster_files=("schemas",)
    )
    cluster = Cluster(client, "tcp://s", "run-1", project, tmp_path)

    async def run() -> None:
        cluster.expect((shop, bank, again))
        for one in (shop, bank, again):
            await cluster.run(one, tmp_path / "run" / one.folder_name, lambda _: None)

    asyncio.run(run())
    own = {"config.toml", "units/a.toml", "case.py"}
    assert list(map(names_in, client.sent)) == [
        {"testrium.toml", "schemas/order.json"},
        {f"shop/{name}" for name in own},
    ]


def test_what_waits_for_its_turn_on_a_worker_is_withdrawn(tmp_path: Path) -> None:
    group(tmp_path, "shop")
    scenario = Scenario("shop", Group("shop", tmp_path / "shop", ()), ())
    client = ForgetfulClient(0)
    client.hangs = True
    cluster = Cluster(client, "tcp://s", "run-1", Project(tmp_path / ".testrium"), tmp_path)

    async def run() -> None:
        running = asyncio.create_task(cluster.run(scenario, tmp_path / "run", lambda _: None))
        await asyncio.sleep(0)
        cluster.withdraw()
        with pytest.raises(NotStartedError):
            await running

    asyncio.run(run())


class OneSlot:
    """A cluster where the first group is in error and what waits behind it is never begun."""

    slots = 1

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.over = asyncio.Event()

    @asynccontextmanager
    async def opened(self, run: str, project: Project, cwd: Path) -> AsyncIterator[OneSlot]:
        yield self

    def expect(self, scenarios: Iterable[Scenario]) -> None: ...

    async def run(
        self, scenario: Scenario, folder: Path, begun: Callable[[str], None]
    ) -> WorkerResult:
        self.asked.append(scenario.id)
        if len(self.asked) > 1:
            await self.over.wait()
            raise NotStartedError
        raise InfraError("a disk is full")

    def withdraw(self) -> None:
        self.over.set()

    async def end_with(self, interrupt: Interrupt) -> None:
        await interrupt.asked.wait()


def test_groups_wait_where_they_will_run_and_are_not_started_after_the_last_failure(
    tmp_path: Path,
) -> None:
    for name in ("one", "three", "two"):
        group(tmp_path, name)
    cluster = OneSlot()
    told: list[str] = []

    class Notices(SilentObserver):
        def notice(self, text: object) -> None:
            told.append(str(text))

    run = api.run(cwd=tmp_path, on=cluster, max_failures=1, observer=Notices())
    assert [one.id for one in run.groups] == ["one"]
    assert cluster.asked == ["one", "three"]
    assert told == ["stopped after 1 failure: 2 more results were not started"]


def test_a_group_sees_what_all_share_beside_its_own_files(tmp_path: Path) -> None:
    shared, root = tmp_path / "shared", tmp_path / "root"
    for path in (shared / "lib/a.py", shared / "shop/data/x", shared / "shop/config.toml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("shared")
    (root / "shop").mkdir(parents=True)
    (root / "shop/config.toml").write_text("own")
    cluster_module._link_lacking(shared, root)
    assert (root / "lib/a.py").read_text() == (root / "shop/data/x").read_text() == "shared"
    assert (root / "shop/config.toml").read_text() == "own"


def test_folders_of_dead_workers_are_removed_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, lock = cluster_module._made_folder("run-1")
    os.close(lock)
    other = tmp_path / "testrium-of-somebody-else"
    other.mkdir()
    alive, lock = cluster_module._made_folder("run-2")
    _, third = cluster_module._made_folder("run-2")
    assert not dead.exists()
    assert alive.exists()
    assert other.exists()
    os.close(lock)
    os.close(third)


def test_what_goes_with_groups_is_found_below_the_project(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for name in ("lib/a.py", "data/x/y.json", "testrium.toml", "../other/z"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    project = Project(
        root / ".testrium",
        file=root / "testrium.toml",
        pythonpath=(root / "lib",),
        cluster_files=("data/*",),
    )
    assert set(shared_files(project)) == {"testrium.toml", "lib/a.py", "data/x/y.json"}
    for wrong in ("none/*", "/etc/hosts", "../*"):
        with pytest.raises(UsageError, match="only these are sent to other machines"):
            shared_files(project._replace(cluster_files=(wrong,)))
    with pytest.raises(UsageError, match="pythonpath"):
        shared_files(project._replace(pythonpath=(tmp_path,)))


@pytest.mark.soak
def test_an_interrupt_ends_the_groups_on_all_workers(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        group(tmp_path, name, "waits", configs="timeout = 60")
        code = tmp_path / name / "case.py"
        text = f"\ndef waits():\n    open({str(tmp_path / name)!r} + '.up', 'w').close()\n"
        code.write_text(code.read_text() + text + "    import time; time.sleep(60)\n")
    process = started(tmp_path, "--on", "local:2")
    while len(list(tmp_path.glob("*.up"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    code_, report, output = finished(process, tmp_path)
    assert code_ == 130, output
    assert {one["verdict"] for one in report["groups"]} <= {"error"}


@pytest.mark.soak
def test_what_has_finished_is_reported_when_the_scheduler_goes(tmp_path: Path) -> None:
    group(tmp_path, "done")
    group(tmp_path, "waits", "waits", configs="timeout = 60")
    code = tmp_path / "waits" / "case.py"
    text = f"\ndef waits():\n    open({str(tmp_path / 'up')!r}, 'w').close()\n"
    code.write_text(code.read_text() + text + "    import time; time.sleep(60)\n")
    place = ["--scheduler-file", str(tmp_path / "scheduler.json"), "--no-dashboard"]
    dask = [sys.executable, "-m"]
    scheduler = [*dask, "distributed.cli.dask_scheduler", *place, "--host", "127.0.0.1:0"]
    worker = [*dask, "distributed.cli.dask_worker", *place, "--nthreads", "1", "--no-nanny"]
    with (
        subprocess.Popen(scheduler, stderr=subprocess.DEVNULL) as scheduling,
        subprocess.Popen(worker, stderr=subprocess.DEVNULL) as working,
    ):
        try:
            while not (tmp_path / "scheduler.json").exists():
                time.sleep(0.05)
            address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
            while not _has_worker(address):
                time.sleep(0.05)
            process = started(tmp_path, "--on", address)
            while not (tmp_path / "up").exists():
                assert process.poll() is None
                time.sleep(0.05)
            scheduling.kill()
            code_, report, output = finished(process, tmp_path)
        finally:
            scheduling.kill()
            working.kill()
    assert code_ == 5, output
    groups = {one["id"]: one for one in report["groups"]}
    assert groups["done"]["verdict"] == "pass"
    assert groups["waits"]["findings"][0]["message"] == f"the scheduler at {address} went away"


def _has_worker(address: str) -> bool:
    distributed: Any = pytest.importorskip("distributed")
    with distributed.Client(address, timeout=30) as client:
        return bool(client.scheduler_info()["workers"])
