"""The checks as functions: what a failure shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testrium.errors import TestriumError
from testrium.testing import (
    CheckError,
    check_absent,
    check_exists,
    check_file,
    check_json,
    check_log,
    check_that,
    check_value,
    diff,
    extract,
    normalize,
    run,
)


def message_of(check: Any, *arguments: Any, **conditions: Any) -> str:
    with pytest.raises(CheckError) as caught:
        check(*arguments, **conditions)
    return str(caught.value)


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("start\nitem 1\nitem 2\nend\n")
    check_file(
        "out.txt",
        contains=["start", "item"],
        lacks="ERROR",
        sequence=["start", "end"],
        last="end",
        ignore="noise",
        extract=r"item (?P<n>\d)",
        expect="n == 1",
    )
    check_file(tmp_path / "out.txt", contains="item", count="== 2")
    check_file(tmp_path / "out.txt", contains="item", count=2, literal=True)
    assert message_of(check_file, "out.txt", lacks="item 2") == (
        "out.txt: 1 line matches 'item 2', and none may\n  | 3: item 2"
    )
    assert message_of(check_file, "none.txt", lacks="x") == "none.txt does not exist"
    assert "is a folder" in message_of(check_file, tmp_path, lacks="x")


def test_existence() -> None:
    check_absent("x")
    assert message_of(check_exists, "x") == "x does not exist"
    Path("x").mkdir()
    check_exists("x")
    assert message_of(check_absent, "x") == "x exists, and must not"


def test_json() -> None:
    Path("out.json").write_text('{"a": [{"b": 5}], "at": "12:00:01"}')
    check_json("out.json")
    check_json("out.json", "a[0].b", equals=5)
    check_json("out.json", "a", equals=[{"b": 5}])
    check_json("out.json", "at", equals="09:09:09", normalize="datetime")
    check_json("out.json", "a[0].b", expect="3 < value < 9")
    assert message_of(check_json, "out.json", "a[0].b", equals=6) == (
        "out.json at 'a[0].b' is 5, expected 6"
    )
    assert message_of(check_json, "out.json", "a[1]", equals=6) == (
        "out.json: a has 1 item, so it has no [1]"
    )


def test_values() -> None:
    check_value("8080", equals=8080)
    check_value(None, equals=None)
    check_value({"a": 1}, equals={"a": 1})
    check_value("id=7 at 12:00", equals="id=X at 13:00", normalize=[("id=.", "id=X"), "datetime"])
    check_value("id=7", equals="id=8", normalize=("[0-9]", "N"))
    check_value(5, expect="value > 3")
    assert message_of(check_value, "a\nb", contains="c") == (
        "the value: no line matches 'c'\n  | 1: a\n  | 2: b"
    )
    check_that("total == price * n", total=30, price=10, n=3)
    assert message_of(check_that, "total == price * n", total=31, price=10, n=3) == (
        "total == price * n does not hold: total = 31, price = 10, n = 3"
    )


@pytest.mark.parametrize(
    "expression",
    [
        "sorted(x) == [1, 2]",
        "any(n > one for n in x) and x is not None",
        "x == (2, 1) and y == {'a': {1}}",
        "x if y else false",
        "min(x, key=lambda each: -each) == 2",
    ],
)
def test_an_expression_may_be_any_of_python(expression: str) -> None:
    check_that(expression, x=(2, 1), y={"a": {1}}, one=1, false=False)


def test_an_expression_of_python_fails_with_all_values() -> None:
    assert message_of(check_that, "sorted(x) == y", x=[2, 1], y=[1]) == (
        "sorted(x) == y does not hold: x = [2, 1], y = [1]"
    )
    assert message_of(check_that, "x[0] is None", x=[]) == (
        "'x[0] is None': IndexError: list index out of range: x = []"
    )
    with pytest.raises(TestriumError, match="column 7: unknown name 'foo'; known are: x"):
        check_that("1 and foo(x) is None", x=1)
    with pytest.raises(TestriumError, match="column 6: unknown name 'z'; known are: x"):
        check_that("x == z", x=1)


def test_a_map_that_gives_no_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a line\n")
    wrong: list[Any] = ["str.upper", len]
    with pytest.raises(TypeError, match=r"map takes a function, got 'str\.upper'"):
        check_file(tmp_path / "log", map=wrong[0], contains="A")
    with pytest.raises(TypeError, match="map returned 6: it must return a line, or None"):
        check_file(tmp_path / "log", map=wrong[1], contains="A")


def test_a_condition_of_python_belongs_into_an_assert() -> None:
    with pytest.raises(TypeError, match="takes an expression as text, got False: use assert"):
        check_that(False)  # type: ignore[arg-type]


def test_the_output_of_a_process() -> None:
    process = run(["sh", "-c", "echo port 80; echo warning >&2"])
    check_log(process, contains=["port", "warning"], last="port")
    assert extract(process, r"port (?P<port>\d+)", "(?P<level>w)arning") == {
        "port": "80",
        "level": "w",
    }
    assert message_of(extract, process, "(?P<x>none)") == (
        "the output of sh: no line matches '(?P<x>none)'\n  | 1: port 80\n  | 2: warning"
    )


def test_a_reference_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out.txt").write_text("at 12:00:01\ntwo\n")
    Path("ref.txt").write_text("at 09:00:00\nTWO\n")
    shown = message_of(check_file, "out.txt", golden="ref.txt", normalize="datetime")
    assert shown == (
        "out.txt differs from ref.txt (if that is meant: testrium run --update-golden)\n"
        "  | --- ref.txt\n  | +++ out.txt\n  | @@ -1,2 +1,2 @@\n"
        "  |  at <datetime>\n  | -TWO\n  | +two"
    )
    monkeypatch.setenv("TESTRIUM_UPDATE_GOLDEN", "1")
    check_file("out.txt", golden="ref.txt", normalize="datetime")
    assert Path("ref.txt").read_text() == "at 12:00:01\ntwo\n"
    assert Path("ref.txt.old").read_text() == "at 09:00:00\nTWO\n"
    assert "golden: ref.txt rewritten, the old one is ref.txt.old" in capsys.readouterr().err


def test_texts() -> None:
    assert diff("a\n12:00", "a\n13:00\n", "datetime") == ""
    assert diff("a\nb", "b\na", unordered=True) == ""
    assert diff("a", "b").splitlines()[-2:] == ["-a", "+b"]
    assert normalize("at 12:00:00 on :80", "datetime", (":80", ":P")) == "at <datetime> on :P"


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ({}, TypeError, "give a condition"),
        (
            {"contain": "x"},
            TypeError,
            "'contain' is not a condition of a check; did you mean 'contains'?",
        ),
        ({"count": 3}, ValueError, "count needs one pattern in contains"),
        (
            {"contains": "x", "count": "many"},
            ValueError,
            "invalid comparison with a number: 'many'",
        ),
        (
            {"golden": "x", "normalize": "date"},
            ValueError,
            "unknown normaliser 'date'; did you mean 'datetime'",
        ),
        ({"contains": "("}, ValueError, r"'\(', column 1: invalid regular expression"),
        ({"extract": "(?P<n>x)", "expect": "m > 1"}, ValueError, "unknown name 'm'"),
    ],
)
def test_wrong_calls(conditions: dict[str, Any], error: type[Exception], message: str) -> None:
    Path("x").write_text("x\n")
    with pytest.raises(error, match=message):
        check_file("x", **conditions)


def test_a_text_that_names_no_unit_is_the_path_of_a_file() -> None:
    Path("server.log").write_text("port=7\nTraceback (most recent call last):\n  x\nKeyError: k\n")
    assert extract("server.log", r"port=(?P<port>\d+)") == {"port": "7"}
    found = extract("server.log", r"Traceback.* (?P<kind>\w+Error)", join="traceback")
    assert found == {"kind": "KeyError"}
    check_log("server.log", contains="port=7")
    check_file(Path("server.log"), contains="Traceback.*KeyError", join="traceback")
    with pytest.raises(CheckError) as caught:
        check_log(Path("server.log"), lacks="KeyError", join="traceback")
    assert str(caught.value).endswith("  |      x\n  |    KeyError: k")
