"""What can go wrong for a user of Testrium, and the exit codes that say so."""

from __future__ import annotations

from enum import IntEnum

from testrium.tuples import NamedTuple


class ExitCode(IntEnum):
    """What `testrium run` tells the shell."""

    SUCCESS = 0
    FAILURE = 1
    NO_GROUPS = 2
    CONFIG_ERROR = 3
    UNKNOWN = 4
    ERROR = 5
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def is_interruption(self) -> bool:
        """Whether it says that somebody has asked for the end, by Ctrl-C or SIGTERM."""
        return self in (ExitCode.INTERRUPTED, ExitCode.TERMINATED)


class Problem(NamedTuple):
    """One mistake in a user's file.

    `line` counts from 1; None where no line can be named (a missing file). `key` is the key as the
    user would look for it (`timeout`, `circuits[1].keys`), or "" for the file as a whole.
    """

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.key, self.message) if part)


class TestriumError(Exception):
    """The root of every error that Testrium raises on purpose."""

    __test__ = False  # its name starts with "Test": pytest must not collect it
    exit_code: ExitCode = ExitCode.ERROR


class UsageError(TestriumError):
    """The command line asks for something that cannot be."""

    exit_code = ExitCode.CONFIG_ERROR


class ConfigError(TestriumError):
    """Groups are described wrongly. Carries every problem of every file, in order."""

    exit_code = ExitCode.CONFIG_ERROR

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class NoGroupsError(TestriumError):
    """Nothing to run was found or selected."""

    exit_code = ExitCode.NO_GROUPS


class NotStartedError(TestriumError):
    """A group that waited for its turn elsewhere has not begun: the run ends before."""


class SkipTest(BaseException):
    """A test function asks not to be judged; no `except Exception` of a test swallows it."""


class AbortGroup(BaseException):
    """A test function asks for the end of its group; no `except Exception` swallows it."""


def error_text(error: BaseException) -> str:
    """Its type and its message, as the last line of a traceback has them."""
    return f"{type(error).__name__}: {error}"


class InjectedFault(TestriumError):  # noqa: N818 - users know it by this name
    """Raised at a probe because `[[faults]]` says so: `do = "raise"`."""


class InfraError(TestriumError):
    """The runner or the machine failed: no disk space, a killed supervisor, a broken store."""


class HostError(InfraError):
    """A host of units cannot be reached, or was lost; `host` is its name, declared at `place`."""

    def __init__(self, host: str, reason: str, place: str = "") -> None:
        super().__init__(f"{place}: hosts.{host}: {reason}" if place else f"host {host}: {reason}")
        self.host, self.reason, self.place = host, reason, place


class MissingHostError(HostError):
    """A host that the group requires (`host:NAME`) cannot be reached: the group is skipped."""
