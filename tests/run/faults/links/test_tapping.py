"""What a tap makes of the frames that it gets, and how little it does for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from testrium.record.probe_file import ProbeFile, ProbeLine, parse_line
from testrium.record.quick_lines import read_emitted
from testrium.run.faults.links.copies import HEADER, OPENED, RECEIVED, SENT
from testrium.run.faults.links.tapping import _Copies, _Tap, _Units
from testrium.taps.redis import RedisDecoder
from tests.taps.conversations import resp

RULE: Mapping[str, Any] = {
    "match": {"command": "RPUSH", "key": "orders"},
    "on": "request",
    "unit": "shop",
    "step": "queued",
    "type": "Send",
    "key": "${args.1}",
    "meta": {},
}


def tapped(folder: Path, *rules: Mapping[str, Any]) -> Callable[..., None]:
    """What gives pieces that one side has sent to the tap of a redis connection."""
    said = {
        "link": "redis.tcp",
        "protocol": "redis",
        "plugged": [],
        "probes": rules,
        "file": str(folder / "probes"),
        "messages": "",
    }
    tap = _Tap(said, pytest.fail)
    copies = _Copies([tap], _Units(), print)

    def give(kind: bytes, *pieces: bytes) -> None:
        copies.data_received(b"".join(HEADER.pack(kind, 1, 7, len(data)) + data for data in pieces))

    give(OPENED, json.dumps({"tap": 0, "pids": [], "peer": "127.0.0.1:9"}).encode())
    return give


def test_probes_of_a_tap_have_the_form_that_is_read_quickly(tmp_path: Path) -> None:
    give = tapped(tmp_path, RULE, {**RULE, "on": "response", "type": "Default", "key": ""})
    give(SENT, b"".join(resp("rpush", "orders", f"k{number}") for number in range(4)))
    give(RECEIVED, b":1\r\n" * 4)
    lines = (tmp_path / "probes").read_bytes().splitlines()
    columns = read_emitted(lines)
    assert columns is not None
    assert list(zip(*columns, strict=True)) == list(map(parse_line, lines))
    assert columns.key == ["k0", "k1", "k2", "k3", None, None, None, None]
    assert columns.seq == [1, 2, 3, 4, 5, 6, 7, 8]
    file = ProbeFile(str(tmp_path / "probes"), "", domain="clock")
    assert [fields[1] for fields, _, _ in file.read(1).readings] == ["shop"] * 8


def test_keys_and_metadata_of_any_text_are_written_as_they_are(tmp_path: Path) -> None:
    rule = {**RULE, "meta": {"all": "${args}", "more": "<${key}>", "none": "${reply}"}}
    give = tapped(tmp_path, rule)
    give(SENT, resp("RPUSH", "orders", 'ä"\\\n'))
    line = parse_line((tmp_path / "probes").read_bytes().removesuffix(b"\n"))
    assert isinstance(line, ProbeLine)
    assert (line.key, line.unit, line.t_ns, line.type) == ('ä"\\\n', "shop", 7, "Send")
    assert line.meta == {"all": ["orders", 'ä"\\\n'], "more": "<orders>"}


@pytest.mark.parametrize(("on", "messages"), [("request", 3), ("response", 6)])
def test_replies_become_messages_only_where_a_rule_is_about_replies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: str, messages: int
) -> None:
    made = 0
    feed = RedisDecoder.feed

    def counted(self: RedisDecoder, data: bytes, side: str) -> Any:
        nonlocal made
        found = list(feed(self, data, side))
        made += len(found)
        return found

    monkeypatch.setattr(RedisDecoder, "feed", counted)
    give = tapped(tmp_path, {**RULE, "on": on})
    give(SENT, resp("RPUSH", "orders", "k") * 3)
    give(RECEIVED, b":1\r\n" * 3)
    assert made == messages


def test_frames_that_come_together_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []

    def write(_: int, data: bytes) -> int:
        writes.append(data)
        return len(data)

    monkeypatch.setattr("os.write", write)
    order = resp("RPUSH", "orders", "k")
    give = tapped(tmp_path, RULE)
    give(SENT, *(order,) * 20)
    assert [data.count(b"\n") for data in writes] == [20]
