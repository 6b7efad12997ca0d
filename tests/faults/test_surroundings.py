"""A hostile machine and hostile names: clocks, load, many units, other runs, tricks in names."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.conftest import wait_for_file

if TYPE_CHECKING:
    from tests.conftest import Workplace
    from tests.faults.conftest import Soundness

PAIR = {
    "target": 'entrypoint = "test_case:target"\nready_event = "up"',
    "source": 'entrypoint = "test_case:source"\nunit_dependencies = ["target"]',
}
TALK = """
import time

def target():
    me = testrium.unit()
    me.probe("up")
    for number in range(20):
        me.wait_for("source:sent", key=f"k{number}", timeout=20)
        me.receive("received", key=f"k{number}")

def source():
    me = testrium.unit()
    for number in range(20):
        me.send("sent", key=f"k{number}")
        me.wait_for("target:received", key=f"k{number}", timeout=20)
"""
CIRCUIT = '[[circuits]]\nname = "c"\nroute = ["source:sent", "target:received"]\nkeys = "20"'

#: Steps the wall clock of the runner by an hour, and back, several times a second.
STEPPING = """
import time
real, real_ns = time.time, time.time_ns

def offset():
    return 3600 if int(time.monotonic() * 20) % 2 else -3600

time.time = lambda: real() + offset()
time.time_ns = lambda: real_ns() + offset() * 10**9
from testrium.cli.start import start
raise SystemExit(start())
"""


def test_a_wall_clock_that_is_stepped_changes_no_verdict(
    workplace: Workplace, sound: Soundness
) -> None:
    workplace.group(PAIR, TALK, tables=CIRCUIT)
    report = workplace.folder / "report.json"
    program = [sys.executable, "-c", STEPPING]
    outcome = workplace.finish(workplace.start("run", "--json", str(report), program=program))
    sound.of(outcome, 0)
    assert 0 <= outcome.report["duration_s"] < 600
    assert 0 <= outcome.group["circuits"][0]["p50_ms"] < 600_000


@pytest.fixture
def burners() -> Iterator[None]:
    """Programs that use every core, at the priority of everybody."""
    code = "while True: pass"
    count = 2 * (os.cpu_count() or 1)
    running = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(count)]
    yield
    for each in running:
        each.kill()
        each.wait()


@pytest.mark.usefixtures("burners")
def test_a_busy_machine_makes_nothing_fail(workplace: Workplace, sound: Soundness) -> None:
    for number in range(3):
        workplace.group(PAIR, TALK, tables=CIRCUIT, name=f"group-{number}")
    sound.of(workplace.run("-j", "3"), 0)


def test_two_runs_in_one_folder_do_not_disturb_each_other(
    workplace: Workplace, sound: Soundness
) -> None:
    workplace.group(PAIR, TALK, tables=CIRCUIT)
    runs = [
        workplace.start("run", "--json", str(workplace.folder / f"{number}.json"))
        for number in range(3)
    ]
    for process in runs:
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stdout + stderr
    assert not workplace.survivors()
    assert len(list((workplace.folder / ".testrium" / "runs").iterdir())) == 3
    sound.of_stored()


@pytest.mark.soak
def test_five_thousand_units_can_be_declared(workplace: Workplace) -> None:
    units = {"unit-0": 'command = ["true"]'}
    off = 'command = ["true"]\nenabled = false\nports = ["p"]\nevents = ["e"]'
    units |= {f"unit-{number}": off for number in range(1, 5000)}
    workplace.group(units, configs="timeout = 20")
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.exit_code == 0


@pytest.mark.soak
def test_five_thousand_units_in_a_chain_are_checked(workplace: Workplace) -> None:
    units = {"unit-0": 'command = ["true"]'}
    units |= {
        f"unit-{number}": f'command = ["true"]\nunit_dependencies = ["unit-{number - 1}"]'
        for number in range(1, 5000)
    }
    workplace.group(units)
    outcome = workplace.finish(workplace.start("check"))
    assert (outcome.exit_code, outcome.stderr) == (0, "")


NAMES = [
    "a b",
    "-x",
    "$(touch pwned)",
    "x..",
    "new\nline",
    "[m]",
    "*",
    "a;b",
    "q'u",
    "\u202ex",
    "~",
]


def test_folders_may_be_called_anything(workplace: Workplace, sound: Soundness) -> None:
    for name in NAMES:
        workplace.group(
            {"a": 'entrypoint = "test_case:a"'},
            'def a():\n    testrium.unit().probe("done")\n',
            name=name,
        )
    outcome = workplace.run()
    sound.of(outcome, 0)
    runs = workplace.folder / ".testrium" / "runs"
    folders = [Path(group["run_dir"]) for group in outcome.report["groups"]]
    assert len(set(folders)) == len(NAMES)
    assert all(folder.is_relative_to(runs) and ".." not in folder.parts for folder in folders)
    assert not list(workplace.folder.rglob("pwned"))


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("../evil", "[Configs]\nunits = ['../evil']"),
        ("..", "[Configs]\nunits = ['..']"),
        ("a/b", "[Configs]\nunits = ['a/b']"),
        ("/etc/passwd", "[Configs]\nunits = ['/etc/passwd']"),
        ("x" * 65, f"[Configs]\nunits = ['{'x' * 65}']"),
        ("", "[Configs]\nunits = ['']"),
    ],
)
def test_names_of_units_cannot_lead_elsewhere(workplace: Workplace, name: str, table: str) -> None:
    workplace.write(workplace.folder / "group" / "config.toml", table)
    workplace.write(workplace.folder / "group" / "units" / "a.toml", "[a]\ninit = 0")
    outcome = workplace.run()
    assert outcome.exit_code == 3
    assert "must be a name" in outcome.stderr
    assert not (workplace.folder / ".testrium").exists()


def test_what_a_unit_calls_itself_cannot_lead_elsewhere(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        textwrap.dedent(
            """
            import os
            def a():
                for name in ("../evil", "/etc/x", ".", "a b"):
                    try:
                        testrium.unit(name)
                    except ValueError:
                        continue
                    raise AssertionError(name)
                with open(os.environ["TESTRIUM_PROBES"], "a") as file:
                    file.write('{"step": "x", "unit": "../evil"}\\n')
                testrium.unit().probe("done")
            """
        ),
    )
    outcome = workplace.run()
    assert outcome.codes == ["gap a"]
    assert outcome.exit_code == 4


def hello(workplace: Workplace, title: str = "", name: str = "group") -> None:
    """A group of one unit that passes."""
    code = 'def a():\n    testrium.unit().probe("done")\n'
    keys = 'entrypoint = "test_case:a"\nevents = ["done"]'
    configs = f'title = "{title}"' if title else "timeout = 10"
    workplace.group({"a": keys}, code, configs=configs, name=name)


def told(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code of a run that may have no report, and its words; no traceback is among them."""
    stdout, stderr = process.communicate(timeout=60)
    assert "Traceback" not in stdout + stderr
    return process.returncode, stdout + stderr


