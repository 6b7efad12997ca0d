"""What a Dask cluster adds: scheduler, workers and runner in network namespaces of their own.

    python benchmarks/cluster.py [--short] [--tls]

Each has its own address, as on machines of their own; they share this machine's cores. The second
case kills a worker in the middle of the run. With --tls all of them speak TLS. Linux, as root.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SHORT = "--short" in sys.argv
TLS = "--tls" in sys.argv
FEW = 4 if SHORT else 60
MANY = 6 if SHORT else 1000
THREADS = 4
WORKERS = ("one",) if SHORT else ("one", "two")
PREFIX = f"tb{os.getpid() % 10_000}"
PORT = 8786

CODE = """
import time
import testrium

def main():
    time.sleep({seconds})
    testrium.unit().probe("done")
"""


def write_groups(folder: Path, count: int, seconds: float) -> None:
    for number in range(count):
        group = folder / f"g{number:04}"
        (group / "units").mkdir(parents=True)
        (group / "config.toml").write_text('[Configs]\nunits = ["a"]\n')
        (group / "units" / "a.toml").write_text(
            '[a]\nentrypoint = "case:main"\nevents = ["done"]\n'
        )
        (group / "case.py").write_text(CODE.format(seconds=seconds))


class Network:
    """Namespaces on one bridge, the addresses 10.213.0.1 and following."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}

    @contextlib.contextmanager
    def opened(self, *names: str) -> Iterator[Network]:
        switch = f"{PREFIX}-switch"
        try:
            ip("netns", "add", switch)
            ip("-n", switch, "link", "add", "br0", "type", "bridge")
            ip("-n", switch, "link", "set", "br0", "up")
            for number, name in enumerate(names, 1):
                self._join(switch, name, number)
            yield self
        finally:
            for name in (*(f"{PREFIX}-{name}" for name in names), switch):
                subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def _join(self, switch: str, name: str, number: int) -> None:
        there, address = f"{PREFIX}-{name}", f"10.213.0.{number}"
        ip("netns", "add", there)
        ip("-n", there, "link", "set", "lo", "up")
        pair = ("type", "veth", "peer", "eth0", "netns", there)
        ip("-n", switch, "link", "add", f"p{number}", *pair)
        ip("-n", switch, "link", "set", f"p{number}", "master", "br0", "up")
        ip("-n", there, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", there, "link", "set", "eth0", "up")
        self.addresses[name] = address

    def start(
        self, name: str, *command: str, env: dict[str, str], log: Path
    ) -> subprocess.Popen[str]:
        there = ["ip", "netns", "exec", f"{PREFIX}-{name}", sys.executable, "-m", *command]
        with log.open("ab") as file:
            return subprocess.Popen(
                there, env=env, cwd=log.parent, stdin=subprocess.DEVNULL, text=True,
                stdout=subprocess.PIPE if command[0] == "testrium" else file, stderr=file,
            )  # fmt: skip


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Cost(NamedTuple):
    """Seconds of the whole command, and from the start of the first groups to the last result."""

    whole: float
    groups: float


def measured(folder: Path, groups: Path, each_s: float, *, kill: bool = False) -> Cost:
    """The cost of a command on a new cluster; all its groups must pass.

    With `kill` a worker is killed once a third of them has.
    """
    env = {**os.environ, "DASK_LOGGING__DISTRIBUTED": "warning", **(tls(folder) if TLS else {})}
    log = folder / "dask.log"
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(Network().opened("scheduler", "home", *WORKERS))
        address = f"{'tls' if TLS else 'tcp'}://{network.addresses['scheduler']}:{PORT}"
        place = ("--host", network.addresses["scheduler"], "--port", str(PORT), "--no-dashboard")
        protocol = ("--protocol", "tls") if TLS else ()
        scheduler = ("distributed.cli.dask_scheduler", *place, *protocol)
        begun = [network.start("scheduler", *scheduler, env=env, log=log)]
        for name in WORKERS:
            options = ("--host", network.addresses[name], "--nthreads", str(THREADS))
            options += ("--no-nanny", "--no-dashboard", "--memory-limit", "0", *protocol)
            worker = ("distributed.cli.dask_worker", address, *options)
            begun.append(network.start(name, *worker, env=env, log=log))
        for process in begun:
            stack.callback(ended, process)
        wait_for_workers(network, address, env, log)
        run = ("testrium", "run", str(groups), "--on", address, "--plain", "--json", "out.json")
        before = time.perf_counter()
        runner = network.start("home", *run, env=env, log=log)
        stack.callback(ended, runner)
        assert runner.stdout is not None
        passed, output = [], []
        for line in runner.stdout:
            output.append(line)
            if line.startswith("PASS"):
                passed.append(time.perf_counter())
                if kill and len(passed) == len(list(groups.iterdir())) // 3:
                    begun[-1].kill()
        code = runner.wait()
        whole = time.perf_counter() - before
    if code or len(passed) != len(list(groups.iterdir())):
        sys.exit("".join(output[-40:]) + log.read_text()[-2000:])
    return Cost(whole, passed[-1] - passed[0] + each_s)


def wait_for_workers(network: Network, address: str, env: dict[str, str], log: Path) -> None:
    wait = (
        "import distributed, sys\n"
        "client = distributed.Client(sys.argv[1], timeout=60)\n"
        "client.wait_for_workers(int(sys.argv[2]), timeout=60)\n"
    )
    script = log.parent / "wait_for_workers.py"
    script.write_text(wait)
    env = {**env, "PYTHONPATH": str(log.parent)}
    asked = network.start("home", script.stem, address, str(len(WORKERS)), env=env, log=log)
    if asked.wait(100):
        sys.exit(log.read_text()[-4000:])


def ended(process: subprocess.Popen[str]) -> None:
    """Let Dask end; a worker that is stuck is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return
        process.kill()
        process.wait()


def tls(folder: Path) -> dict[str, str]:
    """A certificate for all, and Dask's variables that name it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=dask"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    names = {"CA_FILE": certificate}
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        names |= {f"{role}__KEY": key, f"{role}__CERT": certificate}
    said = {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(file) for name, file in names.items()}
    return {**said, "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}


def show(what: str, value: float, unit: str) -> None:
    print(f"  {what:<52} {value:9.2f} {unit}", flush=True)


def measure(folder: Path) -> None:
    slots = THREADS * len(WORKERS)
    for count, each_s in ((FEW, 0.5), (MANY, 0.1)):
        groups = folder / str(count)
        write_groups(groups, count, each_s)
        cpu = cpu_of_children()
        cost, ideal = measured(folder, groups, each_s), count * each_s / slots
        cpu = cpu_of_children() - cpu
        show(f"{count} groups of {each_s} s on {slots} slots", cost.groups, "s")
        show("  the whole command", cost.whole, "s")
        show("  of ideal", ideal / cost.groups, "")
        show("  beyond ideal, for each group", (cost.groups - ideal) / count * 1000, "ms")
        show("  CPU of all processes, for each group", cpu / count * 1000, "ms")
        if count == FEW and len(WORKERS) > 1:
            cost = measured(folder, groups, each_s, kill=True)
            show("  one of two workers killed after a third", cost.groups, "s")


def cpu_of_children() -> float:
    """The CPU time of all processes that have ended and been waited for (seconds)."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure each case and print it."""
    missing = [name for name in ("ip", "openssl") if shutil.which(name) is None]
    if importlib.util.find_spec("distributed") is None:
        missing.append("distributed")
    if missing or os.geteuid() or subprocess.run(
        ["unshare", "--net", "true"], check=False, capture_output=True
    ).returncode:  # fmt: skip
        print(f"  skipped: {', '.join(missing) or 'no right to make network namespaces'}")
        return
    with tempfile.TemporaryDirectory(prefix="testrium-bench-") as folder:
        measure(Path(folder))


if __name__ == "__main__":
    main()
