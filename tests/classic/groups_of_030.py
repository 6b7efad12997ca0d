"""Small groups in the style of testrium 0.3.0, with the exit code that it gave each of them.

    python groups_of_030.py TESTRIUM    run them with that program, and print its exit codes

Where ours is another, `difference` names the line of `docs/reference/classic-api.md` that says so.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

#: The folder that 0.3.0 takes for a group has "test" in its name.
GROUP = "test_group"

#: A unit `a` that emits `ready`, which it has to.
A = {"a": 'entrypoint = "test_case:a"\nevents = ["ready"]'}

HEAD = """
import sys, time
from testrium.modules.events import Events_Manager
from testrium.common.utils import test_config, verify_condition

def emit(unit, step, kind="Default", key=None):
    more = {} if key is None else {"event_key": key}
    Events_Manager(Unit=unit, path=".").Set_Event(step, event_type=kind, **more)

def wait(step, unit, timeout=5):
    return Events_Manager(Unit="*", path=".").wait_for_event(step, unit=unit, timeout=timeout)
"""

READY = """
def a():
    emit("a", "ready")
"""


class Case(NamedTuple):
    """A group; `then` is the exit code of 0.3.0, `now` is ours where it is another one."""

    then: int
    code: str
    units: Mapping[str, str] = A
    configs: str = ""
    files: Mapping[str, str] = {}
    folder: str = GROUP
    now: int | None = None
    difference: str = ""

    @property
    def expected(self) -> int:
        return self.then if self.now is None else self.now

    def write(self, base: Path, folder: str | None = None) -> Path:
        """Write the group below `base`; returns its folder."""
        group = base / (folder or self.folder)
        (group / "units").mkdir(parents=True)
        names = ", ".join(f'"{name}"' for name in self.units)
        defaults = {"units": f"[{names}]", "timeout": "5"}
        lines = [f"{key} = {value}" for key, value in defaults.items() if key not in self.configs]
        text = "\n".join(['["Configs"]', *lines, self.configs, ""])
        (group / "config.toml").write_text(text)
        for init, (name, keys) in enumerate(self.units.items()):
            text = textwrap.dedent(keys)
            if not text.startswith("# as it is"):
                text = f"init = {init}\n{text}"
            (group / "units" / f"{name}.toml").write_text(f'["{name}"]\n{text}\n')
        (group / "test_case.py").write_text(HEAD + textwrap.dedent(self.code))
        for name, text in self.files.items():
            (group / name).parent.mkdir(parents=True, exist_ok=True)
            (group / name).write_text(
                HEAD + textwrap.dedent(text) if name.endswith(".py") else text
            )
        return group


def two(a: str = "", b: str = "") -> dict[str, str]:
    """Two units, each with the event `ready`."""
    base = 'entrypoint = "test_case:{0}"\nevents = ["ready"]\n'
    return {"a": base.format("a") + a, "b": base.format("b") + b}


BOTH = """
def a():
    emit("a", "ready")
def b():
    emit("b", "ready")
