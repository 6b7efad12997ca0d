"""Shards: how a plan is divided, and that merging them is as if all had been run at once."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.declared.groups import Group, Scenario
from testrium.plan.scenarios import Shard, shard_of, sharded
from tests.conftest import Workplace


def planned(*ids: str, repeats: int = 0) -> tuple[Scenario, ...]:
    return tuple(
        Scenario(id_, Group(id_, Path("/") / id_, ()), (), repeat=repeat)
        for id_ in ids
        for repeat in range(repeats + 1)
    )


def divided(
    scenarios: tuple[Scenario, ...], total: int, durations: dict[str, float]
) -> list[list[str]]:
    parts = [sharded(scenarios, Shard(part, total), durations) for part in range(1, total + 1)]
    return [[one.id for one in part] for part in parts]


@pytest.mark.parametrize(
    ("durations", "parts"),
    [
        ({}, [["a", "c", "e"], ["b", "d"]]),
        ({"a": 10, "b": 1, "c": 1, "d": 1, "e": 1}, [["a"], ["b", "c", "d", "e"]]),
        ({"e": 4, "d": 3, "c": 2}, [["d", "e"], ["a", "b", "c"]]),  # others: as the median, 3
    ],
)
def test_parts_are_balanced_by_what_is_known(
    durations: dict[str, float], parts: list[list[str]]
) -> None:
    assert divided(planned(*"abcde"), 2, durations) == parts


@given(
    st.lists(st.text("abcdefgh", min_size=1, max_size=3), unique=True, max_size=12),
    st.integers(1, 5),
    st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.floats(0, 100)),
)
def test_each_result_is_in_one_part(
    ids: list[str], total: int, durations: dict[str, float]
) -> None:
    parts = divided(planned(*ids, repeats=1), total, durations)
    assert sorted(itertools.chain(*parts)) == sorted([*ids, *ids])
    for one, other in itertools.combinations(parts, 2):
        assert not set(one) & set(other)  # results of a group stay together


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", ""])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected I/N, as 1/4"):
        shard_of(text)
    assert str(shard_of("2/4")) == "2/4"


def facts(report: dict[str, Any]) -> dict[str, Any]:
    groups = [
        (one["id"], one["mode"], one["verdict"], [found["code"] for found in one["findings"]])
        for one in report["groups"]
    ]
    return {"verdict": report["verdict"], "exit_code": report["exit_code"], "groups": groups}


def test_merged_shards_are_as_one_run(workplace: Workplace) -> None:
    unit = {"a": 'entrypoint = "test_case:a"'}
    for name in ("one", "two", "three"):
        code = f"def a():\n    testrium.unit().probe('x')\n    assert {name != 'two'}\n"
        tables = '[matrix]\nsize = ["small", "big"]\n' if name == "one" else ""
        workplace.group(unit, code, name=name, tables=tables)
    whole = workplace.run("--plain")
    first = workplace.run("--shard", "1/2", "--plain", "--archive", "first.zip")
    assert " of 4 results, balanced by earlier durations" in first.stdout
    assert first.report["shard"] == "1/2"
    second = workplace.run("--shard", "2/2", "--plain")
    ids = [one["id"] for one in first.report["groups"] + second.report["groups"]]
    assert sorted(ids) == ["one[size=big]", "one[size=small]", "three", "two"]
    merge = ["merge", "first.zip", second.report["run"]]
    merged = workplace.finish(workplace.start(*merge, "--json", "report.json", "--html", "m.html"))
    assert facts(dict(merged.report)) == facts(dict(whole.report))
    assert merged.exit_code == whole.exit_code == 1
    failed = next(one for one in merged.report["groups"] if one["id"] == "two")
    assert (Path(failed["run_dir"]) / "Data.db").is_file()
    assert "two" in (workplace.folder / "m.html").read_text()
    shown = workplace.finish(workplace.start("show", "two"))  # the merged run is the last one
    assert json.dumps(merged.report["run"])[1:-1] in shown.stdout
    alone = workplace.finish(workplace.start("merge", second.report["run"]))
    assert (alone.exit_code, alone.stderr) == (
        3,
        "testrium: shard 1/2 is missing: merge all shards of a run at once\n",
    )


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_four_shards_beside_each_other_are_as_one_run(workplace: Workplace) -> None:
    """Four processes, as on four machines, merged from their archives."""
    unit = {"a": 'entrypoint = "test_case:a"'}
    for number in range(10):
        code = f"def a():\n    testrium.unit().probe('x')\n    assert {number % 4 != 3}\n"
        workplace.group(unit, code, name=f"g{number}")
    whole = workplace.run("--plain")
    started = [
        workplace.start("run", "--shard", f"{part}/4", "--plain", "--archive", f"{part}.zip")
        for part in (1, 2, 3, 4)
    ]
    for process in started:  # none of them has ended all that the others have started
        process.wait(60)
    codes = {workplace.finish(process).exit_code for process in started}
    assert codes <= {0, 1}
    archives = [f"{part}.zip" for part in (1, 2, 3, 4)]
    merged = workplace.finish(workplace.start("merge", *archives, "--json", "report.json"))
    assert facts(dict(merged.report)) == facts(dict(whole.report))
    assert merged.exit_code == whole.exit_code == 1
