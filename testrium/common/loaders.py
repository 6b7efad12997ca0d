"""Old import path of `testrium.classic.groups`."""

from testrium.classic.groups import (
    FoundTest,
    discover_tests,
    load_config,
    load_special_callbakcs,
    load_test_functions,
    normalize_config,
    normalize_unit_config,
    resolve_units,
    validate_unit_collection,
)

__all__ = [
    "FoundTest",
    "discover_tests",
    "load_config",
    "load_special_callbakcs",
    "load_test_functions",
    "normalize_config",
    "normalize_unit_config",
    "resolve_units",
    "validate_unit_collection",
]
