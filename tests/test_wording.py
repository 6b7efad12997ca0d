"""What users read follows docs/contributing/wording.md: plain words, no riddles."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import testrium

FOLDER = Path(testrium.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))

#: What is not instead of what is, and words that hide who acts or what is meant.
RIDDLES = re.compile(
    r"\b(is|are|was|were) no\b(?! longer)"
    r"|\b(whoever|nobody|lest|shall|owes|owed)\b"
    r"|\bwhat became\b|\bbecomes? of\b|\bso (many|much|often|long ago)\b"
    r"|\bstands? (beside|there|for)\b|\bgoes on\b|\b(says?|said) who\b|\bwho says\b"
    r"|\bno (TOML|Python|JSON|duration|regular expression)\b|\bfor machines\b"
    r"|\bit is told\b|\bto be told\b|\bbad end\b|\bto its end\b|\bnone of (its|1)\b"
    r"|\bwas left alone\b|\bso that\b|\bnothing both\b",
    re.IGNORECASE,
)


def spoken(file: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module that users may read.

    All strings, the docstrings of fields and of commands, but no other docstring.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            is_command = isinstance(node, ast.FunctionDef) and _is_command(node)
            if isinstance(first, ast.Expr) and not is_command:
                silent.add(id(first.value))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and id(node) not in silent
        ):
            yield node.lineno, node.value


def _is_command(function: ast.FunctionDef) -> bool:
    return any("click" in ast.unparse(each) for each in function.decorator_list)


def riddles(file: Path) -> list[str]:
    return [
        f"{file.name}:{line}: {match[0]!r} in {text!r}"
        for line, text in spoken(file)
        if (match := RIDDLES.search(" ".join(text.split())))
    ]


def test_texts_of_the_package_say_what_is() -> None:
    assert len(FILES) > 100
    assert [found for file in FILES for found in riddles(file)] == []


ROOT = FOLDER.parent
#: Every page but the one that lists the words to avoid.
PAGES = [
    page
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
    if page.name != "wording.md"
]


def prose(page: Path) -> str:
    """A page without its code: what programs print and people write is not ours to word."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return " ".join(re.sub(r"`[^`\n]*`", "CODE", text).split())


def test_pages_say_what_is() -> None:
    assert len(PAGES) > 60
    found = [
        f"{page.relative_to(ROOT)}: {text[max(match.start() - 40, 0) : match.end() + 40]}"
        for page in PAGES
        for text in [prose(page)]
        for match in RIDDLES.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text", ["there is no run", "So many runs.", "no TOML: x", "Whoever asks", "it is told"]
)
def test_a_riddle_is_found(text: str, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(f'"""There is no matter here."""\nTEXT = "{text}"\n')
    assert len(riddles(file)) == 1


def test_the_texts_of_fields_are_read(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('class A:\n    """There is no matter."""\n    b: int\n    """is no key"""\n')
    (found,) = riddles(file)
    assert found.startswith("module.py:4: 'is no'")
