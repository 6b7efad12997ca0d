"""Owns the processes of a run: the runner's client, the supervisor, keepers, a unit's start."""
