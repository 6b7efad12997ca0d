from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import testrium
from testrium.probe import emitter
from testrium.probe import environment as names
from testrium.probe.event import MAX_LINE

Lines = Callable[[], list[dict[str, Any]]]

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def test_a_probe_is_one_line(lines: Lines) -> None:
    before_ns = time.monotonic_ns()
    me = testrium.unit()
    me.probe("ready", port=8080)
    me.send("sent", key="k1")
    me.receive("got", key="k1", cause=["k0", "k2"])
    me.probe("stored", key="k1", cause=("k0",), rows=3, name="n")
    ready, sent, got, stored = lines()
    assert before_ns <= ready["t_ns"] <= sent["t_ns"] <= time.monotonic_ns()
    assert abs(ready["wall_ns"] - time.time_ns()) < 60e9
    assert {line["pid"] for line in lines()} == {os.getpid()}
    assert [line["seq"] for line in lines()] == [1, 2, 3, 4]
    for line in (ready, sent, got, stored):
        for name in ("t_ns", "wall_ns", "pid", "seq"):
            del line[name]
    assert ready == {"step": "ready", "meta": {"port": 8080}}
    assert sent == {"step": "sent", "type": "Send", "key": "k1"}
    assert got == {"step": "got", "type": "Receive", "key": "k1", "cause": ["k0", "k2"]}
    assert stored == {
        "step": "stored",
        "key": "k1",
        "cause": ["k0"],
        "meta": {"rows": 3, "name": "n"},
    }


def test_the_file_is_private(probes: Path) -> None:
    testrium.unit().probe("ready")
    assert probes.stat().st_mode & 0o777 == 0o600


def test_metadata_may_be_called_like_parameters(lines: Lines) -> None:
    testrium.unit().probe("s", self=1, step=2, type=3)
    assert lines()[0]["meta"] == {"self": 1, "step": 2, "type": 3}


def test_another_unit_is_named_in_the_line(lines: Lines) -> None:
    testrium.unit("source").probe("own")
    testrium.unit("other").probe("foreign")
    own, foreign = lines()
    assert "unit" not in own
    assert foreign["unit"] == "other"
    assert (own["seq"], foreign["seq"]) == (1, 2)


def test_the_runners_clock_is_not_named_but_another_one_is(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    testrium.unit().probe("here")
    assert "domain" not in lines()[0]
    monkeypatch.setenv(names.DOMAIN, "another-host")
    monkeypatch.setenv(names.PROBES, str(tmp_path / "other.jsonl"))
    testrium.unit().probe("there")
    line = json.loads((tmp_path / "other.jsonl").read_bytes())
    assert line["domain"] == names.clock_domain()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    step=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200),
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=250),
    meta=st.dictionaries(TEXT, JSON, max_size=3),
)
def test_every_text_comes_back(probes: Path, step: str, key: str, meta: dict[str, object]) -> None:
    testrium.unit().send(step, key=key, cause=[key], **meta)
    line = json.loads(probes.read_bytes().split(b"\n")[-2])
    assert (line["step"], line["key"], line["cause"]) == (step, key, [key])
    assert line.get("meta", {}) == meta


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda me: me.probe(""), ValueError),
        (lambda me: me.probe("a\nb"), ValueError),
        (lambda me: me.probe("x" * 201), ValueError),
        (lambda me: me.probe(5), TypeError),
        (lambda me: me.probe(None), TypeError),
        (lambda me: me.probe(["a"]), TypeError),
        (lambda me: me.probe("s", key=5), TypeError),
        (lambda me: me.probe("s", key=""), ValueError),
        (lambda me: me.probe("s", key="\ud800"), ValueError),
        (lambda me: me.send("s"), TypeError),
        (lambda me: me.send("s", key=None), ValueError),
        (lambda me: me.probe("s", key="k", cause="k0"), TypeError),
        (lambda me: me.probe("s", key="k", cause=[1]), TypeError),
        (lambda me: me.probe("s", x=float("nan")), ValueError),
        (lambda me: me.probe("s", x=float("inf")), ValueError),
        (lambda me: me.probe("s", x=b"bytes"), TypeError),
        (lambda me: me.probe("s", x={1: 2}), TypeError),
        (lambda me: me.probe("s", x=[{"a": {None: 2}}]), TypeError),
        (lambda me: me.probe("s", x={1, 2}), TypeError),
        (lambda me: me.probe("s", x="\udcff"), ValueError),
        (lambda me: me.probe("s", x="x" * MAX_LINE), ValueError),
        (lambda me: me.exception("text"), TypeError),
        (lambda me: me.emit("s", "Sent", "k", (), {}), ValueError),
    ],
)
def test_an_invalid_probe_is_refused_at_the_call(
    lines: Lines, call: Callable[[testrium.Unit], None], error: type[Exception]
) -> None:
    me = testrium.unit()
    me.probe("before")
    with pytest.raises(error):
        call(me)
    me.probe("after")
    assert [(line["step"], line["seq"]) for line in lines()] == [("before", 1), ("after", 2)]


