"""Lines that pydantic's core reads: what it says is what `parse_line` says, or it leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testrium.probe.emitter import Emitter
from testrium.record.probe_file import BadLineError, ProbeFile, ProbeLine, parse_line
from testrium.record.quick_lines import NOT_QUICK, QUICK_FROM, quick_reader, read_emitted

quick = quick_reader()

NAMES = ("step", "type", "key", "cause", "t_ns", "wall_ns", "pid", "seq", "domain", "unit", "meta")
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "step": st.sampled_from(("s", "a:b", "ä", "x" * 200)),
    "type": st.sampled_from(("Send", "Receive", "Default", "Exception", "", "send")),
    "key": st.sampled_from(("k", "k:1", "ü", "", "k" * 1025)),
    "cause": st.lists(st.sampled_from(("k", "a:b", "")), max_size=2),
    **dict.fromkeys(("t_ns", "wall_ns", "pid", "seq"), st.integers(-1, 1 << 63)),
    "domain": st.sampled_from(("clock", "a:b", "")),
    "unit": st.sampled_from(("api", "a b", "")),
}
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from((":", "a:b", "NaN", "Infinity", 1 << 80, 1e300)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)
GOOD["meta"] = st.dictionaries(st.text(max_size=3), JSON, max_size=3)


def agrees(line: bytes) -> bool:
    """Whether it was read quickly; fails where it then says something else than `parse_line`."""
    if any(odd in line for odd in NOT_QUICK):
        return False  # never given to it
    columns = quick.read([line])
    if columns is None:
        return False
    (said,) = zip(*columns, strict=True)
    slow = parse_line(line)
    assert isinstance(slow, ProbeLine)
    *fields, meta_json = said
    *expected, slow_json = slow
    assert fields == expected
    assert (meta_json and json.loads(meta_json)) == (slow_json and json.loads(slow_json))
    return True


@given(
    st.fixed_dictionaries({}, optional=GOOD),
    st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)),
    st.booleans(),
)
def test_what_is_read_quickly_is_what_is_read_slowly(
    good: dict[str, Any], wild: dict[str, Any], escaped: bool
) -> None:
    agrees(json.dumps(good, ensure_ascii=escaped).encode(errors="surrogatepass"))
    agrees(json.dumps(good | wild, ensure_ascii=escaped).encode(errors="surrogatepass"))


@given(st.lists(st.tuples(st.sampled_from((*NAMES, "other", "metric")), JSON), max_size=6))
def test_names_that_are_given_twice_are_never_read_quickly(pairs: list[tuple[str, Any]]) -> None:
    inside = ", ".join(f'"{name}": {json.dumps(value)}' for name, value in pairs)
    for line in (f"{{{inside}}}", f'{{"step": "s", "meta": {{{inside}}}}}'):
        agrees(line.encode())


@given(st.binary(max_size=60))
def test_invalid_lines_are_left_to_the_other_reader(data: bytes) -> None:
    agrees(data)
    agrees(b'{"step":"s","meta":{' + data + b"}}")


@pytest.mark.parametrize(
    "line",
    [
        b'{"step": "s", "step": "t"}',
        b'{"step": "s", "meta": {"a": 1, "a": 2}}',
        b'{"step": "s", "meta": {"a": 1, "a" : 2}}',
        b'{"step": "s:t", "step": "t"}',
        b'{"step": "s", "meta": {"a": ":", "a": 2}}',
        b'{"step": "s", "meta": {"x": 1e999}}',
        b'{"step": "s", "meta": {"x": ' + b"1" * 5000 + b"}}",
        b'{"step": "s", "meta": {"x": ' + b"[" * 99 + b"]" * 99 + b"}}",
        b'{"step": "s", "meta": {"x": ' + b"[" * 100 + b"]" * 100 + b"}}",
        b'{"step": "s", "meta": {"x": ' + b'{"y":' * 150 + b"1" + b"}" * 150 + b"}}",
        b'{"step": "s", "t_ns": 1.0}',
        b'{"step": "s", "t_ns": true}',
        b'{"step": "s", "t_ns": -0}',
        b'{"step": "s", "meta": {"x": -0, "y": -0.0, "z": 1E5, "b": 123456789012345678901}}',
        b'{"step": "s", "type": ""}',
        b'{"step": "s"} {}',
        b'\xef\xbb\xbf{"step": "s"}',
        b' \t{"step": "s"}\r',
        b'\x0c{"step": "s"}',
        b'{"step": "a\x01b"}',
        b'{"step": "a\xffb"}',
        b'{"step": "a\\/b", "meta": {"a\\"b": "\\n"}}',
        b'{"metric": "rate", "value": 1}',
    ],
)
def test_lines_at_the_edge_are_read_alike(line: bytes) -> None:
    try:
        parse_line(line)
    except BadLineError:
        assert quick.read([line]) is None
    else:
        agrees(line)


def test_the_lines_of_the_probe_api_are_read_quickly() -> None:
    assert agrees(
        b'{"step":"sent","type":"Send","key":"k:7","cause":["a","b:c"],"t_ns":5,"wall_ns":6,"pid":7,'
        b'"seq":8,"domain":"boot:1","meta":{"text":"a:b","n":[1,{"x":null}]}}'
    )


def test_a_burst_is_read_like_single_lines(tmp_path: Path) -> None:
    """Bad lines among good ones keep their words, and all keep their order."""
    text = b"".join(
        b'{"step":"s","seq":%d,"meta":{"n":%d}}\n' % (number, number) for number in range(1, 200)
    )
    text += b'{"step":"s","seq":200,"meta":{"n":"\\u00e4"}}\n{"step":""}\n\n{"stepp":"s"}\n'
    path = tmp_path / "p"
    path.write_bytes(text)
    batches = [
        ProbeFile(str(path), "u", domain="d", quick=quick).read(1, read_ns=9)
        for quick in (True, False)
    ]
    times = [[(*row[:8], *row[9:]) for row, _, _ in batch.readings] for batch in batches]
    assert times[0] == times[1]
    assert len(times[0]) == 200
    assert batches[0].damages == batches[1].damages
    assert [damage[1] for damage in batches[0].damages] == [
        "a step is empty",
        "unknown field: 'stepp'",
    ]


def emitted(path: Path, fields: list[dict[str, Any]]) -> list[bytes]:
    """The lines that this process's probes write."""
    emitter = Emitter(str(path), "")
    for each in fields:
        emitter.emit(
            each.get("step", "s"),
            each.get("type", "Default"),
            each.get("key"),
            (),
            {},
            each["unit"],
        )
    emitter.reopen()
    return path.read_bytes().splitlines()


