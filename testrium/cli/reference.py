"""`testrium explain` and `testrium schema`: what a finding means, what a file may hold."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from testrium.cli.completion import Completed
from testrium.errors import UsageError
from testrium.phrases import one_of
from testrium.resources import findings_folder
from testrium.words import Code

#: Columns of a page at most: longer lines are hard to read.
_WIDTH = 100


@click.command(name="explain")
@click.argument("code", type=Completed("code", lambda _: pages()), default="", metavar="[CODE]")
def explain_command(code: str) -> int:
    """Tell what the finding CODE means, how it comes about and what to do.

    CODE may also be a key of a file: verify.linger, stop_to. Without CODE: list all findings,
    in the order in which they rank as root causes.
    """
    known = pages()
    if not code:
        width = max(map(len, known))
        for name, text in known.items():
            click.echo(f"{name:<{width}}  {summary_of(text).replace('`', '')}")
        click.echo("\nMore about one of them: testrium explain CODE")
    elif code in known:
        _show(known[code])
    elif told := "\n\n".join(_about_key(code)):
        click.echo(told)
    else:
        raise UsageError(f"unknown finding {code!r}{one_of(code, known)}")
    return 0


def _about_key(name: str) -> Iterator[str]:
    """What each key of this name means; the name of its table may precede it."""
    from testrium.load.schema import json_schemas

    wanted, key = (part.replace("-", "_") for part in name.rpartition(".")[::2])
    for file, schema in json_schemas().items():
        own = schema.get("additionalProperties")
        tables = {file.partition("s/")[0]: own} if own else schema["properties"]
        for table, keys in tables.items() if file != "testrium.toml" else ():
            known = keys.get("properties") or keys.get("items", {}).get("properties", {})
            if wanted not in ("", table):
                continue
            for one, about in known.items():
                if one.replace("-", "_") == key and "description" in about:
                    text = textwrap.fill(about["description"], _WIDTH)
                    yield f"{table}.{one}  ({file})\n\n{text}"
                    break


def pages() -> dict[str, str]:
    """The page of every code that has one (Markdown), in the order in which findings rank."""
    files = {code.value: findings_folder() / f"{code}.md" for code in Code}
    return {
        code: file.read_text(encoding="utf-8") for code, file in files.items() if file.is_file()
    }


def summary_of(text: str) -> str:
    """The one sentence below the title of a page."""
    return text.split("\n\n")[1]


def _show(text: str) -> None:
    """On a terminal with its structure, else as it is written."""
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    # Links lead to files of the documentation, which a terminal cannot follow.
    text = re.sub(r"\[([^\]]+)\]\([^)\s]+\)", r"*\1*", text)
    console = Console(highlight=False)
    # The terminal's own colours, on its own background.
    console.print(Markdown(text, code_theme="ansi_dark"), width=min(console.width, _WIDTH))


#: What the command calls each file.
FILES = {
    "config": "config.toml",
    "unit": "units/*.toml",
    "fixture": "fixtures/*.toml",
    "project": "testrium.toml",
}
#: What it calls the report that Testrium writes.
_REPORT = "report"


@click.command(name="schema")
@click.argument("file", type=click.Choice([*FILES, _REPORT]), required=False)
@click.option(
    "--write",
    is_flag=True,
    help="Write all four into the state folder, where `#:schema` lines of templates find them.",
)
def schema_command(file: str | None, write: bool) -> int:
    """Print the JSON Schema of FILE; without FILE an object with those that users write, by file.

    config is a group's config.toml, unit a file in units/, fixture one in fixtures/,
    project is testrium.toml; report is the JSON report (--json, report.json).
    """
    if file == _REPORT and not write:
        from testrium.report.fields import report_schema

        click.echo(json.dumps(report_schema(), indent=2))
        return 0
    from testrium.load.schema import json_schemas

    schemas = json_schemas()
    if write:
        _write_schemas({name: schemas[title] for name, title in FILES.items()})
        return 0
    click.echo(json.dumps(schemas[FILES[file]] if file else schemas, indent=2))
    return 0


def _write_schemas(schemas: Mapping[str, object]) -> None:
    from testrium.load.project import find_project, schema_folder
    from testrium.record.runs import make_state_folder

    folder = schema_folder(Path.cwd())
    make_state_folder(find_project(Path.cwd()).state_folder)
    folder.mkdir(exist_ok=True)
    for name, schema in schemas.items():
        (folder / f"{name}.json").write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
        click.echo(f"wrote {folder / f'{name}.json'}")
