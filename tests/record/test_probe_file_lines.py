from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.probe.event import MAX_LINE
from testrium.record.probe_file import (
    FIELDS,
    BadLineError,
    MetricLine,
    ProbeLine,
    parse_line,
    shown_line,
)


def probe_line(line: bytes) -> ProbeLine:
    parsed = parse_line(line)
    assert isinstance(parsed, ProbeLine)
    return parsed


def test_only_a_step_is_required() -> None:
    line = probe_line(b'{"step": "ready"}')
    assert line.step == "ready"
    assert line.type == "Default"
    assert line.cause == ()
    assert line.meta == {}
    assert (line.key, line.t_ns, line.wall_ns, line.pid, line.seq) == (None,) * 5
    assert (line.domain, line.unit, line.cause_json, line.meta_json) == (None,) * 4


def test_everything_that_a_line_may_say() -> None:
    said = {
        "step": "sent",
        "type": "Send",
        "key": "k1",
        "cause": ["k0"],
        "t_ns": 123,
        "wall_ns": 456,
        "pid": 7,
        "seq": 1,
        "domain": "edge-7",
        "meta": {"size": 3, "x": [None, 1.5]},
        "unit": "other",
    }
    line = probe_line(json.dumps(said).encode())
    for name, value in said.items():
        assert getattr(line, name) == (tuple(value) if isinstance(value, list) else value)
    assert json.loads(line.meta_json or "") == said["meta"]
    assert json.loads(line.cause_json or "") == said["cause"]


def test_null_is_as_good_as_left_out() -> None:
    names = ("type", "key", "cause", "t_ns", "wall_ns", "pid", "seq", "domain", "meta", "unit")
    assert probe_line(json.dumps({"step": "s", **dict.fromkeys(names)}).encode()) == probe_line(
        b'{"step":"s"}'
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"step": "s"', "not JSON"),
        (b'{"step": "s"} {}', "not JSON"),
        (b"[]", "not a JSON object"),
        (b'"step"', "not a JSON object"),
        (b"{}", "a step is text, not NoneType"),
        (b'{"step": 1}', "a step is text, not int"),
        (b'{"step": ""}', "a step is empty"),
        (b'{"step": "a\\nb"}', "control characters"),
        (b'{"step": "s", "stepp": "t"}', "unknown field: 'stepp'"),
        (b'{"step": "s", "step": "t"}', "twice"),
        (b'{"step": "s", "meta": {"a": 1, "a": 2}}', "twice"),
        (b'{"step": "s", "type": "send"}', "not a type of probe"),
        (b'{"step": "s", "type": ["Send"]}', "not a type of probe"),
        (b'{"step": "s", "type": "Send"}', "Send needs a key"),
        (b'{"step": "s", "key": 5}', "a key is text"),
        (b'{"step": "s", "key": ""}', "a key is empty"),
        (b'{"step": "s", "cause": "k"}', "cause is a list"),
        (b'{"step": "s", "cause": ""}', "cause is a list"),
        (b'{"step": "s", "cause": [1]}', "a key is text"),
        (b'{"step": "s", "meta": []}', "meta is an object"),
        (b'{"step": "s", "meta": [1]}', "meta is an object"),
        (b'{"step": "s", "t_ns": "1"}', "t_ns"),
        (b'{"step": "s", "t_ns": 1.5}', "t_ns"),
        (b'{"step": "s", "t_ns": true}', "t_ns"),
        (b'{"step": "s", "t_ns": -1}', "t_ns"),
        (b'{"step": "s", "t_ns": 9223372036854775808}', "t_ns"),
        (b'{"step": "s", "seq": 0}', "seq"),
        (b'{"step": "s", "pid": []}', "pid"),
        (b'{"step": "s", "unit": "a b"}', "valid name of a unit"),
        (b'{"step": "s", "domain": 1}', "text"),
        (b'{"step": "s", "meta": {"x": NaN}}', "not JSON: NaN"),
        (b'{"step": "s", "meta": {"x": 1e999}}', "JSON compliant"),
        (b'{"step": "s", "meta": {"x": "\\ud800"}}', "lone surrogate"),
        (b'{"step": "\\udc80"}', "lone surrogate"),
        (b'\xff\xfe{"step": "s"}', "not UTF-8"),
        (b'\xef\xbb\xbf{"step": "s"}', "not JSON"),
        (b'{"step": "s", "meta": {"x": ' + b"1" * 5000 + b"}}", "not JSON"),
        (b'{"step": "s", "meta": {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "nested"),
        (b'{"step": "s", "meta": {"x": ' + b"[" * 500 + b"]" * 500 + b"}}", "nested"),
        (b'{"step": "' + b"x" * MAX_LINE + b'"}', "longer than"),
    ],
)
def test_the_reason_why_a_line_is_invalid(line: bytes, reason: str) -> None:
    with pytest.raises(BadLineError) as caught:
        probe_line(line)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300


