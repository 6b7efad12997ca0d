"""Old import path of `testrium.classic.loaders`."""

from testrium.classic.loaders import FoundTest, discover_tests, load_config

__all__ = ["FoundTest", "discover_tests", "load_config"]
