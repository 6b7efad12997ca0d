"""What the command line says follows the project's voice: what is, what is wrong, what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from testrium import cli
from testrium.cli.main import COMMANDS, main

FOLDER = Path(cli.__file__).parent
FILES = sorted(FOLDER.glob("*.py"))

#: Riddles: what is not instead of what is, and words that hide who acts.
RIDDLES = re.compile(
    r"\b(is|are) no\b|\bwhoever\b|\bwhat became\b|\bbecomes of\b|\bnobody\b|\blest\b|\bso many\b"
    r"|\bso long ago\b|\bcannot stand beside\b|\bgoes on\b|\bsays? who\b|\bwho says\b"
    r"|\bno (TOML|Python|duration|regular expression)\b|\bfor machines\b",
    re.IGNORECASE,
)


def spoken(file: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module that users may read: all strings, and the help of commands."""
    tree = ast.parse(file.read_text())
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            is_command = isinstance(node, ast.FunctionDef) and node.decorator_list
            if isinstance(first, ast.Expr) and not is_command:
                silent.add(id(first.value))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in silent
        ):
            yield node.lineno, node.value


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_texts_of_the_command_line_say_what_is(file: Path) -> None:
    found = [
        f"{file.name}:{line}: {match[0]!r} in {text!r}"
        for line, text in spoken(file)
        if (match := RIDDLES.search(" ".join(text.split())))
    ]
    assert found == []


@pytest.mark.parametrize("text", ["there is no run", "So many runs.", "no TOML: x", "Whoever asks"])
def test_a_riddle_is_found(text: str, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(f'"""There is no matter here."""\nTEXT = "{text}"\n')
    ((_, told),) = spoken(file)
    assert RIDDLES.search(told)


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
NO_VERBS = frozenset({"A", "An", "All", "The", "Only", "So", "What", "Whose", "No", "For"})
