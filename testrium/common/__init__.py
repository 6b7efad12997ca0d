"""Old import path of `loaders`, `utils` and `validate_configs`, see `testrium.classic`."""
