"""Conditions on lines: what holds, what does not, and what a failure shows."""

from __future__ import annotations

from typing import Any

import pytest

from testrium.checks.conditions import (
    MOST_FAILURES,
    MOST_SHOWN,
    Failure,
    Stream,
    Text,
    compare,
    join_of,
    text_failures,
    text_of,
    told,
)
from testrium.declared.checks import Check

LOG = """\
start
[info] item 1
[info] item 2
total=30 price=10 n=3

end
"""


def failures(log: str = LOG, **conditions: Any) -> list[str]:
    check = Check("c", file="out.txt", **conditions)
    return [failure.message for failure in text_failures(check, text_of("out.txt", log))]


@pytest.mark.parametrize(
    "conditions",
    [
        {"contains": ("item \\d",)},
        {"contains": ("^start$", "^end$")},
        {"contains": ("[info]",), "literal": True},
        {"lacks": ("ERROR", "item 3")},
        {"sequence": ("start", "item", "item", "end")},
        {"sequence": ("item 1", "total")},
        {"last": "^end$"},
        {"contains": ("item",), "counted": ("==", 2)},
        {"contains": ("item",), "counted": (">=", 1)},
        {"contains": ("nothing",), "counted": ("==", 0)},
        {"lacks": ("item 1",), "ignore": ("item 1",)},
        {"last": "total", "ignore": ("end",)},
        {"extract": (r"total=(?P<total>\d+) price=(?P<price>\d+) n=(?P<n>\d+)",)}
        | {"expect": ("total == price * n", "n in [1, 2, 3]")},
        {"extract": (r"item (?P<first>\d)", r"n=(?P<n>\d)"), "expect": ("first < n",)},
    ],
)
def test_what_holds(conditions: dict[str, Any]) -> None:
    assert failures(**conditions) == []


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"contains": ("item 3",)}, "out.txt: no line matches 'item 3'"),
        ({"contains": ("info.",), "literal": True}, "out.txt: no line matches 'info.'"),
        ({"lacks": ("item",)}, "out.txt: 2 lines match 'item', and none may"),
        (
            {"sequence": ("item 2", "item 1")},
            "out.txt: no line after these matches 'item 1', number 2 of 2 of the sequence",
        ),
        (
            {"sequence": ("nothing", "item 1")},
            "out.txt: no line matches 'nothing', number 1 of 2 of the sequence",
        ),
        # A line counts once: the next pattern is searched in the lines behind it.
        (
            {"sequence": ("total", "price")},
            "out.txt: no line after these matches 'price', number 2 of 2 of the sequence",
        ),
        ({"last": "start"}, "out.txt: the last line does not match 'start'"),
        (
            {"contains": ("item",), "counted": ("==", 3)},
            "out.txt: 2 lines match 'item', expected == 3",
        ),
        (
            {"contains": ("x",), "counted": (">", 0)},
            "out.txt: no lines match 'x', expected > 0",
        ),
        (
            {"extract": (r"total=(?P<total>\d+)",), "expect": ("total < 30",)},
            "total < 30 does not hold: total = 30",
        ),
        (
            {"extract": (r"(?P<word>start)",), "expect": ("word > 3",)},
            "'word > 3': 'start' is not a number: word = start",
        ),
        ({"extract": (r"sum=(?P<sum>\d+)",)}, r"out.txt: no line matches 'sum=(?P<sum>\d+)'"),
    ],
)
def test_what_does_not_hold(conditions: dict[str, Any], message: str) -> None:
    assert failures(**conditions) == [message]


def test_an_empty_text_has_no_last_line() -> None:
    assert failures("\n \n", last="x") == ["out.txt: it has no line that could match 'x'"]


def test_of_very_many_failures_the_first_are_told() -> None:
    many = [Failure("x" * 20_000, (str(number),)) for number in range(MOST_FAILURES + 7)]
    message, details = told(many)
    assert message.endswith("x…; and 7 more")
    assert len(message) < 1_100_000
    assert len(details) == MOST_FAILURES
    assert told(many[:1])[0].endswith("x…")


def test_every_condition_that_fails_is_told() -> None:
    assert len(failures(contains=("x", "y"), lacks=("start",), last="z")) == 4


def test_a_failure_shows_where_the_lines_are() -> None:
    check = Check("c", file="f", lacks=("item",))
    [failure] = text_failures(check, text_of("f", LOG))
    assert failure.details == ("2: [info] item 1", "3: [info] item 2")
    assert not failure.owed


def test_what_is_missing_shows_the_end_of_the_text() -> None:
    log = "\n".join(map(str, range(100)))
    [failure] = text_failures(Check("c", file="f", contains=("x",)), text_of("f", log))
    assert len(failure.details) == MOST_SHOWN
    assert failure.details[-1] == "100: 99"
    assert failure.owed


def test_many_hits_are_counted() -> None:
    [failure] = text_failures(Check("c", file="f", lacks=("x",)), text_of("f", "x\n" * 12))
    assert failure.details[-1] == "… and 2 more"


def test_a_long_line_is_cut() -> None:
    [failure] = text_failures(Check("c", file="f", lacks=("x",)), text_of("f", "x" * 100_000))
    assert len(failure.details[0]) < 400


