"""Figures, and what `[metrics]` says of them, from tables."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testrium.results import Judgement, Measure

THREE = """
    circuit a:sent b:got
    a sent> k1 @0
    a sent> k2 @10
    a sent> k3 @20
    b got< k1 @5
    b got< k2 @16
    b got< k3 @27
"""
TWENTY = "circuit a:sent b:got\n" + "\n".join(
    f"a sent> k{n} @{100 * n}\nb got< k{n} @{100 * n + 5 + n % 2}" for n in range(20)
)

CASES = {
    "within its limits": (
        THREE + "metric command.p50 source=circuit owner=command most=6 least=6 unit=ms",
        "pass",
    ),
    "over its max": (
        THREE + "metric command.p50 source=circuit owner=command most=5.9 unit=ms",
        "fail\nmetric command.p50",
    ),
    "under its min": (
        THREE + "metric command.max source=circuit owner=command least=7.1 unit=ms",
        "fail\nmetric command.max",
    ),
    "a hop over its max": (
        THREE + "metric command.b:got.p50 source=hop owner=command most=5 unit=ms",
        "fail\nmetric command.b:got.p50",
    ),
    "p95 of enough keys": (
        TWENTY + "\nmetric command.p95 source=circuit owner=command most=5 unit=ms",
        "fail\nmetric command.p95",
    ),
    "too few keys for one percentile, in one finding": (
        THREE + "metric command.p95 source=circuit owner=command most=80 unit=ms\n"
        "metric command.p99 source=circuit owner=command most=80 unit=ms",
        "unknown\nsamples command",
    ),
    "too few keys, as a budget says already": (
        THREE.replace("b:got\n", "b:got p99=80\n", 1)
        + "metric command.p95 source=circuit owner=command most=80 unit=ms",
        "unknown\nsamples command",
    ),
    "an unanswered key is infinite, which its loss explains": (
        THREE + "a sent> k4\nmetric command.max source=circuit owner=command most=80 unit=ms",
        "fail\nlost b:got k4\nmetric command.max k4 < lost b:got",
    ),
    "clocks that cannot tell": (
        """
        circuit a:sent b:got
        a sent> k1 @0
        b got< k1 @5 low=2
        metric command.max source=circuit owner=command most=3 unit=ms
        """,
        "unknown\nclock b:got",
    ),
    "a time of reading that is early enough": (
        """
        circuit a:sent b:got
        a sent> k1 @0
        b got< k1 @5 low=2
        metric command.max source=circuit owner=command most=5 unit=ms
        """,
        "pass",
    ),
    "reported within its limits": (
        "rule orphans=allow\nmetric rate least=10 unit=1/s\nreport rate 12 unit=1/s better=larger",
        "pass",
    ),
    "reported without a limit": ("rule orphans=allow\nreport rate 12", "pass"),
    "reported under its min": (
        "rule orphans=allow\nmetric rate least=13\nreport rate 12",
        "fail\nmetric rate",
    ),
    "the median counts": (
        "rule orphans=allow\nmetric rate most=3\nreport rate 1\nreport rate 2\nreport rate 99",
        "pass",
    ),
    "never reported by a unit that had come to its end": (
        "rule orphans=allow\nunit a\nunit b\na:up\nb:up\nmetric rate\nend b exit=1",
        "fail\ncrash b\nmetric rate < crash b",
    ),
    "never reported, and two units came to an end": (
        (
            "rule orphans=allow\nunit a\nunit b\na:up\nb:up\nmetric rate\n"
            "end a exit=1 at=9\nend b exit=1 at=5"
        ),
        "fail\ncrash b\ncrash a < crash b\nmetric rate < crash b",
    ),
    "reported, and over its max, beside the end of a unit": (
        (
            "rule orphans=allow\nunit a\nunit b\na:up\nb:up\nmetric rate most=1\nreport rate 2\n"
            "end b exit=1"
        ),
        "fail\ncrash b\nmetric rate",
    ),
    "reported under another name, beside the end of a unit": (
        "rule orphans=allow\nunit a\nunit b\na:up\nb:up\nmetric rate\nreport rates 1\nend b exit=1",
        "fail\ncrash b\nmetric rate",
    ),
    "a slow hop explains the percentile of its circuit": (
        (
            f"{THREE}metric command.b:got.p50 source=hop owner=command most=5 unit=ms\n"
            "metric command.p50 source=circuit owner=command most=5 unit=ms"
        ),
        "fail\nmetric command.b:got.p50\nmetric command.p50 < metric command.b:got.p50",
    ),
    "a slow hop explains no other circuit, and no percentile explains a hop": (
        "circuit a:sent b:got\ncircuit b:got c:done name=other\n"
        + "\n".join(f"a sent> k{n} @{n}0\nb got< k{n} @{n}6\nc done k{n} @{n}9" for n in range(3))
        + "\nmetric command.b:got.p50 source=hop owner=command most=5 unit=ms"
        "\nmetric other.p50 source=circuit owner=other most=2 unit=ms",
        "fail\nmetric command.b:got.p50\nmetric other.p50",
    ),
    "never reported": ("rule orphans=allow\nmetric rate", "fail\nmetric rate"),
    "reported in an attempt that was given up": (
        "rule orphans=allow\nmetric rate\nreport rate 1 attempt=1\nevidence attempt=2",
        "fail\nmetric rate",
    ),
    "in another unit than declared": (
        "rule orphans=allow\nmetric rate unit=1/s\nreport rate 1 unit=1/min",
        "fail\nmetric rate",
    ),
    "in two units": (
        "rule orphans=allow\nmetric rate\nreport rate 1 unit=ms\nreport rate 1 unit=s",
        "fail\nmetric rate",
    ),
    "in two directions": (
        "rule orphans=allow\nmetric rate\nreport rate 1\nreport rate 1 better=larger",
        "fail\nmetric rate",
    ),
    "a unit that was not measured": (
        "rule orphans=allow\nunit a quiet=true\nmetric a.rss source=unit owner=a most=9 unit=B",
        "fail\nmetric a.rss",
    ),
    "the duration": (
        (
            "rule orphans=allow\nmetric duration source=group most=1.9 unit=s\n"
            "evidence started_ns=1000000000 ended_ns=3000000000"
        ),
        "fail\nmetric duration",
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_what_is_found(findings_of: Callable[[str], str], text: str, expected: str) -> None:
    assert findings_of(text) == expected


def message(judgement: Judgement) -> str:
    finding = judgement.findings[0]
    return " | ".join((finding.message, *finding.hints))


MESSAGES = {
    "over": (
        THREE + "metric command.p50 source=circuit owner=command most=5.9 unit=ms",
        "command.p50 is 6 ms, over its max of 5.9 ms",
    ),
    "under": (
        (
            "rule orphans=allow\nmetric rate least=13 unit=1/s\n"
            "report rate 12 unit=1/s\nreport rate 11 unit=1/s reporter=host"
        ),
        "rate is 11.5 1/s (median of 2), under its min of 13 1/s | reported by client, host",
    ),
    "unreported, but something like it": (
        "rule orphans=allow\nmetric throughput\nreport thruoghput 1",
        (
            "throughput was not reported by any process: nothing was proved"
            " | a metric 'thruoghput' was reported"
        ),
    ),
    "another unit": (
        "rule orphans=allow\nmetric rate unit=1/s\nreport rate 1",
        "rate was reported in no unit, not in '1/s'",
    ),
    "several": (
        "rule orphans=allow\nmetric rate\nreport rate 1\nreport rate 1 better=larger",
        (
            "rate was reported in several ways: no unit, smaller is better and no unit,"
            " larger is better"
        ),
    ),
    "samples": (
        THREE + "metric command.p95 source=circuit owner=command most=80 unit=ms",
        "command.p95 needs 20 keys, this run has 3",
    ),
}


@pytest.mark.parametrize(("text", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_messages(judged: Callable[[str], Judgement], text: str, expected: str) -> None:
    assert message(judged(text)) == expected


def test_all_figures_of_a_run(judged: Callable[[str], Judgement]) -> None:
    text = THREE + "report rate 2 unit=1/s better=larger\nreport rate 2 unit=1/s better=larger"
    measures = judged(text + "\nreport mixed 1\nreport mixed 2 unit=s").measures
    assert measures == (
        Measure("command.p50", 6.0, "ms", "circuit"),
        Measure("command.max", 7.0, "ms", "circuit"),
        Measure("command.b:got.p10", 5.0, "ms", "hop"),
        Measure("command.b:got.p50", 6.0, "ms", "hop"),
        Measure("rate", 2.0, "1/s", "reported", "larger", 2, 2.0, 0.0),
    )


def test_without_gen_metrics_only_what_is_named(judged: Callable[[str], Judgement]) -> None:
    text = (
        "group gen_metrics=false\nreport rate 1\n"
        "metric command.b:got.p50 source=hop owner=command unit=ms" + THREE
    )
    names = [measure.name for measure in judged(text).measures]
    assert names == ["command.b:got.p50", "rate"]
