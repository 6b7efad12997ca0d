"""Verification: pure functions of what was declared and what happened.

`judge` finds everything that is wrong with a run, `learn` guesses circuits from a run that passed.
"""
