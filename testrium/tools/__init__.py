"""Old import path: `testrium.tools.benchmark`."""
