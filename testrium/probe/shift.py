"""A unit's clock that is off: what is added to the wall time of its probes, in a small file."""

from __future__ import annotations


def written(shift_ns: int) -> str:
    """The file's text, in seconds: `+3600.000000000`. faketime's library reads it too."""
    sign = "-" if shift_ns < 0 else "+"
    seconds, rest = divmod(abs(shift_ns), 1_000_000_000)
    return f"{sign}{seconds}.{rest:09d}\n"


def read_ns(path: str) -> int:
    """What the file says, in ns; 0 where there is none."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow to import
            text = file.read().strip()
    except OSError:
        return 0
    seconds, _, rest = text[1:].partition(".")
    shift_ns = int(seconds) * 1_000_000_000 + int(rest)
    return -shift_ns if text[0] == "-" else shift_ns
