"""What is told of a dump of stacks."""

from __future__ import annotations

import faulthandler
import threading
from pathlib import Path

from testrium.probe import waiting
from testrium.run.diagnostics import threads_of

DUMP = """\
Thread 0x0002 (most recent call first):
  File "{folder}/part.py", line 2 in transfer
  File "{python}/threading.py", line 982 in run

Current thread 0x0001 (most recent call first):
  File "{python}/threading.py", line 1116 in wait
  File "{folder}/part.py", line 2 in transfer
  File "{folder}/part.py", line 4 in main
"""


def told(folder: Path, text: str) -> tuple[str, ...]:
    (folder / "part.py").write_text("def transfer():\n    with second:\n        pass\ntransfer()\n")
    python = str(Path(threading.__file__).parent)
    stacks = folder / "stacks.txt"
    stacks.write_text(text.replace("{folder}", str(folder)).replace("{python}", python))
    return threads_of(stacks, folder)


def test_every_thread_is_told_by_its_innermost_user_frames(tmp_path: Path) -> None:
    assert told(tmp_path, DUMP) == (
        "main thread at part.py:2 in transfer: with second:, called at part.py:4",
        "a thread at part.py:2 in transfer: with second:",
    )


def test_only_the_last_dump_counts(tmp_path: Path) -> None:
    gone = DUMP.replace("0x0002", "0x0003").replace("in transfer", "in gone")
    assert told(tmp_path, gone + DUMP) == told(tmp_path, DUMP)


def test_threads_in_one_place_are_one_line(tmp_path: Path) -> None:
    first = DUMP[: DUMP.index("Current")]
    lines = told(tmp_path, first + first.replace("0x0002", "0x0003") + DUMP)
    assert lines[1] == "3 threads at part.py:2 in transfer: with second:"


def test_a_thread_without_user_frames_is_told_too(tmp_path: Path) -> None:
    head = "Current thread 0x1 (most recent call first):"
    (line,) = told(tmp_path, f'{head}\n  File "{{python}}/queue.py", line 171 in get\n')
    assert line.startswith("main thread at ")
    assert "queue.py:171 in get" in line


def test_names_of_threads_are_told_where_python_writes_them(tmp_path: Path) -> None:
    lines = told(tmp_path, DUMP.replace("0x0002", "0x0002 [worker-1]"))
    assert lines[1].startswith("thread worker-1 at ")


def test_what_this_interpreter_writes_is_understood(tmp_path: Path) -> None:
    stop = threading.Event()
    idle = threading.Thread(target=stop.wait)
    idle.start()
    with (tmp_path / "stacks.txt").open("w") as file:
        faulthandler.dump_traceback(file, all_threads=True)
    stop.set()
    idle.join()
    lines = threads_of(tmp_path / "stacks.txt", Path(__file__).parent)
    assert any("test_stacks.py" in line and "dump_traceback" in line for line in lines)
    assert len(lines) >= 2


def test_without_a_dump_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert threads_of(tmp_path / "none.txt", tmp_path) == ()
    assert told(tmp_path, "Fatal Python error: Segmentation fault\n") == ()


def test_a_wait_for_a_probe_is_told_where_it_was_asked_for(tmp_path: Path) -> None:
    own = f'  File "{waiting.__file__}", line 100 in wait_for\n'
    lines = told(tmp_path, DUMP.replace('  File "{folder}', own + '  File "{folder}'))
    assert lines == told(tmp_path, DUMP)
