"""Things that can be broken, and plans that break them."""

from __future__ import annotations

from hypothesis import strategies as st

from testrium.chaos import LATENCIES_NS, LENGTHS_NS, Plan, planned
from testrium.declared.faults import Chaos, Fault
from testrium.declared.units import Unit
from testrium.evidence import Event
from testrium.words import Place

#: Survives two ends; emits `taken` five times, `stored` three times.
WORKER = Unit("worker", 0, "units/worker.toml", entrypoint="m:f", in_except="Reload", restarts=2)
#: Ends the group when it ends, and is not Python.
SHELL = Unit("shell", 1, "units/shell.toml", command=("sh",), ports=("tcp",))
UNITS = (WORKER, SHELL)
CHAOS = Chaos(units=("worker", "shell"), links=(("shell", "tcp"),), budget=4)


def event(number: int, unit: str, step: str, kind: str = "Default") -> Event:
    return Event(
        number, unit, step, kind, None, (), number, None, 0, "d", 1, number, 1, 1, unit, {}
    )


CALM = tuple(
    event(number, unit, step, kind)
    for number, (unit, step, kind) in enumerate(
        [
            *[("worker", "taken", "Receive")] * 5,
            *[("worker", "stored", "Default")] * 3,
            ("worker", "ValueError", "Exception"),
            ("shell", "up", "Default"),
            ("other", "up", "Default"),
        ],
        start=1,
    )
)

_PLACES = tuple(Place("worker", step) for step in ("ready", "taken", "stored", "told"))


def faults() -> st.SearchStrategy[Fault]:
    """One fault as a campaign draws them."""
    ends = st.builds(
        lambda do, at, on: Fault("", do, at.unit, at=at, on=on),
        st.sampled_from(["kill", "exit", "raise"]),
        st.sampled_from(_PLACES),
        st.integers(1, 20),
    )
    times = st.builds(
        lambda do, at, on, for_ns: Fault("", do, at.unit, at=at, on=on, for_ns=for_ns),
        st.sampled_from(["delay", "pause"]),
        st.sampled_from(_PLACES),
        st.integers(1, 20),
        st.sampled_from(LENGTHS_NS),
    )
    links = st.builds(
        lambda after, for_ns, value_ns: Fault(
            "", "latency", "shell", port="tcp", after=after, for_ns=for_ns, value_ns=value_ns
        ),
        st.sampled_from([None, *_PLACES]),
        st.sampled_from(LENGTHS_NS),
        st.sampled_from(LATENCIES_NS),
    )
    return st.one_of(ends, times, links)


def plans_of(least: int = 1, most: int = 5) -> st.SearchStrategy[Plan]:
    """Plans whose faults are of different things."""
    different = st.lists(
        faults(), min_size=least, max_size=most, unique_by=lambda fault: fault.target
    )
    return different.map(planned)