def begun_by(code: str) -> tuple[str, ...]:
    """The command line of Testrium, behind this preparation of its process."""
    rest = """
import os, sys
os.execv(sys.executable, [sys.executable, "-m", "testrium", *sys.argv[1:]])"""
    return (sys.executable, "-c", f"{code}\n{rest}")


def namespaces(*options: str) -> tuple[str, ...]:
    """A command that makes namespaces; skips where this user cannot, or the program is missing."""
    command = ("unshare", *options)
    try:
        done = subprocess.run([*command, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if done.returncode != 0:
        pytest.skip(f"namespaces cannot be made: {done.stderr.strip()}")
    return command


def test_signals_that_the_caller_has_blocked_are_heeded(workplace: Workplace) -> None:
    hello(workplace)
    block = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"
    report = str(workplace.folder / "report.json")
    outcome = workplace.finish(workplace.start("run", "--json", report, program=begun_by(block)))
    assert outcome.exit_code == 0
    assert outcome.report["duration_s"] < 8  # without the ends of children it is 10 s


def test_a_blocked_interrupt_ends_a_run(workplace: Workplace) -> None:
    code = 'import signal\ndef a():\n    testrium.unit().probe("up")\n    signal.pause()\n'
    folder = workplace.group({"a": 'entrypoint = "test_case:a"'}, code)
    workplace.write(folder / "test_case.py", f"open('up', 'w')\nimport testrium\n{code}")
    block = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"
    process = workplace.start("run", program=begun_by(block))
    wait_for_file(folder / "up")
    process.send_signal(signal.SIGINT)
    assert workplace.finish(process).exit_code == 130


def test_a_pid_namespace_with_the_outer_proc_is_told(workplace: Workplace) -> None:
    hello(workplace)
    program = (*namespaces("--fork", "--pid"), sys.executable, "-m", "testrium")
    code, words = told(workplace.start("run", program=program))
    assert code == 5
    assert "/proc shows the processes of another PID namespace" in words


def test_a_machine_without_proc_is_told(workplace: Workplace) -> None:
    hello(workplace)
    unshare = namespaces("--mount", "--fork")
    script = 'mount -t tmpfs none /proc && exec "$@"'
    program = (*unshare, "sh", "-c", script, "sh", sys.executable, "-m", "testrium")
    code, words = told(workplace.start("run", program=program))
    assert code == 5
    assert "/proc is missing: mount it" in words


def test_sockets_go_elsewhere_where_the_temporary_folder_has_a_long_path(
    workplace: Workplace, sound: Soundness
) -> None:
    long = workplace.folder / ("x" * 200)
    long.mkdir()
    workplace.env["TMPDIR"] = str(long)
    workplace.group(PAIR, TALK, tables=CIRCUIT)
    sound.of(workplace.run(), 0)
    assert list(long.iterdir()) == []


@pytest.mark.parametrize("above", [pytest.param(False, marks=pytest.mark.soak), True])
def test_folders_need_not_be_utf8(workplace: Workplace, above: bool) -> None:
    name = os.fsdecode(b"caf\xe9")
    if above:
        workplace.folder = workplace.folder / name
        workplace.folder.mkdir()
    hello(workplace, name="group" if above else name)
    outcome = workplace.run("--html", "page.html", "--junit", "junit.xml")
    assert outcome.exit_code == 0
    for command in ("show", "verify", "list", "check"):
        code, _ = told(workplace.start(command))
        assert code == 0, command


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"},
    ],
)
def test_titles_that_the_locale_has_no_letters_for(
    workplace: Workplace, variables: dict[str, str]
) -> None:
    hello(workplace, title="Größe → ✓")
    workplace.env.update(variables)
    outcome = workplace.run("--html", "page.html", "--junit", "junit.xml")
    assert outcome.exit_code == 0
    for command in ("show", "verify"):
        code, _ = told(workplace.start(command))
        assert code == 0, command


