"""Old import path of `testrium.classic.groups`."""

from testrium.classic.groups import (
    FoundTest,
    discover_tests,
    load_config,
    load_special_callbakcs,
    load_test_functions,
    resolve_units,
)

__all__ = [
    "FoundTest",
    "discover_tests",
    "load_config",
    "load_special_callbakcs",
    "load_test_functions",
    "resolve_units",
]
