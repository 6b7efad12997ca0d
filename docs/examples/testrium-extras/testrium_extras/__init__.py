"""An example of every kind of plugin that Testrium knows."""
