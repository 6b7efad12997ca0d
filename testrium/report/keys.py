"""Which keys belong together: causes join them to one way through the system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from testrium.model import Event


def joined_keys(events: Iterable[Event]) -> Mapping[str, str]:
    """For every key and every cause the way that it belongs to, named by its first key."""
    above: dict[str, str] = {}

    def root_of(key: str) -> str:
        while (parent := above.setdefault(key, key)) != key:
            above[key] = above.setdefault(parent, parent)
            key = above[key]
        return key

    for event in events:
        keys = event.cause if event.key is None else (event.key, *event.cause)
        for key in keys:
            above[root_of(key)] = root_of(keys[0])
    first: dict[str, str] = {}
    return {key: first.setdefault(root_of(key), key) for key in tuple(above)}


def way_name(event: Event, joined: Mapping[str, str]) -> str | None:
    """The way that an event belongs to, if it has a key or a cause."""
    key = event.key if event.key is not None else next(iter(event.cause), None)
    return None if key is None else joined[key]


def way_of(key: str, events: Sequence[Event]) -> tuple[Event, ...]:
    """The events of a key and of all keys that causes join with it; () where it has none."""
    joined = joined_keys(events)
    if key not in joined:
        return ()
    return tuple(event for event in events if way_name(event, joined) == joined[key])
