"""Whatever stands in a file, its reader understands it or says in words what is wrong.

Each reader gets made-up files: a hundred in each run of the tests, 20 000 in the long form.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testrium.declared.checks import Check, Metric
from testrium.declared.circuits import Circuit, RouteError, Rules, parse_hop
from testrium.declared.faults import Chaos, Fault
from testrium.declared.groups import Configs
from testrium.declared.keys import keys_of
from testrium.declared.units import Unit
from testrium.errors import ConfigError, ExitCode, InfraError, UsageError
from testrium.history.database import History, append_run
from testrium.load import load_groups
from testrium.plan.scenarios import plan_scenarios
from testrium.plan.selection import Selection
from testrium.record.probe_file import BadLineError, parse_line
from testrium.record.reader import load_evidence
from testrium.record.scenario import write_scenario
from testrium.report.archive import unpacked, write_archive
from testrium.results import RunResult
from testrium.words import Verdict

#: The long form takes minutes for each reader, and more on a busy machine.
pytestmark = pytest.mark.timeout(3600)

Rounds = Callable[[int, int], int]

SHORT, LONG = 100, 20_000


def fuzz(strategy: st.SearchStrategy[Any], check: Callable[[Any], None], examples: int) -> None:
    """Call `check` with so many things that `strategy` makes up."""

    @settings(
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        database=None,
    )
    @given(strategy)
    def checked(made_up: Any) -> None:
        check(made_up)

    checked()


def refusal(read: Callable[[], object], *errors: type[Exception]) -> str | None:
    """In which words `read` raises one of these errors; None when it returns."""
    try:
        read()
    except errors as error:
        return str(error)
    return None


# Groups --------------------------------------------------------------------------------------

#: Words that mean something somewhere, so that what is made up gets past the first check.
WORDS = st.sampled_from(
    [
        *("a", "b", "a:sent", "b:received", "a:*", "*:*", "a:x{2,1}", "a:x|b:y?", "c:z+", "a:x{"),
        *("5ms", "1h", "-1s", "1e400s", "10%", "200MB", "== 3", ">= x", "1..", "..", "5..1"),
        *("${port.p}", "${unit.a.port.p}", "${probe.a.s.f}", "${nothing", "$$", "${}", "${env.A}"),
        *("(?P<id>.+)", "(", "[a-", "(a+)+$", "test_case:main", "os:path", "x.y.z", "no/such/file"),
        *("Stop", "Reload", "Resume-ALL", "self", "runner", "TERM", "SIGKILL", "kill", "delay"),
        *("All", "DEBUG", "forbid", "run", "key", "latency", "a.p", "datetime", "/", "..", "\x00"),
    ]
)
NUMBERS = st.one_of(st.integers(-3, 40), st.integers(), st.floats())
SCALARS = st.one_of(WORDS, NUMBERS, st.booleans(), st.text(max_size=12), st.dates(), st.datetimes())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(WORDS, st.sampled_from(["log", "tcp", "sub", "by"])), inner),
    ),
    max_leaves=6,
)


def table(kind: type[Any], **fixed: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A table with some of a declaration's keys, and perhaps one that it has not."""
    names = [key for _, key in keys_of(kind)]
    known = st.dictionaries(st.sampled_from(names), VALUES, max_size=4)
    unknown = st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=1)
    return st.tuples(known, unknown).map(lambda both: {**fixed, **both[0], **both[1]})


CONFIG = st.fixed_dictionaries(
    {"Configs": table(Configs, units=["a", "b"])},
    optional={
        "verify": table(Rules),
        "circuits": st.lists(table(Circuit, route=["a:sent", "b:received"]), max_size=2),
        "checks": st.lists(table(Check), max_size=2),
        "faults": st.lists(table(Fault), max_size=2),
        "chaos": table(Chaos),
        "metrics": st.dictionaries(WORDS, table(Metric), max_size=2),
        "matrix": st.dictionaries(WORDS, VALUES, max_size=3),
        "env": st.dictionaries(st.text(max_size=5), VALUES, max_size=2),
    },
)
UNIT = table(Unit, init=0)


@st.composite
def files(draw: st.DrawFn, document: st.SearchStrategy[dict[str, Any]]) -> bytes:
    """A file of TOML, sometimes with something torn out or put in."""
    text = tomli_w.dumps(draw(document)).encode(errors="surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        cut = draw(st.integers(0, len(text)))
        gone = draw(st.integers(0, 20))
        text = text[:cut] + draw(st.binary(max_size=10)) + text[cut + gone :]
    return text


def test_groups_are_loaded_or_every_problem_is_told(rounds: Rounds) -> None:
    def check(group: tuple[bytes, bytes, bytes]) -> None:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place).resolve()
            (folder / "units").mkdir()
            (folder / "test_case.py").write_text("def main(): pass\n")
            for name, content in zip(
                ("config.toml", "units/a.toml", "units/b.toml"), group, strict=True
            ):
                (folder / name).write_bytes(content)

            def read() -> None:
                for scenario in plan_scenarios(load_groups([], cwd=folder), Selection()):
                    write_scenario(scenario, folder / "scenario.toml")

            assert refusal(read, ConfigError, UsageError) != ""

    unit_a = files(UNIT.map(lambda keys: {"a": keys}))
    unit_b = files(UNIT.map(lambda keys: {"b": {**keys, "init": 1}}))
    fuzz(st.tuples(files(CONFIG), unit_a, unit_b), check, rounds(SHORT, LONG))


