"""`testrium learn`: rules of taps that are guessed from the messages of links, as TOML to paste."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

from testrium.evidence import Event
from testrium.phrases import plural
from testrium.verify.index import join_keys
from testrium.verify.learn import quoted
from testrium.words import EMPTY, EventType

#: The fields that say what a message is, by protocol; of alternatives the first that there is.
_KINDS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "http": (("method",), ("path",)),
    "redis": (("command",), ("channel", "stream", "key")),
    "amqp": (("method",), ("queue", "routing_key")),
    "mqtt": (("type",), ("topic",)),
    "nats": (("command",), ("subject",)),
    "postgresql": (("statement", "channel"),),
    "websocket": (("path",),),
}
#: A field is a key of two kinds of messages if this share of their values is the same.
_ALIKE: Final = 0.5
#: And if this share of the values of one kind differs.
_DIFFERENT: Final = 0.5
#: Leaves of a message that are looked at, how deep they may be, and characters of each.
_MOST_LEAVES: Final = 40
_DEEPEST: Final = 4
_LONGEST: Final = 200


class TappedMessage(NamedTuple):
    """A message that was kept: `side` is "request" where `client` has sent it."""

    t_ns: int
    link: str
    protocol: str
    client: str | None
    side: str
    fields: Mapping[str, Any]


class TapGuess(NamedTuple):
    """Messages of one kind that look like a hop.

    Args:
        match: the fields that tell them, with patterns.
        key: the field that looks like a key; `others` do too.
    """

    link: str
    protocol: str
    client: str
    side: str
    match: tuple[tuple[str, str], ...]
    step: str
    type: str
    key: str
    others: tuple[str, ...]
    messages: tuple[tuple[int, str], ...]  # time and key

    @property
    def events(self) -> Iterator[Event]:
        """What its messages would have been."""
        for t_ns, key in self.messages:
            yield Event(
                id=0,
                unit=self.client,
                step=self.step,
                type=self.type,
                key=key,
                cause=(),
                t_ns=t_ns,
                t_low_ns=None,
                wall_ns=0,
                domain="",
                pid=0,
                seq=None,
                start=1,
                attempt=1,
                owner=self.link,
                meta=EMPTY,
            )


def guess_taps(messages: Iterable[TappedMessage]) -> tuple[TapGuess, ...]:
    """Which messages flow where, and which of their fields look like keys."""
    kinds: dict[tuple[Any, ...], _Kind] = {}
    for message in messages:
        if message.client is None or message.protocol not in _KINDS:
            continue
        told = tuple(_told(message))
        if message.protocol == "redis" and len(told) < 2:
            continue  # of the connection itself: HELLO, CLIENT
        place = (message.link, message.protocol, message.client, message.side)
        same = tuple((name, _generalized(text)) for name, text in told)
        kinds.setdefault((*place, same), _Kind(*place)).add(message, told)
    return tuple(_chosen(list(kinds.values())))


def taps_as_toml(guesses: Sequence[TapGuess]) -> str:
    """The `[[taps]]` tables."""
    lines: list[str] = []
    for link, protocol in dict.fromkeys((each.link, each.protocol) for each in guesses):
        lines += ["[[taps]]", f"link = {quoted(link)}", f"protocol = {quoted(protocol)}", ""]
        for each in guesses:
            if (each.link, each.protocol) != (link, protocol):
                continue
            match = ", ".join(f"{_bare(name)} = {quoted(text)}" for name, text in each.match)
            different = len({key for _, key in each.messages})
            why = f"{plural(different, 'value')} in {plural(len(each.messages), 'message')}"
            if each.others:
                why += f"; {', '.join(each.others)} may be keys too"
            lines += ["[[taps.probes]]", f"match = {{ {match} }}"]
            if each.side == "response":
                lines.append('on = "response"')
            lines.append(f"at = {quoted(f'{each.client}:{each.step}')}")
            if each.type != EventType.DEFAULT:
                lines.append(f"type = {quoted(each.type)}")
            lines += [f"key = {quoted(f'${{{each.key}}}')}  # {why}", ""]
    return "\n".join(lines)


class _Kind:
    """Messages that are alike: of one client, one side and the same kind."""

    def __init__(self, link: str, protocol: str, client: str, side: str) -> None:
        self.link = link
        self.protocol = protocol
        self.client = client
        self.side = side
        self.told: dict[str, set[str]] = defaultdict(set)
        self.times: list[int] = []
        self.values: dict[str, dict[int, str]] = defaultdict(dict)  # by field: message -> value

    def add(self, message: TappedMessage, told: Sequence[tuple[str, str]]) -> None:
        for name, text in told:
            self.told[name].add(text)
        number = len(self.times)
        self.times.append(message.t_ns)
        for name, value in _leaves(message.fields):
            self.values[name][number] = value

    @property
    def match(self) -> tuple[tuple[str, str], ...]:
        return tuple(
            (name, re.escape(min(texts)) if len(texts) == 1 else _generalized(min(texts)))
            for name, texts in self.told.items()
        )

    @property
    def step(self) -> str:
        words = "-".join(min(texts) for texts in self.told.values()).lower()
        step = re.sub(r"[^\w.]+", "-", words).strip("-")[:60] or "message"
        return f"{step}-answered" if self.side == "response" and self.protocol == "http" else step

    def candidates(self) -> Iterator[tuple[str, frozenset[str]]]:
        """The fields that may be keys, with their values."""
        for name, values in self.values.items():
            different = frozenset(values.values())
            if len(different) > 1 and len(different) >= _DIFFERENT * len(values):
                yield name, different


def _chosen(kinds: list[_Kind]) -> Iterator[TapGuess]:
    """The kinds of messages that have keys in common, each with one of its fields."""
    left = dict(enumerate(kinds))
    used: dict[int, list[str]] = {}
    first: dict[int, int] = {}  # in its family
    for family in _families(kinds):
        fields: dict[int, list[str]] = defaultdict(list)
        for number, name in family:
            fields[number].append(name)
        open_ones = [number for number in fields if number in left]
        for number in fields.keys() - left.keys():
            used[number] += sorted(fields[number], key=_key_preference)
        open_ones = [each for each in open_ones if not _is_echo(each, fields, kinds)]
        if len(open_ones) < 2:
            continue
        for number in open_ones:
            first[number] = min(open_ones, key=lambda each: kinds[each].times[0])
            del left[number]
            used[number] = sorted(fields[number], key=_key_preference)
    taken: set[tuple[str, str]] = set()
    for number in sorted(used, key=lambda number: kinds[number].times[0]):
        kind, (key, *others) = kinds[number], used[number]
        step, count = kind.step, 1
        while (kind.client, step) in taken:
            count += 1
            step = f"{kind.step}-{count}"
        taken.add((kind.client, step))
        is_other = kind.client != kinds[first[number]].client
        yield TapGuess(
            kind.link,
            kind.protocol,
            kind.client,
            kind.side,
            kind.match,
            step,
            str(
                EventType.SEND
                if number == first[number]
                else EventType.RECEIVE
                if is_other
                else EventType.DEFAULT
            ),
            key,
            tuple(dict.fromkeys(others)),
            tuple((kind.times[at], value) for at, value in kind.values[key].items()),
        )


def _families(kinds: list[_Kind]) -> list[list[tuple[int, str]]]:
    """Fields of kinds that have values in common, the largest families first."""
    fields = {
        (number, name): values
        for number, kind in enumerate(kinds)
        for name, values in kind.candidates()
    }
    joined = join_keys(
        (one, other)
        for (one, values), (other, others) in combinations(fields.items(), 2)
        if one[0] != other[0] and len(values & others) >= _ALIKE * min(len(values), len(others))
    )
    families: dict[tuple[int, str], list[tuple[int, str]]] = defaultdict(list)
    for field in fields:
        families[joined.get(field, field)].append(field)
    return sorted(
        families.values(),
        key=lambda family: (
            -len({number for number, _ in family}),
            min(_key_preference(name) for _, name in family),
        ),
    )


def _is_echo(number: int, fields: Mapping[int, list[str]], kinds: list[_Kind]) -> bool:
    """Whether it is a response that only has the field of its request."""
    kind = kinds[number]
    if kind.side != "response":
        return False
    return any(
        other != number
        and kinds[other].side == "request"
        and (kinds[other].link, kinds[other].client) == (kind.link, kind.client)
        and kinds[other].match == kind.match
        and set(fields[number]) <= set(fields[other]) | {"reply"}
        for other in fields
    )


def _key_preference(name: str) -> tuple[bool, bool, int, int]:
    """What looks like the name of a key comes first, then what is short."""
    last = name.rpartition(".")[2].lower().replace("-", "_")
    is_id = last in ("id", "key", "uuid") or last.endswith(("_id", "_key"))
    return name == "key", not is_id, name.count("."), len(name)


def _told(message: TappedMessage) -> Iterator[tuple[str, str]]:
    for names in _KINDS[message.protocol]:
        for name in names:
            if isinstance(text := message.fields.get(name), str):
                yield name, text
                break


def _generalized(text: str) -> str:
    """A pattern for texts that differ in their numbers only."""
    return r"\d+".join(map(re.escape, re.split(r"\d+", text)))


def _bare(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else quoted(name)


def _leaves(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The single values in the fields of a message, each with its path."""
    found: list[tuple[str, str]] = []
    todo: list[tuple[str, Any, int]] = [(name, value, 1) for name, value in fields.items()]
    while todo and len(found) < _MOST_LEAVES:
        name, value, depth = todo.pop(0)
        if isinstance(value, str) and value[:1] in ("{", "[") and len(value) > 2:
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                continue
        if isinstance(value, Mapping | list):
            inner = value.items() if isinstance(value, Mapping) else enumerate(value)
            if depth < _DEEPEST:
                todo += [(f"{name}.{part}", each, depth + 1) for part, each in inner]
        elif isinstance(value, str | int) and 0 < len(text := str(value)) <= _LONGEST:
            found.append((name, text))
    return found
