"""Old import path of `benchmark`, see `testrium.classic`."""