def test_a_circular_value_is_refused(probes: Path) -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        testrium.unit().probe("s", x=circle)


def nested(depth: int) -> object:
    value: object = "x"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [100, 900, 100_000])
def test_a_value_that_is_nested_too_deeply_is_refused(probes: Path, depth: int) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        testrium.unit().probe("s", x=nested(depth))


def test_what_is_deep_or_has_many_brackets_is_kept(lines: Lines) -> None:
    testrium.unit().probe("s", x=nested(99), y=["[{"] * 200, z=[[]] * 200)
    (line,) = lines()
    assert line["meta"] == {"x": nested(99), "y": ["[{"] * 200, "z": [[]] * 200}


@pytest.mark.parametrize("name", ["", "*", "a b", 5])
def test_no_name_of_a_unit(name: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        testrium.unit(name)


def test_the_longest_line_that_is_allowed(lines: Lines) -> None:
    testrium.unit().probe("s", x="x" * (MAX_LINE - 400))
    assert len(lines()[0]["meta"]["x"]) == MAX_LINE - 400


def test_an_exception_keeps_its_message_and_traceback(lines: Lines) -> None:
    try:
        int("12 pieces")
    except ValueError as error:
        testrium.unit().exception(error, key="k", where="here")
    line = lines()[0]
    assert (line["step"], line["type"], line["key"]) == ("ValueError", "Exception", "k")
    assert "12 pieces" in line["meta"]["message"]
    assert "test_emitter.py" in line["meta"]["traceback"]
    assert line["meta"]["where"] == "here"


def test_an_exception_that_cannot_be_shown(lines: Lines) -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    testrium.unit().exception(OddError())
    testrium.unit().exception(FileNotFoundError("name\udcff"))
    odd, missing = lines()
    assert "RuntimeError" in odd["meta"]["message"]
    assert missing["meta"]["message"] == "name\\udcff"


@pytest.mark.usefixtures("no_run")
def test_outside_a_run_nothing_happens(tmp_path: Path) -> None:
    me = testrium.unit()
    me.probe("s")
    me.send("s", key="k")
    me.receive("s", key="k")
    me.exception(ValueError())
    emitter.emit("s")
    with pytest.raises(RuntimeError, match="only in a process that testrium run"):
        me.wait_for("a:b", timeout=1)
    assert list(tmp_path.iterdir()) == []


def test_threads_leave_no_hole(lines: Lines) -> None:
    def work(name: str) -> None:
        me = testrium.unit()
        for number in range(200):
            me.probe(name, number=number)

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [line["seq"] for line in lines()] == list(range(1, 1601))


def test_forked_children_count_for_themselves(lines: Lines) -> None:
    me = testrium.unit()
    me.probe("parent")
    child = os.fork()
    if child == 0:
        me.probe("child")
        os._exit(0)
    os.waitpid(child, 0)
    me.probe("parent")
    assert [(line["step"], line["pid"], line["seq"]) for line in lines()] == [
        ("parent", os.getpid(), 1),
        ("child", child, 1),
        ("parent", os.getpid(), 2),
    ]


def test_a_fork_while_another_thread_emits_does_not_deadlock(probes: Path) -> None:
    me = testrium.unit()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            me.probe("busy")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                me.probe("child")
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


def test_signal_handlers_that_raise_leave_no_hole(lines: Lines) -> None:
    class InterruptedByTestError(Exception):
        pass

    def interrupt(*_: object) -> NoReturn:
        me.probe("handler")
        raise InterruptedByTestError

    me = testrium.unit()
    previous = signal.signal(signal.SIGALRM, interrupt)
    hits = 0
    try:
        while hits < 200:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0003)
                while True:
                    me.probe("main")
            except InterruptedByTestError:
                hits += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    numbers = sorted(line["seq"] for line in lines())
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_program_that_closes_all_files_continues_to_emit(lines: Lines, tmp_path: Path) -> None:
    me = testrium.unit()
    me.probe("before")
    child = os.fork()
    if child == 0:
        os.closerange(3, 4096)  # as daemons do
        others = [os.open(tmp_path / f"{i}", os.O_CREAT | os.O_WRONLY) for i in range(100)]
        assert others[0] == 3
        me.probe("after")
        os._exit(0 if all(os.fstat(other).st_size == 0 for other in others) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [(line["step"], line["seq"]) for line in lines()] == [("before", 1), ("after", 1)]


def test_a_low_limit_of_open_files_does_not_matter(lines: Lines) -> None:
    previous = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, previous[1]))
    try:
        testrium.unit().probe("s")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, previous)
    assert lines()[0]["step"] == "s"