class TestTwoStreams:
    """The output of a process: nothing is known of the order between its two streams."""

    text = Text(
        "the output of api",
        (Stream("stdout", ["up", "done"]), Stream("stderr", ["warning", "bye"])),
    )

    def failures(self, **conditions: Any) -> list[str]:
        found = text_failures(Check("c", log="api", **conditions), self.text)
        return [line for failure in found for line in failure.details]

    @pytest.mark.parametrize(
        "conditions",
        [
            {"contains": ("up", "bye")},
            {"last": "done"},
            {"last": "bye"},
            {"sequence": ("up", "done")},
            {"sequence": ("warning", "bye")},
            {"contains": ("n",), "counted": ("==", 2)},
        ],
    )
    def test_holds_for_either(self, conditions: dict[str, Any]) -> None:
        assert self.failures(**conditions) == []

    def test_no_sequence_over_both(self) -> None:
        assert self.failures(sequence=("up", "bye")) == ["stdout:1: up"]

    def test_last_shows_both(self) -> None:
        assert self.failures(last="x") == ["stdout:2: done", "stderr:2: bye"]


def test_values_of_references_stand_for_themselves() -> None:
    check = Check("c", file="f", contains=("^at ${run.dir}$",))
    text = text_of("f", "at /tmp/a+b")
    assert text_failures(check, text, {"run.dir": "/tmp/a+b"}.__getitem__) == []
    literal = Check("c", file="f", contains=("${run.dir}",), literal=True)
    assert text_failures(literal, text, {"run.dir": "/tmp/a+b"}.__getitem__) == []


TRACEBACKS = """\
INFO up
ERROR boom
Traceback (most recent call last):
  File "a.py", line 1, in f
    x()

  File "b.py", line 2, in x
KeyError: 'k'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "c.py", line 3, in g
ShopError: no k

INFO next
Traceback (most recent call last):
  File "d.py", line 4
ValueError: bad
Traceback (most recent call last):
  File "e.py", line 5
ValueError: worse
  + Exception Group Traceback (most recent call last):
  |   File "f.py", line 6
  | ExceptionGroup: two (1 sub-exception)
  +-+---------------- 1 ----------------
    | TypeError: inner
    +------------------------------------
INFO late
Exception in thread "main" java.lang.IllegalStateException: no
\tat shop.Main.run(Main.java:7)
Caused by: java.io.IOException: gone
\t... 3 more
bye
"""


class TestLinesThatBelongTogether:
    def lines(self, text: str, how: str) -> list[tuple[str, str]]:
        return list(text_of("log", text).read_as(join_of(how), ()).numbered())

    def test_a_traceback_is_one_line(self) -> None:
        lines = self.lines(TRACEBACKS, "traceback")
        assert [number for number, _ in lines] == [
            *("1", "2", "3", "16", "17", "20", "23", "29", "30", "34")
        ]
        chained = lines[2][1]
        assert chained.startswith("Traceback (most recent call last): | File")
        assert chained.endswith("| ShopError: no k")
        assert [line for _, line in lines if "TypeError: inner" in line] == [lines[6][1]]
        assert lines[8][1].endswith("Caused by: java.io.IOException: gone | ... 3 more")

    def test_a_pattern_tells_what_continues(self) -> None:
        lines = self.lines("a\n  b\n  c\nd\n", r"^\s")
        assert lines == [("1", "a | b | c"), ("4", "d")]

    def test_what_is_searched_may_be_in_several_lines(self) -> None:
        assert failures(TRACEBACKS, contains=("Traceback.*KeyError.*ShopError",)) != []
        assert (
            failures(TRACEBACKS, contains=("Traceback.*KeyError.*ShopError",), join="traceback")
            == []
        )
        assert failures(TRACEBACKS, ignore=("ShopError",), lacks=("a.py",), join="traceback") == []

    def test_a_failure_shows_all_of_them(self) -> None:
        check = Check("c", "file", "out.txt", lacks=("ValueError: bad",), join="traceback")
        [failure] = text_failures(check, text_of("out.txt", TRACEBACKS))
        assert failure.details == (
            "17: Traceback (most recent call last):",
            '      File "d.py", line 4',
            "    ValueError: bad",
        )

    def test_of_a_long_one_the_middle_is_left_out(self) -> None:
        text = "x\n" + "".join(f" {number}\n" for number in range(100))
        check = Check("c", "file", "out.txt", lacks=("x",), join=r"^\s")
        [failure] = text_failures(check, text_of("out.txt", text))
        assert len(failure.details) == 42
        assert "… 60 more lines …" in failure.details[21]

    def test_many_are_not_held_in_memory(self) -> None:
        lines = self.lines("x\n" * 2500, "x")
        assert [number for number, _ in lines] == ["1", "1001", "2001"]


def test_numbers_are_those_of_the_file_where_lines_are_ignored() -> None:
    check = Check("c", "file", "f", lacks=("end",), ignore=("item",))
    assert text_failures(check, text_of("f", LOG))[0].details == ("6: end",)


def test_values_are_shown_as_json_writes_them() -> None:
    [failure] = compare(["value == 1"], {"value": None})
    assert failure.message == "value == 1 does not hold: value = null"
    [failure] = compare(["value + 1 == 2"], {"value": None})
    assert failure.message == "'value + 1 == 2': null is not a number: value = null"
    [failure] = compare(["value == 2"], {"value": [True, "a"]})
    assert failure.message == 'value == 2 does not hold: value = [true, "a"]'
