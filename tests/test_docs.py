"""What the documentation says exists, and what exists is documented."""

from __future__ import annotations

import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import ValidationError

from testrium import testing
from testrium.cli.main import COMMANDS, main
from testrium.declared.checks import Check, Metric, OperationHistory
from testrium.declared.circuits import Circuit, Rules
from testrium.declared.faults import Chaos, Explore, Fault
from testrium.declared.groups import Configs, Generate, Monitored
from testrium.declared.keys import keys_of
from testrium.declared.project import ProjectTable
from testrium.declared.taps import Tap
from testrium.declared.telemetry import Telemetry
from testrium.declared.units import Fixture, Unit
from testrium.load.validate import validator
from testrium.modules.events import Events_Manager, Results_Manager, UnitStatus_Manager
from testrium.words import Code

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("news/*.md"),
        *ROOT.glob("*_groups/*/*.md"),
    ]
)

#: What no published file may name: places on a developer's machine and package indexes.
PRIVATE = re.compile(
    r"/root/|/work/|/tmp/wt|/home/\w+/|\.\./shared|pypi\.\w|pythonhosted|/simple/?\b"
)


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def first_column(text: str) -> set[str]:
    """The names in code style in the first column of all tables."""
    cells = re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def command_of(name: str) -> click.Command:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


def options(command: click.Command) -> set[str]:
    return {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for option in parameter.opts
    }


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_toml_parses(page: Path) -> None:
    for block in blocks(page.read_text(), r"toml(?: \S+)?"):
        tomllib.loads(block)


#: What each table of config.toml holds, or each table of a list.
CONFIG = {
    "Configs": Configs,
    "verify": Rules,
    "chaos": Chaos,
    "explore": Explore,
    "generate": Generate,
    "circuits": Circuit,
    "faults": Fault,
    "taps": Tap,
    "checks": Check,
    "monitor": Monitored,
    "histories": OperationHistory,
    "otlp": Telemetry,
}
#: Tables that hold anything by name, and files of other programs.
OTHERS = {"env", "matrix", "metrics", "rule", "schemas", "project", "tool", "build-system"}


def declared_tables(document: dict[str, Any]) -> Iterator[tuple[type, Any]]:
    """The tables of a file that users write, each with its declaration."""
    project = {key for _, key in keys_of(ProjectTable)}
    if document.keys() & {"unit", "run", *(project - {"Configs", "env"})}:
        yield ProjectTable, document
        yield Configs, document.get("Configs", {})
        yield Unit, document.get("unit", {})
        return
    for name, table in document.items():
        if name in CONFIG:
            for each in table if isinstance(table, list) else [table]:
                yield CONFIG[name], each
        elif name == "metrics":
            for each in table.values():
                yield Metric, each
        elif name not in OTHERS:
            yield (Fixture if "scope" in table else Unit), table


