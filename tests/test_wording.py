"""What users and contributors read follows docs/contributing/wording.md: no riddles."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import testrium

CODE = re.compile(r"`[^`\n]*`")
COMMENT = re.compile(r"(?:^\s*|  )#:? (.*)")

FOLDER = Path(testrium.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))

#: What is not instead of what is, and words that hide who acts or what is meant.
RIDDLES = re.compile(
    r"\b(is|are|was|were) no\b(?! longer)"
    r"|\b(whoever|nobody|lest|shall|owes|owed)\b"
    r"|\bwhat became\b|\bbecomes? of\b|\bso (many|much|often|long ago)\b"
    r"|\bstands? (beside|there|for)\b|\bgoes on\b|\b(says?|said) who\b|\bwho says\b"
    r"|\bno (TOML|Python|JSON|duration|regular expression)\b|\bfor machines\b"
    r"|\b(is|are|was|were|be|been) told\b|\bdied of\b|\bno meaning (with|beside)\b"
    r"|\bbad end\b|\bto its end\b|\bnone of (its|1)\b"
    r"|\bwas left alone\b|\bso that\b|\bnothing both\b",
    re.IGNORECASE,
)


def spoken(file: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module: all strings and docstrings, and its comments; what is code is not."""
    source = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, CODE.sub("CODE", node.value)
    for line, text in enumerate(source.splitlines(), start=1):
        if comment := COMMENT.search(text):
            yield line, CODE.sub("CODE", comment[1])


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
    return " ".join(CODE.sub("CODE", text).split())


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
    file.write_text(f'"""What matters."""\nTEXT = "{text}"\n')
    assert len(riddles(file)) == 1


def test_docstrings_fields_and_comments_are_read(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        'class A:\n    """There is no matter."""\n    b: int\n    """is no key"""\n'
        "    #: nobody reads `so that`\n    c = 1  # so often\n"
    )
    assert [found.split()[0] for found in riddles(file)] == [
        f"module.py:{line}:" for line in (2, 4, 5, 6)
    ]
