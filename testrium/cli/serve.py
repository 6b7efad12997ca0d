"""`testrium serve`: the history and the kept runs as web pages, for this machine only."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="serve")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Listen on this port; by default on one that is free.",
)
def command(port: int) -> int:
    """Show trends, what is flaky, and the report of any kept run in a browser.

    Prints the link that opens it. Only this machine can reach it, and only with that link; nothing
    can be changed by it. Ctrl-C ends it.
    """
    from testrium.serve.pages import Pages
    from testrium.serve.server import Dashboard
    from testrium.session import state_folder

    cwd = Path.cwd()
    with Dashboard(port, Pages(state_folder(cwd), cwd)) as dashboard:
        click.echo(f"{dashboard.gate.link}\n(Ctrl-C ends it)")
        try:
            dashboard.serve_forever()
        except KeyboardInterrupt:
            click.echo("")
    return 0
