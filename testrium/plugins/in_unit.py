"""Inside a process of a group: calls plugins that are units, or that tell when one is ready.

The runner only knows their names. They get the settings, as texts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from testrium.loaded_by_name import PLUGIN_READINESS
from testrium.plugins.registry import Plugin, load_plugin
from testrium.tracebacks import error_with_place, why_unrun

#: The variables that tell a unit whose kind is a plugin which one, and how it is set.

PLUGIN: Final = "TESTRIUM_PLUGIN"

SETTING: Final = "TESTRIUM_SETTING_"

#: In the unit's folder: what a plugin for readiness raised when it was asked last.
RAISED: Final = "not-ready.txt"

_FIRST_PAUSE_S = 0.01

_LONGEST_PAUSE_S = 0.25


def unit_variables(plugin: Plugin, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables for `run_unit`; the settings may hold `${...}`."""
    named = {f"{SETTING}{name}": value for name, value in settings.items()}
    return {PLUGIN: _encoded(plugin), **named}


def ready_command(plugin: Plugin, settings: Mapping[str, str]) -> tuple[str, ...]:
    """The command that ends well once the plugin says that its unit is ready."""
    words = (f"{name}={value}" for name, value in settings.items())
    told = f"${{unit.dir}}/{RAISED}"
    return (sys.executable, "-P", "-m", PLUGIN_READINESS, _encoded(plugin), told, *words)


def run_unit() -> Any:
    """Be the unit: call the plugin, or become the command that it returns."""
    plugin = _decoded(os.environ.pop(PLUGIN))
    settings = {
        name.removeprefix(SETTING): os.environ.pop(name)
        for name in sorted(os.environ)
        if name.startswith(SETTING)
    }
    result = load_plugin(plugin)(settings)
    if isinstance(result, list | tuple):
        sys.stdout.flush()
        sys.stderr.flush()
        os.execvp(result[0], [str(word) for word in result])
    return result  # a coroutine is waited for


def wait_ready(arguments: list[str]) -> None:
    """Ask the plugin until it answers yes; an exception means no, and is kept in a file."""
    plugin, told, *words = arguments
    settings = dict(word.split("=", 1) for word in words)
    is_ready = load_plugin(_decoded(plugin))
    pause_s = _FIRST_PAUSE_S
    before = ""
    while True:
        raised = ""
        try:
            answer = is_ready(settings)
            raised = why_unrun(answer)
            if answer and not raised:
                return
        except Exception as error:  # noqa: BLE001 - user code: told if the time is over
            raised = error_with_place(error)
        if raised != before:
            Path(told).write_text(raised, encoding="utf-8", errors="backslashreplace")
            before = raised
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _encoded(plugin: Plugin) -> str:
    """As text in which nothing is taken for a `${...}`."""
    return json.dumps(plugin).replace("$", "$$")


def _decoded(text: str) -> Plugin:
    return Plugin(*json.loads(text))


if __name__ == "__main__":
    wait_ready(sys.argv[1:])
