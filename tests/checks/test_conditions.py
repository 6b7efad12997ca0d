"""Conditions on lines: what holds, what does not, and what a failure shows."""

from __future__ import annotations

from typing import Any

import pytest

from testrium.checks.conditions import MOST_SHOWN, Stream, Text, text_failures, text_of
from testrium.declared.checks import Check

LOG = """\
start
[info] item 1
[info] item 2
total=30 price=10 n=3

end
"""


def failures(log: str = LOG, **conditions: Any) -> list[str]:
    check = Check("c", "file", "out.txt", **conditions)
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
            "'word > 3': 'start' is no number: word = start",
        ),
        ({"extract": (r"sum=(?P<sum>\d+)",)}, r"out.txt: no line matches 'sum=(?P<sum>\d+)'"),
    ],
)
def test_what_does_not_hold(conditions: dict[str, Any], message: str) -> None:
    assert failures(**conditions) == [message]


def test_an_empty_text_has_no_last_line() -> None:
    assert failures("\n \n", last="x") == ["out.txt: it has no line that could match 'x'"]


def test_every_condition_that_fails_is_told() -> None:
    assert len(failures(contains=("x", "y"), lacks=("start",), last="z")) == 4


def test_a_failure_shows_where_the_lines_are() -> None:
    check = Check("c", "file", "f", lacks=("item",))
    [failure] = text_failures(check, text_of("f", LOG))
    assert failure.details == ("2: [info] item 1", "3: [info] item 2")
    assert not failure.owed


def test_what_is_missing_shows_the_end_of_the_text() -> None:
    log = "\n".join(map(str, range(100)))
    [failure] = text_failures(Check("c", "file", "f", contains=("x",)), text_of("f", log))
    assert len(failure.details) == MOST_SHOWN
    assert failure.details[-1] == "100: 99"
    assert failure.owed


def test_many_hits_are_counted() -> None:
    [failure] = text_failures(Check("c", "file", "f", lacks=("x",)), text_of("f", "x\n" * 12))
    assert failure.details[-1] == "… and 2 more"


def test_a_long_line_is_cut() -> None:
    [failure] = text_failures(Check("c", "file", "f", lacks=("x",)), text_of("f", "x" * 100_000))
    assert len(failure.details[0]) < 400


class TestTwoStreams:
    """The output of a process: nothing is known of the order between its two streams."""

    text = Text(
        "the output of api",
        (Stream("stdout", ["up", "done"]), Stream("stderr", ["warning", "bye"])),
    )

    def failures(self, **conditions: Any) -> list[str]:
        found = text_failures(Check("c", "log", "api", **conditions), self.text)
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
    check = Check("c", "file", "f", contains=("^at ${run.dir}$",))
    text = text_of("f", "at /tmp/a+b")
    assert text_failures(check, text, {"run.dir": "/tmp/a+b"}.__getitem__) == []
    literal = Check("c", "file", "f", contains=("${run.dir}",), literal=True)
    assert text_failures(literal, text, {"run.dir": "/tmp/a+b"}.__getitem__) == []
