"""The hops of a real run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testrium.report.stored import read_run, slowest_hops

if TYPE_CHECKING:
    from tests.conftest import Workplace

CODE = """
def client():
    for number in range(3):
        testrium.unit().send("sent", key=f"k{number}")

def host():
    me = testrium.unit()
    for number in range(3):
        me.wait_for("client:sent", key=f"k{number}", timeout=10)
        me.receive("got", key=f"k{number}")
        me.probe("stored", key=f"k{number}")
"""


def test_the_legs_of_all_keys(workplace: Workplace) -> None:
    units = {name: f'entrypoint = "test_case:{name}"' for name in ("client", "host")}
    circuit = '[[circuits]]\nname = "c"\nroute = ["client:sent", "host:got", "host:stored"]'
    workplace.group(units, CODE, tables=circuit)
    workplace.run()
    (folder,) = (workplace.folder / ".testrium" / "runs").iterdir()
    result = read_run(folder)
    hops = slowest_hops(result.groups)

    assert {(hop.label, hop.start, hop.end, hop.keys) for hop in hops} == {
        ("group", "client:sent", "host:got", 3),
        ("group", "host:got", "host:stored", 3),
    }
    assert hops[0].median_ms >= hops[1].median_ms > 0
    assert len(slowest_hops(result.groups, most=1)) == 1
    gone = tuple(group._replace(run_dir=None) for group in result.groups)
    assert slowest_hops(gone) == ()
