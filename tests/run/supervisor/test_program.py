"""Python entrypoints end as scripts do, and their uncaught exceptions are events."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from testrium.run.supervisor.client import Exit, Supervisor
from testrium.run.supervisor.program import readable_stacks

if TYPE_CHECKING:
    from tests.run.conftest import UnitFolder


def run(
    folder: UnitFolder, code: str, *, entrypoint: str = "part:main", mode: str = "DEBUG"
) -> Exit:
    """Run `main` of this code to its end."""
    launch = folder.launch(code, entrypoint=entrypoint)._replace(mode=mode)

    async def story(supervisor: Supervisor) -> Exit:
        return await (await supervisor.spawn(launch)).ended

    return folder.run(story)


@pytest.mark.parametrize(
    ("body", "exit_code", "stderr"),
    [
        ("return 5", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit(True)", 1, ""),
        ("sys.exit('no luck')", 1, "no luck\n"),
        ("os._exit(9)", 9, ""),
    ],
)
def test_exit_codes(folder: UnitFolder, body: str, exit_code: int, stderr: str) -> None:
    end = run(folder, f"import os, sys\ndef main():\n    {body}")
    assert (end.exit_code, end.signal) == (exit_code, None)
    assert folder.text("source.err") == stderr
    assert folder.events() == []


def test_an_exception_is_told_from_the_users_first_frame(folder: UnitFolder) -> None:
    end = run(folder, "def main():\n    inner()\ndef inner():\n    raise ValueError('wrong')")
    assert end.exit_code == 1
    part = folder.path / "part.py"
    first, second, *_ = folder.text("source.err").splitlines()
    assert first == "Traceback (most recent call last):"
    assert second == f'  File "{part}", line 2, in main'
    [event] = folder.events()
    assert (event["step"], event["type"]) == ("ValueError", "Exception")
    assert event["meta"]["uncaught"] == "main"
    assert event["meta"]["message"] == "wrong"
    assert event["meta"]["traceback"] == folder.text("source.err")


@pytest.mark.parametrize(
    ("entrypoint", "code", "error", "text"),
    [
        ("gone:main", "", "ModuleNotFoundError", "No module named 'gone'"),
        ("part:mian", "def main(): pass", "AttributeError", "has no attribute 'mian'"),
        ("part:main", "def main(:", "SyntaxError", "part.py"),
        ("part:main", "import gone", "ModuleNotFoundError", "line 1, in <module>"),
        (
            "part:main",
            "def steps(): yield\ndef main(): return steps()",
            "TypeError",
            "part.py:1) is a generator (it contains `yield`): its body was not run",
        ),
    ],
)
def test_an_entrypoint_that_cannot_be_called(
    folder: UnitFolder, entrypoint: str, code: str, error: str, text: str
) -> None:
    if code:
        (folder.path / "part.py").write_text(code)
    end = run(folder, "", entrypoint=entrypoint)
    assert end.exit_code == 1
    assert text in folder.text("source.err")
    assert "testrium" not in folder.text("source.err")
    assert "importlib" not in folder.text("source.err")
    assert [event["step"] for event in folder.events()] == [error]


def test_an_entrypoint_may_be_dotted(folder: UnitFolder) -> None:
    end = run(
        folder,
        "class Host:\n    @staticmethod\n    def serve():\n        print('served')",
        entrypoint="part:Host.serve",
    )
    assert end.exit_code == 0
    assert folder.text("source.out") == "served\n"


def test_coroutines_are_run(folder: UnitFolder) -> None:
    code = "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    raise KeyError('k')"
    end = run(folder, code)
    assert end.exit_code == 1
    assert folder.text("source.err").splitlines()[1].startswith(f'  File "{folder.path}/part.py"')
    assert [event["step"] for event in folder.events()] == ["KeyError"]


def test_what_a_script_does_at_its_end(folder: UnitFolder) -> None:
    code = """
        import atexit, os, threading, time
        out = os.environ["OUT"]
        log = open(f"{out}/log", "w")                 # never closed
        go = threading.Event()
        def late():
            go.wait()
            print("thread")
        def main():
            atexit.register(print, "first registered")
            atexit.register(print, "last registered")
            threading.Thread(target=late).start()
            threading.Timer(0.05, go.set).start()
            log.write("kept")
            print("main", end=" ")
    """
    assert run(folder, code).exit_code == 0
    assert folder.text("source.out") == "main thread\nlast registered\nfirst registered\n"
    assert folder.text("log") == "kept"


def test_threads_that_die_are_events(folder: UnitFolder) -> None:
    code = """
        import sys, threading
        def fail(): raise OSError("disk")
        def main():
            for target in (fail, sys.exit):
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
    """
    assert run(folder, code).exit_code == 0
    [event] = folder.events()
    assert (event["step"], event["meta"]["uncaught"]) == ("OSError", "thread")
    _, first, *_ = event["meta"]["traceback"].splitlines()
    assert first == f'  File "{folder.path}/part.py", line 3, in fail'
    assert folder.text("source.err").endswith(event["meta"]["traceback"])
    assert "Exception in thread" in folder.text("source.err")


def test_unretrieved_exceptions_of_tasks_are_events(folder: UnitFolder) -> None:
    code = """
        import asyncio
        async def fail(): raise RuntimeError("lost")
        async def main():
            task = asyncio.create_task(fail())
            await asyncio.sleep(0)
            caught = asyncio.create_task(fail())
            try:
                await caught
            except RuntimeError:
                pass
    """
    assert run(folder, code).exit_code == 0
    [event] = folder.events()
    assert (event["step"], event["meta"]["uncaught"]) == ("RuntimeError", "task")
    assert "Task exception was never retrieved" in folder.text("source.err")


def test_forked_children_tell_too(folder: UnitFolder) -> None:
    code = """
        import os
        def main():
            child = os.fork()
            if child == 0:
                raise LookupError("in the child")
            os.waitpid(child, 0)
    """
    end = run(folder, code)
    assert end.exit_code == 0
    [event] = folder.events()
    assert event["step"] == "LookupError"


def test_an_interrupt_is_death_by_signal(folder: UnitFolder) -> None:
    code = "import os, signal\ndef main():\n    os.kill(os.getpid(), signal.SIGINT)\n    input()"
    end = run(folder, code)
    assert (end.exit_code, end.signal) == (None, "SIGINT")
    assert folder.events() == []
    assert folder.text("source.err").endswith("KeyboardInterrupt\n")


def test_multiprocessing_works_inside(folder: UnitFolder) -> None:
    code = """
        import multiprocessing
        def double(number): return 2 * number
        def main():
            for method in ("fork", "spawn"):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    print(pool.map(double, [1, 2]))
    """
    end = run(folder, code)
    assert end.exit_code == 0, folder.text("source.err")
    assert folder.text("source.out") == "[2, 4]\n[2, 4]\n"


def test_the_groups_own_modules_win(folder: UnitFolder) -> None:
    """Modules that the supervisor has imported already do not hide those of the group."""
    (folder.path / "queue.py").write_text("OWN = True")
    (folder.path / "logging.py").write_text("OWN = True")
    code = "import logging, os, queue\ndef main(): print(logging.OWN, queue.OWN, os.getpid() > 0)"
    assert run(folder, code).exit_code == 0, folder.text("source.err")
    assert folder.text("source.out") == "True True True\n"


def test_a_units_python_path_counts(folder: UnitFolder) -> None:
    (folder.path / "extra").mkdir()
    (folder.path / "extra" / "found.py").write_text("")
    launch = folder.launch(
        "import found\ndef main(): pass", env={"PYTHONPATH": str(folder.path / "extra")}
    )

    async def story(supervisor: Supervisor) -> Exit:
        return await (await supervisor.spawn(launch)).ended

    assert folder.run(story).exit_code == 0, folder.text("source.err")


@pytest.mark.parametrize(
    ("mode", "level"), [("DEBUG", 10), ("INFO", 20), ("WARNING", 30), ("EXCEPT", 40)]
)
def test_the_mode_is_the_root_loggers_level(folder: UnitFolder, mode: str, level: int) -> None:
    run(folder, "import logging\ndef main(): print(logging.getLogger().level)", mode=mode)
    assert folder.text("source.out") == f"{level}\n"


def test_lines_are_written_when_they_are_complete(folder: UnitFolder) -> None:
    run(folder, "import os\ndef main():\n    print('a line \\ud800')\n    os.kill(os.getpid(), 9)")
    assert folder.text("source.out") == "a line \\ud800\n"


def test_random_numbers_differ_between_units(folder: UnitFolder) -> None:
    code = "import random\ndef main(): print(random.random())"
    run(folder, code)
    run(folder, code)
    first, second = folder.text("source.out").split()
    assert first != second


def test_a_segfault_leaves_a_trace(folder: UnitFolder) -> None:
    end = run(folder, "import ctypes\ndef main(): ctypes.string_at(0)")
    assert end.signal == "SIGSEGV"
    for name in ("source.err", "source.stacks"):
        text = folder.text(name)
        assert text.startswith("Fatal Python error: Segmentation fault\n\nCurrent thread")
        assert "line 2 in main\n" in text
        assert "testrium" not in text


def test_a_crash_is_told_once(folder: UnitFolder) -> None:
    """Not again when a later start of the same unit is ended by a signal."""
    run(folder, "import ctypes\ndef main(): ctypes.string_at(0)")
    (folder.path / "again.py").write_text("import os\ndef main(): os.kill(os.getpid(), 9)")
    end = run(folder, "", entrypoint="again:main")
    assert end.signal == "SIGKILL"
    assert folder.text("source.err").count("Fatal Python error") == 1
    assert folder.text("source.stacks").count("Fatal Python error") == 1


def test_so_does_one_in_a_forked_child(folder: UnitFolder) -> None:
    code = """
        import ctypes, os
        def main():
            if os.fork() == 0:
                ctypes.string_at(0)
            os.wait()
    """
    assert run(folder, code).exit_code == 0
    assert "Fatal Python error: Segmentation fault" in folder.text("source.err")


def test_stacks_end_at_the_users_first_frame() -> None:
    worker = f'  File "{sys.modules[readable_stacks.__module__].__file__}", line 90 in run\n'
    dump = (
        'Thread 0x1 (most recent call first):\n  File "a.py", line 1 in f\n\n'
        f'Current thread 0x2 (most recent call first):\n  File "a.py", line 9 in main\n{worker}'
        '  File "process.py", line 1 in _bootstrap\n'
    )
    assert readable_stacks(dump) == (
        'Thread 0x1 (most recent call first):\n  File "a.py", line 1 in f\n\n'
        'Current thread 0x2 (most recent call first):\n  File "a.py", line 9 in main\n'
    )