def test_windows_line_ends_do_no_harm() -> None:
    assert probe_line(b'{"step": "s"}\r').step == "s"


@given(st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    try:
        probe_line(data)
    except BadLineError:
        shown_line(data).encode()


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.fixed_dictionaries(
        {"step": JSON | st.just("s")},
        optional=dict.fromkeys(FIELDS - {"step"}, JSON),
    )
)
def test_no_object_breaks_it(value: dict[str, Any]) -> None:
    try:
        line = probe_line(json.dumps(value).encode())
    except BadLineError:
        return
    assert isinstance(line.step, str)
    assert line.type in ("Default", "Exception", "Send", "Receive")


def test_a_damaged_line_is_shown_short_and_as_text() -> None:
    assert shown_line(b"\xff" * 1000) == ("\\xff" * 1000)[:200]


# Metrics ---------------------------------------------------------------------------------------


def test_a_metric_s_line() -> None:
    assert parse_line(b'{"metric": "rate", "value": 12}') == MetricLine(
        "rate", 12.0, "", "smaller", None, None, None
    )
    whole = b'{"metric":"rate","value":1.5,"unit":"1/s","better":"larger","t_ns":3,"pid":4}'
    assert parse_line(whole) == MetricLine("rate", 1.5, "1/s", "larger", None, 3, 4)
    nulls = b'{"metric":"rate","value":1,"unit":null,"better":null,"t_ns":null,"pid":null}'
    assert parse_line(nulls) == MetricLine("rate", 1.0, "", "smaller", None, None, None)
    detailed = parse_line(b'{"metric":"rate","value":1,"details":{"rows": 3}}')
    assert detailed == MetricLine("rate", 1.0, "", "smaller", '{"rows":3}', None, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"metric": "rate"}', "value is a number"),
        (b'{"metric": "rate", "value": "12"}', "value is a number"),
        (b'{"metric": "rate", "value": true}', "value is a number"),
        (b'{"metric": "rate", "value": NaN}', "not JSON"),
        (b'{"metric": "rate", "value": 1e999}', "finite"),
        (b'{"metric": "rate", "value": 1' + b"0" * 400 + b"}", "finite"),
        (b'{"metric": "", "value": 1}', "name is empty"),
        (b'{"metric": null, "value": 1}', "name is text"),
        (b'{"metric": "a\\u0007b", "value": 1}', "control"),
        (b'{"metric": "command.p95", "value": 1}', "measures itself"),
        (b'{"metric": "duration", "value": 1}', "measures itself"),
        (b'{"metric": "rate", "value": 1, "unit": 3}', "unit is text"),
        (b'{"metric": "rate", "value": 1, "better": "higher"}', "'smaller' or 'larger'"),
        (b'{"metric": "rate", "value": 1, "step": "s"}', "unknown field: 'step'"),
        (b'{"metric": "rate", "value": 1, "pid": "x"}', "pid must be a whole number"),
    ],
)
def test_an_invalid_metric_line(line: bytes, reason: str) -> None:
    with pytest.raises(BadLineError, match=reason):
        parse_line(line)
