"""Old import path of `testrium.classic.groups`."""

from testrium.classic.groups import FoundTest, discover_tests, load_config

__all__ = ["FoundTest", "discover_tests", "load_config"]
