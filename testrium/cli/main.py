"""The `testrium` command: loads the one subcommand that is called, turns errors into exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from testrium import __version__
from testrium.cli import restore_interrupts
from testrium.errors import ConfigError, ExitCode, TestriumError, UsageError
from testrium.phrases import plural
from testrium.tuples import NamedTuple

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Subcommand -> where it is defined (module of testrium.cli:attribute), and its one-line help.
COMMANDS = {
    "run": ("run:command", "Run groups and judge them (the default command)."),
    "watch": ("watching:watch_command", "Run groups again when their files change."),
    "up": ("watching:up_command", "Start the units of a group; judge it after Ctrl-C."),
    "list": ("groups:list_command", "List the groups and what would be run."),
    "check": ("groups:check_command", "Validate groups; run nothing."),
    "show": ("stored_runs:show_command", "Print a stored run again."),
    "verify": ("stored_runs:verify_command", "Judge a stored run again."),
    "merge": ("stored_runs:merge_command", "Make one run of several, such as the shards of one."),
    "report": (
        "stored_runs:report_command",
        "Write a stored run's report as HTML, JSON or JUnit XML.",
    ),
    "clean": ("stored_runs:clean_command", "Remove stored runs."),
    "benchmark": ("machine:benchmark_command", "Measure how fast this machine is."),
    "history": ("history:command", "List earlier runs."),
    "chaos": (
        "searches:chaos_command",
        "Break a group by random faults; find the smallest that breaks it.",
    ),
    "explore": (
        "searches:explore_command",
        "Run a group in many orders; find the one that breaks it.",
    ),
    "generate": (
        "searches:generate_command",
        "Run a group with drawn operations; find the smallest that breaks it.",
    ),
    "replay": ("searches:replay_command", "Run a group again in the order of a stored run."),
    "serve": ("stored_runs:serve_command", "Show trends and kept runs in a browser."),
    "learn": ("stored_runs:learn_command", "Propose circuits from a run that passed."),
    "migrate": ("migrate:command", "Show and write what to change in groups of testrium 0.3.0."),
    "explain": (
        "reference:explain_command",
        "Explain what a finding means, with a circuit that shows it.",
    ),
    "gen": ("templates:command", "Generate groups from templates."),
    "init": ("templates:init_command", "Make a first group; the same as `gen config-template`."),
    "gen-configs": ("templates:old_command", "The old name of `gen config-template`."),
    "completion": ("completion:command", "Print a script for shell completion."),
    "probe": ("probe:command", "Emit a probe from a shell script."),
    "schema": (
        "reference:schema_command",
        "Print JSON Schemas of groups and of the report.",
    ),
    "agent": ("machine:agent_command", "Run units for a runner on another host."),
    "doctor": ("machine:doctor_command", "Check this machine and project, with advice."),
}


#: Before a command, several names may follow it.
_LESS = ("--less", "--exclude")
#: The commands that heed it; None is `run`.
_LEAVING_OUT = (None, "run", "list", "check", "migrate")


class Common(NamedTuple):
    """Options in front of the subcommand."""

    verbose: bool = False
    less: tuple[str, ...] = ()


class _Commands(click.Group):
    """Imports a subcommand when it is called: starting quickly is a feature."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(f"testrium.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        if cmd_name != "run":  # which heeds signals as soon as it has begun anything
            restore_interrupts()
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _each_left_out(args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            ctx.fail(f"No such command {args[0]!r}.{_hint(args[0])}")
        return super().resolve_command(ctx, args)

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _each_left_out(args: list[str]) -> list[str]:
    """Write `--less a b run` as `--less a --less b run`."""
    written: list[str] = []
    is_value = several = False  # of --less; whether names may follow its first one
    for at, word in enumerate(args):
        if is_value:
            is_value = False
        elif word in COMMANDS:
            return written + args[at:]
        elif word.startswith("-"):
            is_value = word in _LESS
            several = word.partition("=")[0] in _LESS
        elif several:
            written.append(_LESS[0])
        written.append(word)
    return args


def _groups_that_begin_so(
    ctx: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from testrium.cli.completion import GROUP  # only a shell that completes needs it

    return GROUP.shell_complete(ctx, option, incomplete)


def _hint(word: str) -> str:
    """Suggest what the user may have meant by this word in place of a command."""
    from pathlib import Path

    if Path(word).exists():
        return f" Did you mean 'run {word}'?"
    from testrium.phrases import close_to

    near = close_to(word, COMMANDS)
    return f" Did you mean {near!r}?" if near else ""


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="testrium %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Show the output of units while they run.")
@click.option(
    *_LESS,
    multiple=True,
    metavar="GROUP",
    shell_complete=_groups_that_begin_so,
    help="Leave GROUP out (repeatable).",
)
@click.pass_context
def main(ctx: click.Context, verbose: bool, less: tuple[str, ...]) -> None:
    """Prove that every message of a system followed its declared route.

    Testrium starts the processes of a group, records their probes and verifies the route of every
    key. Without a command: `testrium run`.
    """
    ctx.obj = Common(verbose, less)
    if less and ctx.invoked_subcommand not in _LEAVING_OUT:
        raise UsageError(
            f"--less: testrium {ctx.invoked_subcommand} leaves no group out; give it to"
            " run, list, check or migrate"
        )
    if ctx.invoked_subcommand is None:
        command = main.get_command(ctx, "run")
        assert command is not None
        # Not ctx.invoke(): that would leave out the callbacks that read the options.
        with command.make_context("run", [], parent=ctx) as run:
            ctx.exit(command.invoke(run))


def entry(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (the console script exits with it)."""
    try:
        code = main.main(arguments, prog_name="testrium", standalone_mode=False)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(_harmless(problem), err=True)
        count = len(error.problems)
        click.echo(f"{plural(count, 'problem')}; nothing was started", err=True)
        return error.exit_code
    except TestriumError as error:
        click.echo(_harmless(f"testrium: {error}"), err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.CONFIG_ERROR
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # `testrium list | head`
        sys.stderr.close()
        return ExitCode.SUCCESS
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "new thread" not in str(error):
            raise
        what = "memory" if isinstance(error, MemoryError) else "threads"
        limits = "see ulimit -u and -v, and the limits of the container"
        click.echo(f"testrium: this machine gives no more {what}: {limits}", err=True)
        return ExitCode.ERROR
    except OSError as error:  # a full disk, a folder that may not be read
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"testrium: {place}{error.strerror or error}", err=True)
        return ExitCode.ERROR
    return code if isinstance(code, int) else ExitCode.SUCCESS


def _harmless(text: object) -> str:
    """A message may quote what a build server would take for a command."""
    from testrium.report.escape import no_command

    return no_command(str(text))
