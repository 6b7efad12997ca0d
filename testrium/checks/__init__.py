"""Conditions on text and data, as `[[checks]]` and `testrium.testing` both know them.

Pure: texts in, failures out. Who reads the files is `testrium.judging.checks` for a group, and
`testrium.testing` in a unit's process.
"""
