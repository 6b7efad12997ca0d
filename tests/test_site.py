"""The documentation site is built without a warning, its links hold, and its search finds."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from testrium.declared.keys import keys_of

ROOT = Path(__file__).resolve().parents[1]


def loaded(name: str) -> ModuleType:
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    options = ("--fail-on-warning", "--keep-going", "--quiet", "-d", folder / "doctrees")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ROOT / "docs", folder / "html"],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert (built.returncode, built.stderr) == (0, "")
    return folder / "html"


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    assert list(loaded("links").broken(site)) == []


def test_the_search_knows_pages_examples_and_options(site: Path) -> None:
    index = (site / "searchindex.js").read_text()
    assert [word for word in ("misrout", "latency_budget", "junit") if word not in index] == []


def test_a_link_to_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<p id="here"><a href="b.html#there">b</a> <a href="#here">')
    (tmp_path / "b.html").write_text('<img src="c.png"> <a href="http://plain.example/">')
    assert list(loaded("links").broken(tmp_path)) == [
        "a.html: b.html#there: there is no place #there",
        "b.html: c.png: there is no such file",
        "b.html: http://plain.example/: must be https",
    ]


TABLES = loaded("tables")


@pytest.mark.parametrize("page", sorted(TABLES.PAGES.glob("*.md")), ids=lambda page: page.name)
def test_tables_of_keys_are_as_declared(page: Path) -> None:
    text = page.read_text()
    assert TABLES.filled(text) == text, "call: python docs/tables.py"


def test_the_published_schemas_are_as_declared() -> None:
    differing = [file.name for file, text in TABLES.schemas().items() if file.read_text() != text]
    assert differing == [], "call: python docs/tables.py"


def test_every_key_has_its_row() -> None:
    pages = [page.read_text() for page in TABLES.PAGES.glob("*.md")]
    declared = {(name, key) for name, kind in TABLES.KINDS.items() for _, key in keys_of(kind)}
    assert declared - set.union(*map(TABLES.shown, pages)) == {("Check", "name")}


def test_a_row_has_the_key_its_default_and_its_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES.KINDS, "Kettle", Kettle)
    page = "before\n<!-- keys: Kettle: litres -->\nold\n<!-- end of keys -->\nafter\n"
    assert TABLES.filled(page).splitlines()[1:6] == [
        "<!-- keys: Kettle: litres -->",
        "",
        "| key | default | meaning |",
        "|---|---|---|",
        r"| `litres` | `[1.5]` | how much \| how many |",
    ]


@dataclass
class Kettle:
    """What a table is made of."""

    color: str = "red"
    """its paint"""
    litres: tuple[float, ...] = (1.5,)
    """how much | how many"""
