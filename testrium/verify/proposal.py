"""A circuit that was learned, as TOML to paste: every guess with its support behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from testrium.declared.circuits import Circuit, Hop

_UNITS = (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000))


class Proposal(NamedTuple):
    """A circuit and the support of its parts.

    `reasons` has sentences by the text of a hop or the name of a key (`within`), `remarks` by the
    number of a stage. `instances` is the number of keys that it was learned from.
    """

    circuit: Circuit
    instances: int
    reasons: Mapping[str, str]
    remarks: Mapping[int, str]


def as_toml(proposal: Proposal) -> str:
    """The `[[circuits]]` table."""
    circuit, reasons = proposal.circuit, proposal.reasons
    route: list[tuple[str, str]] = []
    for number, stage in enumerate(circuit.stages):
        several = len(stage) > 1
        if several:
            route.append(("    [", proposal.remarks[number]))
        indent = " " * (8 if several else 4)
        for hop in stage:
            route.append((f"{indent}{quoted(hop.text + count_of(hop))},", reasons[hop.text]))
        if several:
            route.append(("    ],", ""))
    lines = ["[[circuits]]", f"name = {quoted(circuit.name)}", "route = [", *_aligned(route), "]"]
    least, most = circuit.keys
    keys = [(f'keys = "{least}"' if least == most else f'keys = "{least}.."', reasons["keys"])]
    if circuit.within_ns is not None:
        keys.append((f'within = "{_duration(circuit.within_ns)}"', reasons["within"]))
    for percentile, budget_ns in circuit.budgets.items():
        name = f"p{percentile}"
        keys.append((f'{name} = "{_duration(budget_ns)}"', reasons[name]))
    if circuit.open:
        keys.append(("open = true", reasons["open"]))
    lines += _aligned(keys)
    return "".join(f"{line}\n" for line in lines)


def count_of(hop: Hop) -> str:
    """A hop's count as it stands behind it: "", `?`, `+`, `{1,3}`."""
    match hop.least, hop.most:
        case 1, 1:
            return ""
        case 0, 1:
            return "?"
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case least, most if least == most:
            return f"{{{least}}}"
        case least, most:
            return f"{{{least},{'' if most is None else most}}}"


def quoted(text: str) -> str:
    """A TOML string on one line; what a terminal would not show is escaped."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _duration(span_ns: int) -> str:
    for unit, scale in _UNITS:
        if span_ns % scale == 0:
            return f"{span_ns // scale}{unit}"
    raise AssertionError(span_ns)  # limits are whole milliseconds


def _aligned(parts: Sequence[tuple[str, str]]) -> list[str]:
    """Lines, each with its remark behind it."""
    width = max(len(part) for part, _ in parts)
    return [f"{part:<{width}}  # {_visible(why)}" if why else part for part, why in parts]


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else _escaped(char) for char in text)
