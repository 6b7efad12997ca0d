"""The help of the command line: sentences that begin with a verb."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from testrium.cli.main import COMMANDS, main


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from commands(each, f"{name} {each.name}")


EVERY = [
    pair
    for name in COMMANDS
    if (command := main.get_command(click.Context(main), name))
    for pair in commands(command, name)
]


@pytest.mark.parametrize(("name", "command"), EVERY, ids=[name for name, _ in EVERY])
def test_the_help_of_an_option_is_a_sentence_that_begins_with_a_verb(
    name: str, command: click.Command
) -> None:
    assert command.get_short_help_str(200).endswith((".", "template`.")), command.help
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        assert option.help, f"{name} {option.opts[0]} has no help"
        assert option.help.endswith((".", ")")), option.help
        first = option.help.split()[0]
        assert first[0].isupper()
        assert first not in NO_VERBS, f"{name} {option.opts[0]}: {option.help}"


#: Words with which help once began that said what something was, not what happens.
NO_VERBS = frozenset({"A", "An", "All", "The", "Only", "So", "What", "Whose", "No", "For", "Which"})
