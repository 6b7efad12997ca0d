"""Circuits that are guessed from a run that passed."""
