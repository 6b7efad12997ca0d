"""Units and conditions that are plugins: found by name, never imported here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from testrium.declared.units import Readiness, Unit
from testrium.errors import UsageError
from testrium.load.document import Spot, did_you_mean
from testrium.load.schema import KINDS
from testrium.load.suites import check_keys_of_kind
from testrium.load.unit_files import UnitFile
from testrium.loaded_by_name import PLUGIN_UNIT
from testrium.plugins.in_unit import ready_command, unit_variables
from testrium.plugins.registry import Plugin, find_plugin, installed_plugins


def plug_in(
    units: tuple[Unit, ...], files: Sequence[UnitFile], own: tuple[Plugin, ...]
) -> tuple[Unit, ...]:
    """The units, those that use a plugin with what calls it; what is wrong is noted.

    Args:
        units: as their files say, in the same order.
        files: where they come from.
        own: the plugins of the project.
    """
    return tuple(_plugged(unit, file, own) for unit, file in zip(units, files, strict=True))


def _plugged(unit: Unit, file: UnitFile, own: tuple[Plugin, ...]) -> Unit:
    kind: str | None = file["kind"]
    if kind is not None and kind not in KINDS:
        plugin = found_plugin("units", kind, file.at("kind"), own, KINDS)
        if plugin is not None:
            check_keys_of_kind(file)
            env = {**unit.env, **unit_variables(plugin, unit.settings)}
            unit = unit._replace(kind=None, entrypoint=PLUGIN_UNIT, env=env)
    elif "settings" in file.reading.spots:
        file.at("settings").wrong("belongs to a unit whose kind is a plugin")
    ready = file["ready"]
    if ready is not None and ready["plugin"] is not None:
        name = ready["plugin"]
        plugin = found_plugin("readiness", name, ready.at("plugin"), own, ())
        if plugin is not None:
            command = ready_command(plugin, ready["settings"])
            unit = unit._replace(ready=Readiness("command", command=command, plugin=name))
    elif ready is not None and "settings" in ready.spots:
        ready.at("settings").wrong("belongs to 'plugin'")
    return unit


def found_plugin(
    kind: str, name: str, spot: Spot, own: tuple[Plugin, ...], builtin: Iterable[str]
) -> Plugin | None:
    """The plugin of this name; None, and a problem noted, where there is none."""
    known = [*builtin, *(p.name for p in (*own, *installed_plugins(kind)) if p.kind == kind)]
    if name not in known:
        spot.wrong(f"must be one of: {', '.join(known) or 'no plugin'}{did_you_mean(name, known)}")
        return None
    try:
        return find_plugin(kind, name, own)
    except UsageError as error:  # two packages have one of this name
        spot.wrong(str(error))
        return None