def test_warnings_that_are_errors_find_nothing(workplace: Workplace) -> None:
    hello(workplace)
    workplace.env.update(PYTHONWARNINGS="error", PYTHONDEVMODE="1", PYTHONWARNDEFAULTENCODING="1")
    outcome = workplace.run()
    assert outcome.exit_code == 0
    assert "Warning" not in outcome.stderr


@pytest.mark.parametrize("megabytes", [30, 40, 50, 60])
def test_too_little_memory_is_told(workplace: Workplace, megabytes: int) -> None:
    hello(workplace)
    size = megabytes * 1_000_000
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({size}, {size}))"
    code, words = told(workplace.start("run", program=begun_by(limit)))
    assert code == 5
    assert "of address space (RLIMIT_AS): a run needs 80 MB or more" in words


def limited_to(processes: int) -> tuple[str, ...]:
    """The command line of Testrium as a user who may have so many processes and threads.

    The kernel does not hold root to the limit: then it is a user of its own, who may read what root
    may. Skips where a program for that is missing.
    """
    command: tuple[str, ...] = ("prlimit", f"--nproc={processes}", sys.executable, "-m", "testrium")
    if os.geteuid() == 0:
        user = str(20_000 + os.getpid() % 10_000)  # two tests beside each other are not one user
        rights = "+dac_override,+dac_read_search"
        become = ("setpriv", "--reuid", user, "--regid", user, "--clear-groups")
        command = (*become, "--inh-caps", rights, "--ambient-caps", rights, *command)
    if not (shutil.which("prlimit") and shutil.which(command[0])):
        pytest.skip("prlimit or setpriv is not installed")
    return command


