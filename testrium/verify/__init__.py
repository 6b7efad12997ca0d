"""Verification: pure functions of what was declared and what happened.

`judge` finds everything that is wrong with a run, `expectations` tells while it runs whether all
that was asked for has happened, `learn` guesses circuits from a run that passed.
"""
