"""Units that are suites of tests: pytest, unittest and doctest, and checks that a person makes.

These modules run inside the unit's process. Each test becomes a probe whose metadata says what
came of it; `record.suites` reads them back. Standard library and probes only: pytest is imported
by the unit that runs it.
"""