def test_what_probes_write_is_read_by_its_form_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: list[dict[str, Any]] = [
        {"unit": None},
        {"unit": "api", "step": "s 1: a"},
        {"unit": "a.b-c_9", "type": "Send", "key": "k:1"},
        {"unit": None, "type": "Exception"},
    ]
    lines = emitted(tmp_path / "p", fields)
    columns = read_emitted(lines)
    assert columns is not None
    assert list(zip(*columns, strict=True)) == list(map(parse_line, lines))
    monkeypatch.setattr("testrium.record.probe_file.parse_line", None)  # is not called
    file = ProbeFile(str(tmp_path / "p"), "u", domain="clock")
    assert len(file.read(1).readings) == len(fields)


ONE = '{"step":"s","t_ns":1,"wall_ns":1,"pid":1,"seq":1}'


@pytest.mark.parametrize(
    "odd",
    [
        "",
        ONE[:-1],
        f"{ONE} ",
        f"{ONE}\r",
        ONE.replace(":1,", ":01,"),
        ONE.replace('"seq":1', '"seq":0'),
        ONE.replace("1}", f"{1 << 63}}}"),
        ONE.replace('"s"', '""'),
        ONE.replace('"s"', '"\\u0061"'),
        ONE.replace('"s"', '"\x07"'),
        ONE.replace('"s"', '"\u00e4"'),
        ONE.replace('"s"', f'"{"s" * 201}"'),
        ONE.replace('"s"', '"s","type":"Send"'),
        ONE.replace('"s"', '"s","type":"send"'),
        ONE.replace('"s"', '"s","key":""'),
        ONE.replace('"s"', '"s","step":"s"'),
        ONE.replace('"s"', '"s","unit":"-"'),
        ONE.replace('"s"', '"s","meta":{}'),
        f"{ONE}{ONE}",
    ],
)
def test_lines_of_another_form_are_left_to_the_other_readers(odd: str) -> None:
    lines = [ONE.encode()] * 8
    assert read_emitted(lines) is not None
    for place in (0, 4, 8):
        assert read_emitted([*lines[:place], odd.encode(), *lines[place:]]) is None


LINES = st.one_of(
    st.fixed_dictionaries({}, optional=GOOD).map(json.dumps),
    st.fixed_dictionaries({"step": st.just("s"), "t_ns": st.integers(0, 9)}).map(json.dumps),
    st.just('{"step":"s","key":"k","t_ns":3,"wall_ns":4,"pid":5,"seq":6}'),
    st.sampled_from(
        ("", "{", '{"step": "s", "step": "t"}', '{"metric": "m", "value": 1}', '{"step":"s"},{}')
    ),
)


@given(st.lists(LINES, min_size=QUICK_FROM, max_size=QUICK_FROM + 30), st.sampled_from(("u", "")))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_many_lines_are_read_as_one_by_one(tmp_path: Path, lines: list[str], unit: str) -> None:
    path = tmp_path / "p"
    path.write_text("\n".join((*lines, "")))
    found = []
    for quickly in (True, False):
        file = ProbeFile(str(path), unit, domain="clock", quick=quickly)
        batch = file.read(1, read_ns=5)
        found.append((file.low_ns, batch.damages, [row[:8] for row, *_ in batch.readings]))
    assert found[0] == found[1]


def test_columns_follow_their_lines() -> None:
    """A name that is given twice in one line is seen, whatever the other lines are."""
    good = b'{"step":"s","key":"k","meta":{"a":1}}'
    assert quick.read([good] * 60) is not None
    assert quick.read([good] * 60 + [b'{"step":"s","key":"k","key":"j","meta":{"a":1}}']) is None
    assert quick.read([good] * 60 + [b'{"type":"Send","step":"s"}']) is None
    assert quick.read([b'{"step":"a b"}', b'{"step":"s","unit":"a b"}']) is None
