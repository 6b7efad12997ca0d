"""Old import path of `main`, see `testrium.classic`."""