def test_a_line_that_does_not_fit_raises_and_the_next_one_is_whole(probes: Path) -> None:
    me = testrium.unit()
    me.probe("first")
    previous = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (probes.stat().st_size + 20, previous[1]))
        with pytest.raises(OSError, match="File too large") as caught:
            me.probe("cut")
        assert caught.value.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, previous)
        signal.signal(signal.SIGXFSZ, handler)
    me.probe("next")
    first, cut, after = probes.read_bytes().splitlines()
    assert len(cut) == 20
    assert [json.loads(line)["seq"] for line in (first, after)] == [1, 3]


def test_a_probe_that_returned_survives_sigkill(probes: Path) -> None:
    code = (
        "import testrium, os, signal\n"
        "me = testrium.unit()\n"
        "for i in range(100): me.probe(f's{i}')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code])
    assert done.returncode == -signal.SIGKILL
    assert len(probes.read_bytes().splitlines()) == 100


def test_importing_probes_needs_little() -> None:
    checkout = Path(testrium.__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(checkout)!r})\n"
        "import testrium.modules.events; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"typing", "re", "json", "socket", "sqlite3", "dataclasses", "pathlib", "asyncio"}
    assert heavy.isdisjoint(done.stdout.split())


def test_public_names() -> None:
    assert set(testrium.__all__) <= set(dir(testrium))
    assert testrium.Unit is emitter.UnitProbes
    assert testrium.__version__
    with pytest.raises(AttributeError):
        _ = testrium.nothing


def test_api_and_testing_are_attributes_without_an_import_of_their_own() -> None:
    code = "import testrium; print(testrium.testing.skip.__name__, testrium.api.run.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["skip", "run"]


DIES = """
import threading, testrium
testrium.unit().probe("up")
thread = threading.Thread(target=lambda: [][0])
thread.start()
thread.join()
raise {raised}
"""


@pytest.mark.parametrize(
    ("raised", "leads", "told"),
    [
        ("ValueError('no')", True, [("IndexError", "thread"), ("ValueError", "main")]),
        ("SystemExit(3)", True, [("IndexError", "thread")]),
        ("KeyboardInterrupt", True, [("IndexError", "thread")]),
        ("ValueError('no')", False, []),  # a process that the unit has started
    ],
)
def test_the_main_process_of_a_command_tells_what_it_died_of(
    lines: Lines, raised: str, leads: bool, told: list[tuple[str, str]]
) -> None:
    code = DIES.format(raised=raised)
    ended = subprocess.run(
        [sys.executable, "-c", code], start_new_session=leads, capture_output=True, check=False
    )
    assert b"IndexError" in ended.stderr
    assert [(line["step"], line["meta"]["uncaught"]) for line in lines()[1:]] == told
