"""Old import path of `events`, see `testrium.classic`."""
