"""How the processes of test functions become one unit."""

from __future__ import annotations

from testrium.evidence import End, EndCause, UnitState, Use
from testrium.run.group import one_end


def end(code: int, cpu_s: float, rss: int) -> End:
    use = Use(cpu_s=cpu_s, max_rss=rss)
    return End("tests", EndCause.SELF, UnitState.FINISHED, exit_code=code, use=use)


def test_parallel_test_functions_count_for_the_cpu_time_of_tests() -> None:
    (whole,) = one_end([end(0, 0.5, 10), end(1, 0.25, 30), end(0, 0.125, 20)])
    assert (whole.exit_code, whole.starts) == (1, 3)
    assert (whole.use.cpu_s, whole.use.max_rss) == (0.875, 30)


def test_a_group_without_test_functions_has_no_such_unit() -> None:
    assert one_end([]) == ()
