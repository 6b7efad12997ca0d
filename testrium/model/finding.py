"""One thing that is wrong."""

from typing import NamedTuple

from testrium.model.words import Code


class Finding(NamedTuple):
    """One thing that is wrong.

    `where` is its place as the contract defines it for the code. `keys` are all its keys, `key`
    the witness whose events are shown. `events` are ids, in the order that tells the story.
    `hints` are sentences of evidence, each one line ("last seen at client:sent, 1.2 ms in").
    `unit` is the unit to look at, where there is one. `explained_by` is "code where" of its cause.
    """

    code: Code
    where: str
    message: str
    circuit: str | None = None
    key: str | None = None
    keys: tuple[str, ...] = ()
    events: tuple[int, ...] = ()
    hints: tuple[str, ...] = ()
    unit: str | None = None
    t_ns: int | None = None
    explained_by: str | None = None
