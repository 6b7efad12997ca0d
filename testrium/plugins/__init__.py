"""Code of other packages and of the project that extends Testrium.

The runner finds a plugin by its kind and name, and never imports it: `registry` finds and loads,
`in_unit` calls it inside a process of the group.
"""
