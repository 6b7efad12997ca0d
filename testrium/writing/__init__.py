"""Hands what happens in a run to all who tell of it."""
