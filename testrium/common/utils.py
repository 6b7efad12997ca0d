"""Old import path of `testrium.classic.functions`."""

from testrium.classic.functions import test_config, verify_condition

__all__ = ["test_config", "verify_condition"]
