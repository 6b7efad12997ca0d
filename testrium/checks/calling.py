"""Plugins that check and normalise: called here, and their errors told."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from testrium.errors import TestriumError
from testrium.frames import where_raised
from testrium.plugins import Plugin, load_plugin


class PluginFailedError(TestriumError):
    """A plugin has raised, or is not there."""


@functools.cache
def _loaded(plugin: Plugin) -> Callable[[Any], Any]:
    function: Callable[[Any], Any] = load_plugin(plugin)
    return function


def called(fields: Sequence[str], argument: Any) -> Any:
    """What the plugin returns. It is never called in the runner, see `Check.calls_plugin`.

    Raises PluginFailedError for whatever it raises.
    """
    plugin = Plugin(*fields)
    try:
        return _loaded(plugin)(argument)
    except (Exception, SystemExit) as error:
        told = f"{type(error).__name__}: {error}{where_raised(error)}"
        raise PluginFailedError(f"{plugin.name} of {plugin.origin} raised {told}") from error
