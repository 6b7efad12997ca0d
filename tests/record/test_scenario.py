"""The scenario of a run, written and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from testrium.declared.circuits import Circuit, Hop
from testrium.declared.groups import Group, Scenario
from testrium.errors import InfraError
from testrium.record.scenario import read_circuits, write_scenario
from testrium.words import Place

SENT = Hop("a:sent", (Place("a", "sent"),))
GOT = Hop("b:got|c:got", (Place("b", "got"), Place("c", "got")), 0, None)
CIRCUITS = (
    Circuit(
        "all",
        ((SENT,), (SENT, GOT)),
        keys=(3, None),
        within_ns=5,
        p95_ns=7,
        same=("sum",),
        never=(Hop(GOT.text, GOT.places),),
        fifo=True,
        open=True,
        per="run",
    ),
    Circuit("least", ((SENT,),), keys=(1, 2)),
)


def test_circuits_come_back(tmp_path: Path) -> None:
    group = Group("g", tmp_path, (), circuits=CIRCUITS)
    write_scenario(Scenario("g", group, ()), tmp_path / "scenario.toml")
    assert read_circuits(tmp_path / "scenario.toml") == CIRCUITS


@pytest.mark.parametrize(
    "text",
    ["", "[group]\ncircuits = [{}]", "no toml", f"a = {'[' * 100_000}", f"a{'.a' * 50_000} = 1"],
    ids=["empty", "no group", "no TOML", "nested", "dotted"],
)
def test_an_invalid_scenario_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "scenario.toml").write_text(text)
    with pytest.raises(InfraError, match=r"cannot read .*scenario\.toml"):
        read_circuits(tmp_path / "scenario.toml")
