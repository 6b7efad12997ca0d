"""Code of other packages and of the project that extends Testrium: found here by kind and name.

Nothing of it is imported to be found, and none of it ever runs in the runner: a plugin is loaded
with `load_plugin`, in a process made for it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import Any, Final

from testrium.errors import UsageError
from testrium.phrases import one_of
from testrium.tuples import NamedTuple

#: What a plugin can be, as `[plugins]` calls it; packages use the entry point `testrium.KIND`.
KINDS: Final = ("writers", "units", "readiness", "checks", "normalizers", "protocols")


class Plugin(NamedTuple):
    """One plugin: `reference` is its place, `package.module:attribute`.

    `origin` says where it comes from ("testrium-chat 1.0", "testrium.toml"). `folder` is where its
    modules are looked for first, several in lines of it; "" for those of an installed package.
    """

    kind: str
    name: str
    reference: str
    origin: str
    folder: str = ""


def find_plugin(
    kind: str, name: str, own: Iterable[Plugin] = (), builtin: Iterable[str] = ()
) -> Plugin:
    """The plugin of this name.

    Args:
        kind: one of KINDS.
        name: what the user wrote.
        own: those of the project, which come before those of installed packages.
        builtin: names that Testrium itself has, for the message.

    Raises UsageError where there is none, or where two packages have one of this name.
    """
    for plugin in own:
        if (plugin.kind, plugin.name) == (kind, name):
            return plugin
    installed = installed_plugins(kind)
    found = [plugin for plugin in installed if plugin.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        owners = " and ".join(sorted(plugin.origin for plugin in found))
        raise UsageError(f"{kind}: both {owners} have one that is called {name!r}")
    known = sorted({*builtin, *(p.name for p in (*own, *installed) if p.kind == kind)})
    raise UsageError(f"{kind}: unknown name {name!r}{one_of(name, known)}")


def installed_plugins(kind: str) -> tuple[Plugin, ...]:
    """The plugins of this kind that installed packages offer."""
    from importlib.metadata import entry_points  # 20 ms

    return tuple(
        Plugin(kind, point.name, point.value, _origin(point.dist))
        for point in entry_points(group=f"testrium.{kind}")
    )


def load_plugin(plugin: Plugin) -> Any:
    """Import a plugin. Runs its code and raises what that raises: never in the runner."""
    for folder in reversed(plugin.folder.splitlines()):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module, _, attribute = plugin.reference.partition(":")
    found: Any = importlib.import_module(module.strip())
    for name in attribute.strip().split("."):
        found = getattr(found, name)
    return found


def _origin(distribution: Any) -> str:
    return "a package" if distribution is None else f"{distribution.name} {distribution.version}"
