"""`testrium learn`: propose circuits from a run that passed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from testrium.cli.stored_run import as_shown, run_folder
from testrium.errors import UsageError
from testrium.model import Verdict

if TYPE_CHECKING:
    from testrium.model import GroupResult


@click.command(name="learn")
@click.argument("run", default="", metavar="[RUN]")
def command(run: str) -> int:
    """Propose [[circuits]] for the groups that passed in RUN, as TOML for their config.toml.

    RUN is the beginning of a run's id, or an archive (default: the last run). Every guess says how
    many keys support it. What one run shows is not what was meant: read every line.
    """
    from testrium.report.stored import read_run

    with run_folder(run, Path.cwd()) as folder:
        stored = as_shown(run, Path.cwd(), read_run(folder))
        texts = [_learned(result, stored.run) for result in _passed(stored.groups)]
    if not any(texts):
        raise UsageError(
            f"nothing to learn from run {stored.run}: no group passed in which keys went through"
            " two places or more"
        )
    click.echo("\n".join(filter(None, texts)), nl=False)
    return 0


def _passed(results: tuple[GroupResult, ...]) -> list[GroupResult]:
    """The first result of each group that passed; others are skipped, which is told."""
    chosen: dict[str, GroupResult] = {}
    for result in results:
        if result.verdict is Verdict.PASS:
            chosen.setdefault(result.scenario.id, result)
    for name in dict.fromkeys(result.scenario.id for result in results):
        if name not in chosen:
            _leave_out(f"{name} did not pass")
        elif chosen[name].files is None:
            _leave_out(f"the folder of {name} was not kept")
            del chosen[name]
    return list(chosen.values())


def _leave_out(reason: str) -> None:
    click.echo(f"notice: {reason}: nothing is learned from it", err=True)


def _learned(result: GroupResult, run: str) -> str:
    """The circuits of a group; "" where there is none."""
    from testrium.record.store import load_evidence
    from testrium.session import DATABASE, load
    from testrium.verify.learn import learn
    from testrium.verify.proposal import as_toml

    assert result.files is not None
    _, (group,) = load((str(result.scenario.group.folder),), Path.cwd())
    proposals = learn(group.units, load_evidence(result.files / DATABASE).events)
    if not proposals:
        return ""
    head = f"# Learned from run {run} of {result.scenario.id}: read every line.\n\n"
    return head + "\n".join(map(as_toml, proposals))
