"""A plan as the TOML that a group's config.toml would say it with."""

from __future__ import annotations

from typing import Any

from testrium.chaos.draw import Plan
from testrium.declared.faults import Fault

#: What the name of a fault says already.
_IN_NAME = ("at", "link", "unit", "do")
_UNITS = (("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000))


def as_toml(plan: Plan) -> str:
    """The plan as `[[faults]]` tables."""
    import tomli_w

    return "\n".join(f"[[faults]]\n{tomli_w.dumps(as_table(fault))}" for fault in plan)


def brief(fault: Fault) -> str:
    """The fault in a line: `kill at worker:taken, on = 2`."""
    facts = [f"{name} = {value}" for name, value in as_table(fault).items() if name not in _IN_NAME]
    return ", ".join((fault.default_name, *facts))


def as_table(fault: Fault) -> dict[str, Any]:
    """The keys of the fault's `[[faults]]` table, as a file says them."""
    table: dict[str, Any] = {}
    if fault.at is not None:
        table["at"] = str(fault.at)
    else:
        table["link" if fault.port is not None else "unit"] = fault.target
    table["do"] = fault.do
    if fault.on > 1:
        table["on"] = fault.on
    if fault.key is not None:
        table["key"] = fault.key
    if fault.after is not None:
        table["after"] = str(fault.after)
    if fault.for_ns is not None:
        table["for"] = duration_text(fault.for_ns)
    if fault.value_ns is not None:
        sign = "" if fault.do != "clock" else "-" if fault.value_ns < 0 else "+"
        table["value"] = f"{sign}{duration_text(abs(fault.value_ns))}"
    if fault.bytes_per_s is not None:
        table["value"] = f"{fault.bytes_per_s}B/s"
    return table


def duration_text(span_ns: int) -> str:
    """A duration as files spell it, exactly: `200ms`."""
    for unit, scale in _UNITS:
        if span_ns % scale == 0:
            return f"{span_ns // scale}{unit}"
    return f"{span_ns / 1_000}us"