def test_a_block_of_toml_is_told_from_another() -> None:
    kinds = [kind for kind, _ in declared_tables({"Configs": {}, "checks": [{}], "db": {}})]
    assert kinds == [Configs, Check, Unit]
    assert next(declared_tables({"unit": {}}))[0] is ProjectTable


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_toml_has_only_keys_and_values_that_load(page: Path) -> None:
    for block in blocks(page.read_text(), r"toml(?: \S+)?"):
        for kind, table in declared_tables(tomllib.loads(block)):
            try:
                validator(kind).validate_python(table)
            except ValidationError as error:
                pytest.fail(f"{block}\n{error}")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_compiles(page: Path) -> None:
    for block in blocks(page.read_text(), "python"):
        compile(re.sub(r"\bawait ", "", block), page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_resolve(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_a_page_begins_with_what_the_reader_can_do_after_it() -> None:
    pages = [
        *ROOT.glob("docs/*.md"),
        *(page for name in ("how-to", "reference") for page in ROOT.glob(f"docs/{name}/*.md")),
    ]
    first = {page_id(page): page.read_text().partition("\n\n")[2] for page in pages}
    begin = {name for name, text in first.items() if text.startswith("After this page ")}
    assert first.keys() - begin == {"docs/index.md", "docs/changelog.md"}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:testrium|docs|tests|example_groups)/[\w./-]+)`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_room_is_on_the_map() -> None:
    page = (ROOT / "docs" / "how-it-works.md").read_text()
    rooms = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "testrium").iterdir()
        if not path.name.startswith("__")
        and (path.suffix == ".py" or (path / "__init__.py").is_file())
    }
    section = page.split("## Rooms")[1].split("\n## ")[0]
    assert set(re.findall(r"`(\w+(?:/|\.py))`", section)) == rooms


def calls(text: str) -> list[str]:
    """Every call of `testrium` that stands in code style, without the program's name."""
    inline = re.findall(r"`testrium ([^`\n]+)`", text)
    in_blocks = re.findall(r"^(?: {4}|\$ )?testrium ([^\n]+)$", text, re.MULTILINE)
    return [*inline, *in_blocks]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_that_are_named_exist(page: Path) -> None:
    for call in calls(page.read_text()):
        words = [word for word in call.split() if re.fullmatch("[a-z-]+", word)]
        if not words or words[0].startswith("-"):
            continue
        assert words[0] in COMMANDS, call
        command = command_of(words[0])
        if isinstance(command, click.Group) and len(words) > 1:
            assert words[1] in command.commands, call


def test_every_command_is_documented() -> None:
    text = (REFERENCE / "command-line.md").read_text()
    assert [name for name in COMMANDS if f"`testrium {name}" not in text] == []


def told_of(name: str) -> str:
    """What the reference tells of a command: its rows in the first table, and its section."""
    first, *sections = re.split(
        r"^## ", (REFERENCE / "command-line.md").read_text(), flags=re.MULTILINE
    )
    rows = [row for row in first.splitlines() if row.startswith(f"| `testrium {name}")]
    own = [one for one in sections if name in re.findall(r"[\w-]+", one.partition("\n")[0])]
    return "\n".join(rows + own)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented(name: str) -> None:
    named = set(re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*", told_of(name)))
    if name == "list":
        assert "as `testrium run` does" in told_of(name)
        named |= options(command_of("run"))
    assert set(every_option(command_of(name))) - named == set()


def test_every_key_of_a_check_is_documented() -> None:
    page = (REFERENCE / "checks.md").read_text()
    documented = {name.partition(" ")[0] for name in first_column(page)}
    assert {key for _, key in keys_of(Check)} - documented == {"name"}


def test_every_name_of_testing_is_documented() -> None:
    page = (REFERENCE / "testing.md").read_text()
    assert [name for name in testing.__all__ if not re.search(rf"`[^`\n]*\b{name}\b", page)] == []


def test_options_that_are_documented_exist() -> None:
    text = (REFERENCE / "command-line.md").read_text()
    known = {option for name in COMMANDS for option in every_option(command_of(name))}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - known == {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_options_of_commands_that_are_named_exist(page: Path) -> None:
    for call in calls(page.read_text()):
        name = next((word for word in call.split() if word in COMMANDS), "run")
        known = {*every_option(command_of(name)), *options(main), "--help"}
        given = re.findall(r"(?<=\s)--[a-z][a-z-]+", f" {call.split(' -- ')[0]}")
        assert set(given) - known == set(), call


def every_option(command: click.Command) -> Iterator[str]:
    yield from options(command)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from every_option(child)


def test_every_key_of_groups_and_units_is_documented() -> None:
    documented = {
        key.replace("-", "_") for key in first_column((REFERENCE / "groups.md").read_text())
    }
    declared = {key for kind in (Configs, Unit) for _, key in keys_of(kind)}
    assert {key.replace("-", "_") for key in declared} - documented == set()


def test_old_import_paths_that_are_documented_exist() -> None:
    text = (REFERENCE / "classic-api.md").read_text()
    rows = re.findall(r"^\| `(testrium\.[\w.]+)` \| (.+?) \|$", text, re.MULTILINE)
    assert len(rows) >= 5
    for module, names in rows:
        for name in re.findall(r"`(\w+)`", names):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_methods_of_the_classic_managers_are_those_that_are_documented() -> None:
    text = (REFERENCE / "classic-api.md").read_text()
    managers = (Events_Manager, UnitStatus_Manager, Results_Manager)
    methods = {name: getattr(one, name) for one in managers for name in vars(one) if name[0] != "_"}
    for name, method in methods.items():
        if not callable(method):
            continue
        found = re.search(rf"`{name}\((.*?)\)`", text)
        assert found is not None, name
        documented = re.findall(r"\w+", re.sub(r"=[^,]+", "", found[1]))
        assert documented == [
            each for each in inspect.signature(method).parameters if each != "self"
        ]


def test_every_finding_is_documented_in_its_order() -> None:
    text = (REFERENCE / "findings.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \|", text.split("## Verdicts")[0], re.MULTILINE)
    assert rows == [code.value for code in Code]


def published() -> Iterator[Path]:
    for pattern in ("*.md", "Makefile", "pyproject.toml", ".ci/*"):
        yield from ROOT.glob(pattern)
    for folder in ("docs", "news", "testrium", "templates", "example_groups", "failing_groups"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix != ".pyc" and ".testrium" not in path.parts:
                yield path


def test_nothing_names_a_developers_machine() -> None:
    named = {
        page_id(path): found[0]
        for path in published()
        if (found := PRIVATE.search(path.read_text(errors="replace")))
    }
    assert named == {}


def test_no_figure_is_missing() -> None:
    assert [page_id(page) for page in PAGES if "FIGURE" in page.read_text()] == []
