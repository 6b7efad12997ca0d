"""Whether there is a person who can be asked, and at which terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping

from testrium.suites import protocol

#: Variables that the usual servers for continuous integration set.
_SERVERS = ("CI", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "BUILDKITE")
_OFF = ("", "0", "false", "no")


def terminal_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What tells a manual unit where to ask, or why nobody is asked."""
    for name in _SERVERS:
        if environ.get(name, "").lower() not in _OFF:
            return {protocol.UNASKED: f"this is no person's run ({name} is set)"}
    try:
        if os.isatty(0) and os.isatty(1):
            return {protocol.TERMINAL: os.ttyname(0)}
    except OSError:
        pass
    return {protocol.UNASKED: "the run has no terminal"}
