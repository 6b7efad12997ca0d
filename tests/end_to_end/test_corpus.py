"""The detection corpus: real processes with a fault, and healthy ones that look like one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
CASES = sorted(path.parent for path in CORPUS.glob("cases/*/expect.toml"))

#: Cases whose sentence of the rules the code does not keep yet; each that does leaves the list.
NOT_YET = frozenset(
    {
        "F41_bystander_hangs_too",
        "F42_rollback_of_a_caused_key",
        "F43_lost_inside_a_loop",
        "F44_count_not_reached_before",
        "F45_gap_of_one_who_speaks_for_others",
        "F46_losses_at_two_hops",
        "F47_overtaken_at_one_instant",
        "F48_more_losses_than_the_gap",
        "F49_lines_of_one_file_have_an_order",
        "F50_true_is_not_one",
        "F51_wait_gives_up_after_a_loss",
        "F52_crash_after_a_drop",
        "F54_bad_exit_when_stopped",
        "F55_harmless_exception_and_a_loss",
        "F56_leak_beside_a_duplicate",
        "F57_sent_twice_and_so_received_twice",
        "H23_split_told_outside_the_route",
        "H24_loop_with_a_count",
        "H25_two_clocks_and_no_limit",
        "H26_ready_probe_at_a_wildcard_hop",
        "H27_two_senders_two_clocks",
        "H29_pool_outlives_the_stop_signal",
    }
)
#: Right or wrong by chance: who notices first that a server has died.
BY_CHANCE = frozenset({"F53_server_dies_in_a_request"})


def _parameter(case: Path) -> Any:
    known = case.name in NOT_YET | BY_CHANCE
    strict = case.name in NOT_YET
    marks = [pytest.mark.xfail(strict=strict, reason="not judged so yet")] if known else []
    return pytest.param(case, id=case.name, marks=marks)


@pytest.mark.parametrize("case", [_parameter(case) for case in CASES])
def test_case_gets_its_verdict(case: Path, judge: Any, testrium: str) -> None:
    options = argparse.Namespace(testrium=testrium, legacy=False, keep=False)
    outcome = judge.judge(case, options)
    expected = outcome.expected.text()
    assert not outcome.problems, f"expected {expected}; got {outcome.got} {outcome.problems}"


def test_the_corpus_is_complete() -> None:
    assert len(CASES) == 87