# Texts ---------------------------------------------------------------------------------------


def test_hops_are_parsed_or_the_mistake_is_pointed_at(rounds: Rounds) -> None:
    parts = st.sampled_from([*"ab:|*+?{},0123 ", "unit", "step", "{2,", "{,2}", ":*", "²", "\x00"])

    def check(text: str) -> None:
        def read() -> None:
            hop = parse_hop(text)
            assert hop.most is None or hop.least <= hop.most

        assert "column" in (refusal(read, RouteError) or "column")

    made_up = st.one_of(st.text(), st.lists(parts).map("".join))
    fuzz(made_up, check, rounds(SHORT, LONG))


def test_lines_of_probe_files_are_probes_or_damage(rounds: Rounds) -> None:
    fields = st.sampled_from(
        ["step", "type", "key", "cause", "t_ns", "pid", "seq", "meta", "unit", "metric", "value"]
    )
    data = st.recursive(
        st.one_of(st.none(), st.booleans(), NUMBERS, st.text(), WORDS),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        max_leaves=5,
    )
    lines = st.dictionaries(fields, data).map(json.dumps).map(str.encode)
    torn = st.tuples(lines, st.integers(0, 60), st.binary(max_size=5)).map(
        lambda made: made[0][: made[1]] + made[2] + made[0][made[1] :]
    )
    deep = st.integers(1, 100_000).map(lambda depth: b'{"step": "s", "meta": ' + b"[" * depth)

    def check(line: bytes) -> None:
        try:
            parsed = parse_line(line)
        except BadLineError as error:
            str(error).encode()  # what is told of it can be stored and printed
            return
        with closing(sqlite3.connect(":memory:")) as database:
            database.execute("CREATE TABLE T (Value)")
            for value in parsed:
                if value is None or isinstance(value, str | int | float):
                    database.execute("INSERT INTO T VALUES (?)", (value,))

    fuzz(st.one_of(st.binary(), lines, torn, deep), check, rounds(SHORT, LONG))


# Databases and archives ----------------------------------------------------------------------

#: Where a file is damaged, with what, and how much is cut off its end.
DAMAGE = st.tuples(
    st.lists(st.tuples(st.integers(0, 1 << 17), st.binary(min_size=1, max_size=40)), max_size=6),
    st.one_of(st.just(0), st.integers(0, 1 << 17)),
)
Damage = tuple[list[tuple[int, bytes]], int]


def damaged(content: bytes, damage: Damage) -> bytes:
    changed = bytearray(content)
    for offset, replaced in damage[0]:
        begin = offset % len(changed)
        changed[begin : begin + len(replaced)] = replaced
    return bytes(changed[: len(changed) - damage[1] % len(changed)])


def test_a_history_is_read_or_set_aside(tmp_path: Path, rounds: Rounds) -> None:
    result = RunResult("20260101-120000-abcd", Verdict.PASS, ExitCode.SUCCESS, 1.0)
    assert append_run(tmp_path, result, command_line=("run",), revision=None) == ()
    content = (tmp_path / "history.db").read_bytes()

    def check(damage: Damage) -> None:
        with tempfile.TemporaryDirectory() as place:
            state = Path(place)
            (state / "history.db").write_bytes(damaged(content, damage))

            def read() -> None:
                with History(state) as history:
                    history.list_runs()
                    history.latest_results()
                    history.durations()

            assert "history.db" in (refusal(read, InfraError) or "history.db")
            for notice in append_run(state, result, command_line=("run",), revision=None):
                assert "history.db" in notice

    fuzz(DAMAGE, check, rounds(SHORT, LONG))


@pytest.fixture
def run_folder(workplace: Any) -> Path:
    """The folder of a run that passed."""
    workplace.group(
        {"a": 'entrypoint = "test_case:a"', "b": 'entrypoint = "test_case:b"'},
        """
        def a():
            testrium.unit().send("sent", key="k")

        def b():
            me = testrium.unit()
            me.wait_for("a:sent", timeout=5)
            me.receive("received", key="k", note="x" * 300)
        """,
    )
    outcome = workplace.run()
    assert outcome.exit_code == 0
    return Path(outcome.group["run_dir"]).parent


def test_a_stored_run_is_judged_or_said_to_be_damaged(run_folder: Path, rounds: Rounds) -> None:
    content = (run_folder / "group" / "Data.db").read_bytes()

    def check(damage: Damage) -> None:
        with tempfile.TemporaryDirectory() as place:
            database = Path(place) / "Data.db"
            database.write_bytes(damaged(content, damage))
            told = refusal(lambda: load_evidence(database), InfraError)
            assert "Data.db" in (told or "Data.db")

    fuzz(DAMAGE, check, rounds(SHORT, LONG))


def test_an_archive_is_unpacked_or_refused(
    run_folder: Path, tmp_path: Path, rounds: Rounds
) -> None:
    archive = tmp_path / "run.zip"
    write_archive(run_folder, [run_folder / "group"], archive)
    content = archive.read_bytes()

    def check(damage: Damage) -> None:
        archive.write_bytes(damaged(content, damage))

        def read() -> None:
            with unpacked(archive) as folder:
                assert folder.is_dir()

        assert "run.zip" in (refusal(read, UsageError) or "run.zip")

    fuzz(DAMAGE, check, rounds(SHORT, LONG))
