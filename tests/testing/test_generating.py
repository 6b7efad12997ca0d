"""`@testing.generate`: the argument of an entrypoint, in units and in the process that draws."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from testrium import testing
from testrium.loaded_by_name import GENERATOR, import_of
from testrium.testing.generating import argument

CODE = """
from hypothesis import strategies as st
from testrium import testing

OPERATION = st.sampled_from(["put", "take", "undo", "look"])

@testing.generate(st.lists(OPERATION, max_size=30))
def client(operations):
    raise AssertionError("only units call it")

def other():
    pass
"""


def test_the_argument_of_an_example_is_the_one_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "arguments"
    file.write_bytes(pickle.dumps({"client": [1, 2], "other": "x"}))
    monkeypatch.setenv("TESTRIUM_GENERATED", str(file))
    monkeypatch.setenv("TESTRIUM_UNIT", "client")
    seen: list[Any] = []
    testing.generate(st.lists(st.integers()))(seen.extend)()
    assert seen == [1, 2]


def test_in_other_runs_the_argument_is_drawn_once_for_the_run_and_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TESTRIUM_GENERATED", raising=False)
    monkeypatch.setenv("TESTRIUM_RUN", "20261130-114730-9d7f")
    drawn = [argument(st.integers(0, 10**9)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert f"testrium: generated {drawn[0]}" in capsys.readouterr().out


def test_it_needs_a_strategy() -> None:
    def client() -> None: ...

    with pytest.raises(TypeError, match=r"@generate\(st\.lists\(\.\.\.\)\), got client"):
        testing.generate(client)


def drawn_by_seed(folder: Path, seed: int, entrypoint: str = "code:client") -> list[dict[str, Any]]:
    """What the process tells that draws; an example with put, take and undo in this order fails."""
    (folder / "code.py").write_text(CODE)
    order = {
        "folders": [str(folder)],
        "units": {"client": entrypoint},
        "examples": 200,
        "seed": seed,
        "database": str(folder / "database"),
        "file": str(folder / "arguments"),
        "orders": 0,
    }
    program = f"import os; {import_of(GENERATOR)}; serve(os.getppid())"
    told: list[dict[str, Any]] = []
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            told.append(json.loads(line))
            if "text" not in told[-1]:
                if "done" in told[-1]:
                    break
                continue
            operations = iter(pickle.loads((folder / "arguments").read_bytes())["client"])
            breaks = all(wanted in operations for wanted in ("put", "take", "undo"))
            answer = {"failed": "lost at stock:done" if breaks else ""}
            process.stdin.write(json.dumps(answer) + "\n")
            process.stdin.flush()
        process.stdin.close()
    return told


def test_an_example_that_fails_is_shrunk_to_its_three_operations(tmp_path: Path) -> None:
    told = drawn_by_seed(tmp_path, 1)
    assert told[0] == {"units": ["client"]}
    assert told[-1]["done"] == {"client": "['put', 'take', 'undo']"}, told[-1]
    again = drawn_by_seed(tmp_path, 2)  # from the database
    assert again[1]["text"] == told[-1]["done"]


@pytest.mark.soak
def test_nine_of_ten_seeds_shrink_to_the_three_operations(tmp_path: Path) -> None:
    smallest = []
    for seed in range(10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        smallest.append(drawn_by_seed(folder, seed)[-1]["done"])
    assert smallest.count({"client": "['put', 'take', 'undo']"}) >= 9, smallest


def test_code_that_cannot_be_imported_is_told(tmp_path: Path) -> None:
    assert drawn_by_seed(tmp_path, 1, "code:other") == [{"units": []}]
    (told,) = drawn_by_seed(tmp_path, 1, "nothing:client")
    assert told["error"] == "ModuleNotFoundError: No module named 'nothing'"