"""

CASES = {
    "one unit": Case(0, READY),
    "a command crosses two units": Case(
        0,
        """
        def target():
            emit("target", "target-ready")
            if wait("command-sent", "source"):
                emit("target", "command-received", "Receive", "request-001")
        def source():
            emit("source", "command-sent", "Send", "request-001")
            if wait("command-received", "target"):
                emit("source", "response-received")
        """,
        {
            "target": """
                entrypoint = "test_case:target"
                ready_event = "target-ready"
                events = ["target-ready", "command-received"]
                """,
            "source": """
                entrypoint = "test_case:source"
                unit_dependencies = ["target"]
                events = ["command-sent", "response-received"]
                """,
        },
    ),
    "a missing event": Case(1, READY, {"a": A["a"].replace('"]', '", "never"]')}, "timeout = 1"),
    "a unit that raises": Case(1, "def a():\n    raise ValueError(1)\n"),
    "one that raises once its events are in": Case(1, READY + "    raise ValueError(1)\n"),
    "an exit code": Case(1, READY + "    sys.exit(3)\n"),
    "a Send that nobody received": Case(
        1, READY + '    emit("a", "s", "Send", "k")\n', configs="timeout = 1"
    ),
    "a Receive that nobody sent": Case(
        1, READY + '    emit("a", "r", "Receive", "k")\n', configs="timeout = 1"
    ),
    "a key sent twice": Case(
        1,
        READY
        + '    emit("a", "s", "Send", "k")\n    emit("a", "s", "Send", "k")\n'
        + '    emit("a", "r", "Receive", "k")\n',
    ),
    "a broadcast": Case(
        1,
        """
        def a():
            emit("a", "s", "Send", "k")
            emit("a", "ready")
        def b():
            wait("s", "a")
            emit("b", "r", "Receive", "k")
            emit("b", "ready")
        def c():
            wait("s", "a")
            emit("c", "r", "Receive", "k")
            emit("c", "ready")
        """,
        {**two(), "c": 'entrypoint = "test_case:c"\nevents = ["ready"]'},
        now=0,
        difference="A broadcast.",
    ),
    "an Exception event": Case(
        0, READY + '    emit("a", "boom", "Exception")\n', now=1, difference="An Exception event."
    ),
    "a unit that goes on": Case(
        0,
        READY + "    time.sleep(60)\n",
        configs="timeout = 1",
        now=1,
        difference="A unit that continues.",
    ),
    "no event declared": Case(
        0,
        "def a():\n    pass\n",
        {"a": 'entrypoint = "test_case:a"\nevents = []'},
        now=1,
        difference="A unit without probes.",
    ),
    "`events` left out": Case(
        3, READY, {"a": 'entrypoint = "test_case:a"'}, now=0, difference="Defaults for all keys."
    ),
    "`init` left out": Case(
        3, READY, {"a": "# as it is\n" + A["a"]}, now=0, difference="Defaults for all keys."
    ),
    "a test that passes": Case(0, READY + "def test_one():\n    verify_condition(True)\n"),
    "a test that fails": Case(1, READY + "def test_one():\n    verify_condition(False)\n"),
    "a test that returns False": Case(
        0,
        READY + "def test_one():\n    return False\n",
        now=1,
        difference="A test that returns something.",
    ),
    "a test in another module": Case(
        1, READY, files={"other.py": "def test_one():\n    assert 0\n"}
    ),
    "tests that run side by side": Case(
        0,
        READY
        + "@test_config(priority=1, parallelize=True)\ndef test_one():\n    pass\n"
        + "@test_config(priority=1, parallelize=True)\ndef test_two():\n    pass\n",
    ),
    "tests alone": Case(0, "def test_one():\n    pass\n", {}),
    "tests alone, one fails": Case(1, "def test_one():\n    assert 0\n", {}),
    "a test that opens a file beside config.toml": Case(
        1,
        READY + "def test_one():\n    open('config.toml').close()\n",
        now=0,
        difference="Test functions in the group's folder.",
    ),
    "validate_test returns True": Case(
        0, READY + "def test_one(): pass\ndef validate_test(name): return True\n"
    ),
    "validate_test returns False": Case(
        1, READY + "def test_one(): pass\ndef validate_test(name): return False\n"
    ),
    "validate_test returns nothing": Case(
        1,
        READY + "def test_one(): pass\ndef validate_test(name): pass\n",
        now=0,
        difference="A callback that returns nothing.",
    ),
    "tests_results returns True": Case(
        0, READY + "def tests_results(data): return data['passed']\n"
    ),
    "tests_results returns nothing": Case(
        1,
        READY + "def tests_results(data): pass\n",
        now=0,
        difference="A callback that returns nothing.",
    ),
    "tests_results raises": Case(
        3,
        READY + "def tests_results(data): raise ValueError(1)\n",
        now=1,
        difference="A callback that raises.",
    ),
    "tests_results looks at the unit processes": Case(
        0,
        READY
        + "def tests_results(data):\n    (units,) = data['tests_results']\n"
        + "    return units['name'] == 'unit_processes' and units['details'][0]['exitcode'] == 0\n",
    ),
    "setup.py": Case(0, READY, files={"setup.py": "def main():\n    pass\n"}),
    "setup.py that raises": Case(
        1, READY, files={"setup.py": "def main():\n    raise ValueError(1)\n"}
    ),
    "a server in setup.py": Case(
        0,
        READY,
        {"a": A["a"] + "\nuse_setup = true"},
        files={"setup.py": 'def main():\n    emit("setup", "setup-ready")\n    time.sleep(60)\n'},
    ),
    "a server in setup.py that never says so": Case(
        0,
        READY,
        {"a": A["a"] + "\nuse_setup = true"},
        "timeout = 1",
        files={"setup.py": "def main():\n    time.sleep(60)\n"},
        now=1,
        difference="A server in setup.py that never says so.",
    ),
    "teardown.py that raises": Case(
        0,
        READY,
        files={"teardown.py": "def main():\n    raise ValueError(1)\n"},
        now=1,
        difference="teardown.py.",
    ),
    "old spellings": Case(
        0,
        BOTH,
        two("", 'unity_depencies = ["a"]'),
        "analitics = true\nsave-analitics = false\nsave-performance = false",
    ),
    "all modes": Case(0, READY, configs='test-modes = "All"'),
    "repeats": Case(0, READY, configs="repeat = 1"),
    "a unit that is off": Case(0, BOTH, two("", "enabled = false")),
    "a group that is off": Case(
        2, READY, configs="enabled = false", now=0, difference="A group that is off."
    ),
    "not ready in time": Case(
        1,
        BOTH.replace('emit("a", "ready")', "time.sleep(3)"),
        two('ready_event = "ready"\nready_timeout = 0.5', 'unit_dependencies = ["a"]'),
        "timeout = 2",
    ),
    "a unit's own timeout": Case(
        1, "def a():\n    time.sleep(60)\n", {"a": A["a"] + "\ntimeout = 0.5"}, "timeout = 3"
    ),
    "Reload": Case(
        1,
        """
        import pathlib
        def a():
            first = not pathlib.Path(__file__).with_name("ran").exists()
            pathlib.Path(__file__).with_name("ran").touch()
            if first:
                sys.exit(3)
            emit("a", "ready")
        """,
        {"a": A["a"] + '\nin-except = "Reload"'},
        now=0,
        difference="Reload and Resume-ALL.",
    ),
    "Resume": Case(
        1, BOTH + "    sys.exit(3)\n", two('in-except = "Resume"', 'in-except = "Resume"')
    ),
    "Stop": Case(3, READY, {"a": A["a"] + '\nin-except = "Stop"'}, now=0, difference="in-except."),
    "a key that nobody knows": Case(
        0, READY, configs="colour = 1", now=3, difference="An unknown key."
    ),
    "a timeout of 0": Case(3, READY, configs="timeout = 0"),
    "too many repeats": Case(3, READY, configs="repeat = 11"),
    "two units with one init": Case(
        3,
        BOTH,
        {"a": A["a"], "b": '# as it is\ninit = 0\nevents = ["ready"]\nentrypoint = "test_case:b"'},
    ),
    "a dependency that is not there": Case(3, READY, {"a": A["a"] + '\nunit_dependencies = ["z"]'}),
    "a dependency on itself": Case(
        1,
        READY,
        {"a": A["a"] + '\nunit_dependencies = ["a"]'},
        now=3,
        difference="A circle of dependencies.",
    ),
    "a circle of dependencies": Case(
        1,
        BOTH,
        two('unit_dependencies = ["b"]', 'unit_dependencies = ["a"]'),
        now=3,
        difference="A circle of dependencies.",
    ),
    "a dependency that is off": Case(3, BOTH, two("enabled = false", 'unit_dependencies = ["a"]')),
    "a unit without a file": Case(3, READY, configs='units = ["a", "b"]'),
    "a file without a unit": Case(
        0, BOTH, two(), 'units = ["a"]', now=3, difference="A file that is not listed."
    ),
    "an entrypoint without a function": Case(
        3, READY, {"a": 'entrypoint = "test_case"\nevents = ["ready"]'}
    ),
    "an entrypoint that is not there": Case(
        1,
        READY,
        {"a": 'entrypoint = "test_case:z"\nevents = ["ready"]'},
        "timeout = 2",
        now=3,
        difference="Reading before running.",
    ),
    "a Receive before its Send": Case(
        0,
        """
        def a():
            emit("a", "got", "Receive", "1")
            emit("a", "sent", "Send", "1")
            emit("a", "ready")
        """,
        now=1,
        difference="A Receive before its Send.",
    ),
    "a thread that raises": Case(
        0,
        """
        import threading
        def a():
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
            emit("a", "ready")
        """,
        now=1,
        difference="A thread that raises.",
    ),
    "an async test that fails": Case(
        0,
        READY + "async def test_one():\n    assert False\n",
        now=1,
        difference="`async def`.",
    ),
    "a test that exits": Case(
        0, READY + "def test_one():\n    sys.exit(0)\n", now=1, difference="A test that exits."
    ),
    "a repeat that fails": Case(
        0,
        """
        import os
        def a():
            assert not os.path.exists("made")
            open("made", "w").close()
            emit("a", "ready")
        """,
        configs="repeat = 1",
        now=1,
        difference="repeat.",
    ),
    "a wait for a unit that is not there": Case(
        0,
        """
        def a():
            wait("ready", "nobody", 0.5)
            emit("a", "ready")
        """,
        now=1,
        difference="A wait for an unknown unit.",
    ),
    "a module beside test_case.py": Case(
        1,
        "from beside import a\n",
        files={"beside.py": READY},
        now=0,
        difference="Modules of the group.",
    ),
    "Resume-ALL": Case(
        1,
        """
        import os
        def a():
            if not os.path.exists("made"):
                open("made", "w").close()
                raise ValueError("the first time")
            emit("a", "ready")
        """,
        {"a": A["a"] + '\nin-except = "Resume-ALL"'},
        now=0,
        difference="Reload and Resume-ALL.",
    ),
    "a test class": Case(
        0,
        READY + "class TestMore:\n    def test_one(self):\n        assert False\n",
        now=3,
        difference="A test class.",
    ),
    "a mode that the group does not support": Case(
        0,
        READY,
        configs='debug-modes = ["INFO"]\ntest-modes = "DEBUG"',
        now=3,
        difference="Modes.",
    ),
    "use-ai without a command": Case(
        0, READY, configs="use-ai = true", now=3, difference="use-ai."
    ),
    "a name with a space": Case(
        0,
        'def a():\n    emit("a b", "ready")\n',
        {"a b": A["a"]},
        now=3,
        difference="Names of units.",
    ),
    "a syntax error": Case(1, "def a(:\n", now=3, difference="Reading before running."),
    "setup.py without main()": Case(
        1,
        READY,
        files={"setup.py": "x = 1\n"},
        now=3,
        difference="Reading before running.",
    ),
    "a folder of another name": Case(
        2, READY, folder="shop", now=0, difference="Groups by content."
    ),
    "a group two folders below": Case(
        2, READY, folder="shop/test_order", now=0, difference="Groups by content."
    ),
    "a group below another one": Case(
        0,
        READY,
        files={
            "test_inner/config.toml": '["Configs"]\nunits = ["a"]\ntimeout = 5\n',
            "test_inner/units/a.toml": f'["a"]\ninit = 0\n{A["a"]}\n',
            "test_inner/test_case.py": READY,
        },
        now=3,
        difference="Groups by content.",
    ),
    "nothing to run": Case(1, "x = 1\n", {}, now=3, difference="A group that has nothing to run."),
    "two callbacks of one name": Case(
        0,
        READY + "def tests_results(data): return True\n",
        files={"other.py": "def tests_results(data): return True\n"},
        now=3,
        difference="Two callbacks.",
    ),
    "a unit that goes on, under the old rule": Case(
        0, READY + "    time.sleep(60)\n", configs="classic = true"
    ),
    "a unit that answers its stop with an exit code": Case(
        0,
        """
        import signal
        def a():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
            emit("a", "ready")
            time.sleep(60)
        """,
        configs="classic = true",
        now=1,
        difference="The exit code of a unit that is stopped.",
    ),
    "a key that takes two hops": Case(
        1,
        """
        def a():
            emit("a", "s", "Send", "k")
            emit("a", "ready")
        def b():
            wait("s", "a")
            emit("b", "r", "Receive", "k")
            emit("b", "s", "Send", "k")
            emit("b", "ready")
        def c():
            wait("s", "b")
            emit("c", "r", "Receive", "k")
            emit("c", "ready")
        """,
        {**two(), "c": 'entrypoint = "test_case:c"\nevents = ["ready"]'},
        now=0,
        difference="A broadcast.",
    ),
    "events for another unit": Case(
        0,
        """
        def a():
            emit("a", "ready")
            emit("b", "ready")
        def b():
            pass
        """,
        two(),
    ),
    "tests in the order of their priority": Case(
        0,
        READY
        + "done = []\n"
        + "@test_config(priority=2)\ndef test_a(): assert done == ['b']\n"
        + "@test_config(priority=1)\ndef test_b(): done.append('b')\n",
    ),
    "a callback that asks Data.db": Case(
        0,
        READY
        + "import os, sqlite3\n"
        + "def tests_results(data):\n"
        + "    database = sqlite3.connect(os.environ['TESTRIUM_EVENT_DB'])\n"
        + "    return database.execute('SELECT Unit, StepCompleted FROM Events').fetchall() == ["
        + "('a', 'ready')]\n",
    ),
    "a query for events without a key": Case(
        0,
        READY
        + "import os, sqlite3\n"
        + "def tests_results(data):\n"
        + "    database = sqlite3.connect(os.environ['TESTRIUM_EVENT_DB'])\n"
        + "    return database.execute(\"SELECT ID FROM Events WHERE EventKey = ''\").fetchall()\n",
        now=1,
        difference="Columns of Data.db.",
    ),
    "a test that yields": Case(
        0,
        READY + "def test_one():\n    yield 1\n",
        now=1,
        difference="A test that returns something.",
    ),
    "a timeout with its unit": Case(
        3, READY, configs='timeout = "5s"', now=0, difference="Durations."
    ),
    "a test that a call makes": Case(
        1,
        READY
        + "import functools\ndef check(x): assert x\ntest_one = functools.partial(check, 0)\n",
        now=0,
        difference="A test that a call makes.",
    ),
    "a broken module without tests": Case(
        1, READY, files={"other.py": "def x(:\n"}, now=0, difference="Modules without tests."
    ),
    "a test in conftest.py": Case(
        1,
        READY,
        files={"conftest.py": "def test_one():\n    assert 0\n"},
        now=0,
        difference="conftest.py.",
    ),
    "an async entrypoint": Case(
        1, READY.replace("def", "async def"), now=0, difference="`async def`."
    ),
    "an entrypoint with arguments": Case(
        1, READY.replace("a()", "a(x)"), now=3, difference="Reading before running."
    ),
    "setup.py with arguments": Case(
        1,
        READY,
        files={"setup.py": "def main(x):\n    pass\n"},
        now=3,
        difference="Reading before running.",
    ),
    "`units` left out": Case(
        1,
        READY,
        files={"config.toml": "[Configs]\ntimeout = 5\n"},
        now=3,
        difference="Reading before running.",
    ),
    "a second table in a unit file": Case(
        0, READY, {"a": A["a"] + '\n["b"]\ninit = 3'}, now=3, difference="An unknown key."
    ),
    "an empty step": Case(0, READY + '    emit("a", "")\n', now=1, difference="An empty step."),
    "a process that setup.py leaves": Case(
        0,
        READY,
        files={"setup.py": "import subprocess\ndef main(): subprocess.Popen(['sleep', '3'])\n"},
        now=1,
        difference="What is left behind.",
    ),
    "a task that dies": Case(
        0,
        """
        import asyncio
        async def dies():
            1 / 0
        async def main():
            task = asyncio.create_task(dies())
            await asyncio.wait([task])
        def a():
            asyncio.run(main())
            emit("a", "ready")
        """,
        now=1,
        difference="A thread that raises.",
    ),
}


def main() -> None:
    """Record the exit codes of a program."""
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as base:
            case.write(Path(base))
            done = subprocess.run([sys.argv[1], "run"], cwd=base, capture_output=True, check=False)
        mark = "" if done.returncode == case.then else f"  <-- recorded: {case.then}"
        print(f"{done.returncode}  {name}{mark}", flush=True)  # noqa: T201 - a program


if __name__ == "__main__":
    main()
