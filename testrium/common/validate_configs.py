"""Old import path of `testrium.classic.groups`."""

from testrium.classic.groups import (
    CONFIG_DEFAULTS,
    LEGACY_CONFIG_KEYS,
    LEGACY_UNIT_KEYS,
    UNIT_DEFAULTS,
    VALID_DEBUG_MODES,
    VALID_IN_EXCEPT,
    normalize_config,
    normalize_unit_config,
    validate_config,
    validate_unit,
    validate_unit_collection,
)

__all__ = [
    "CONFIG_DEFAULTS",
    "LEGACY_CONFIG_KEYS",
    "LEGACY_UNIT_KEYS",
    "UNIT_DEFAULTS",
    "VALID_DEBUG_MODES",
    "VALID_IN_EXCEPT",
    "normalize_config",
    "normalize_unit_config",
    "validate_config",
    "validate_unit",
    "validate_unit_collection",
]
