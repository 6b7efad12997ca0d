"""Old import path of `testrium.classic.groups`."""

from testrium.classic.groups import resolve_generation_path, resolve_template

__all__ = ["resolve_generation_path", "resolve_template"]
