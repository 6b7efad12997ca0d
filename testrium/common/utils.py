"""Old import path of `testrium.classic.functions`."""

from testrium.classic.functions import (
    log_test_time,
    print_banner,
    suppress_output,
    test_config,
    verify_condition,
)

__all__ = [
    "log_test_time",
    "print_banner",
    "suppress_output",
    "test_config",
    "verify_condition",
]