@pytest.mark.parametrize("number", [1, 2, 3, 30])
def test_too_few_processes_are_told(workplace: Workplace, number: int) -> None:
    hello(workplace)
    code, words = told(workplace.start("run", program=limited_to(number)))
    assert code == (5 if number < 30 else 0), words


#: Sends itself SIGINT when the module that its first argument names is about to be imported, in a
#: place where an exception would be forgotten, as in a callback of the import system.
INTERRUPTED = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == wanted:
            sys.meta_path.remove(self)
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                pass
wanted = sys.argv.pop(1)
sys.meta_path.insert(0, Finder())
from testrium.cli.start import start
raise SystemExit(start())
"""


@pytest.mark.parametrize(
    "module",
    [
        "testrium.run.supervisor.bootstrap",
        "testrium.cli.main",
        "click",
        "testrium.cli.run",
        "testrium.session",
        "asyncio.base_events",
        "testrium.load",
        "testrium.run.supervisor.client",
        "sqlite3",
    ],
)
def test_an_interrupt_while_it_starts_is_told(workplace: Workplace, module: str) -> None:
    hello(workplace)
    program = (sys.executable, "-c", INTERRUPTED, module)
    code, _ = told(workplace.start("run", program=program))
    assert code == 130
    assert workplace.survivors() == []


def test_an_interrupt_with_a_backlog_of_probes_ends_in_time(workplace: Workplace) -> None:
    """What is not stored then is read from the files later, as after a kill."""
    code = """
        import json, os, signal
        def a():
            line = json.dumps({"step": "done", "key": "k"}) + "\\n"
            with open(os.environ["TESTRIUM_PROBES"], "a") as file:
                file.write(line * 400_000)
            open("up", "w").close()
            signal.pause()
    """
    folder = workplace.group({"a": 'entrypoint = "test_case:a"'}, code, configs="timeout = 60")
    process = workplace.start("run")
    wait_for_file(folder / "up")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    outcome = workplace.finish(process)
    assert outcome.exit_code == 130
    assert time.monotonic() - began < 3
    assert told(workplace.start("verify"))[0] == 5  # the group was not complete
    (database,) = workplace.folder.glob(".testrium/runs/*/group/Data.db")
    with closing(sqlite3.connect(database)) as store:
        assert store.execute("SELECT count(*) FROM Events").fetchone() == (400_000,)


def test_a_killed_run_leaves_no_temporary_folder_after_the_next(
    workplace: Workplace, request: pytest.FixtureRequest
) -> None:
    temporary = Path(tempfile.mkdtemp(dir="/tmp"))  # a short path: sockets lie in it
    request.addfinalizer(lambda: shutil.rmtree(temporary))
    workplace.env["TMPDIR"] = str(temporary)
    code = "import signal\ndef a():\n    open('up', 'w').close()\n    signal.pause()\n"
    folder = workplace.group({"a": 'entrypoint = "test_case:a"'}, code)
    process = workplace.start("run")
    wait_for_file(folder / "up")
    assert list(temporary.iterdir()) != []
    process.kill()
    process.communicate()
    hello(workplace)
    assert workplace.run().exit_code == 0
    assert list(temporary.iterdir()) == []
