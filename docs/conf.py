"""Sphinx builds the documentation site with this: `make docs`.

The pages are Markdown that reads well in a checkout. Their links to files outside of this folder
become links to the pages that show these files: examples, and the texts at the project's root.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any, Final

DOCS: Final = Path(__file__).resolve().parent
ROOT: Final = DOCS.parent
sys.path.insert(0, str(ROOT))

from testrium import __version__  # noqa: E402

project = "Testrium"
author = "The Testrium developers"
copyright = "The Testrium developers"  # noqa: A001 - the name that Sphinx reads
release = version = __version__

extensions = ["myst_parser", "sphinx_click"]
exclude_patterns = ["_build", "examples"]
nitpicky = True

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # pages of findings begin their sections at any level

html_theme = "furo"
html_title = f"Testrium {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = [str(file) for file in sorted((DOCS / "reference").glob("*.schema.json"))]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}

#: Pages whose text stands in a file at the project's root.
AT_THE_ROOT: Final = {
    "contributing/index": "CONTRIBUTING.md",
    "contributing/security": "SECURITY.md",
    "contributing/conduct": "CODE_OF_CONDUCT.md",
    "changelog": "CHANGELOG.md",
}
#: Pages that show files of these folders, a section each.
SHOWN: Final = {"example_groups": "examples", "failing_groups": "examples"}

_LINK: Final = re.compile(
    r"\[(?P<text>[^\]\n]*(?:\[[^\]\n]*\][^\]\n]*)?)\]\((?P<to>[^)\s#]+)(?P<at>#[^)\s]*)?\)"
)
#: Files of a group that a page shows, in the order in which they are read.
_ORDER: Final = ("config.toml", "units", "fixtures", "setup.py")


def read(app: Any, name: str, source: list[str]) -> None:
    """Take the texts at the root, and point links that leave the folder to pages."""
    file = DOCS / f"{name}.md"
    text = source[0]
    if name in AT_THE_ROOT:
        file = ROOT / AT_THE_ROOT[name]
        text = file.read_text(encoding="utf-8")
    if name == "index":  # what Testrium is, on one screen
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        text = readme.partition("## Start")[0] + text[text.index("## Where to begin") :]
    if name == "examples":
        text += "".join(map(section, groups()))
    if name == "findings/README":
        text += "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"
    page = (DOCS / name).parent
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    source[0] = "".join(
        part if part.startswith("```") else _LINK.sub(lambda link: _to_page(link, file, page), part)
        for part in parts
    )


def _to_page(link: re.Match[str], file: Path, page: Path) -> str:
    """A link as it stands on a page of the site."""
    to = link["to"]
    if re.match(r"[a-z]+:", to):
        return link[0]
    target = Path(os.path.normpath(file.parent / to))
    anchor = link["at"] or ""
    if not target.exists():
        return link[0]  # Sphinx warns of it
    if target.is_relative_to(DOCS):
        shown = target / "README.md" if (target / "README.md").exists() else target
        if target.is_dir() and shown == target:
            return f"`{target.relative_to(ROOT).as_posix()}`"
    else:
        inside = target.relative_to(ROOT)
        roots = {file: name for name, file in AT_THE_ROOT.items()}
        if inside.as_posix() in roots:
            shown = DOCS / f"{roots[inside.as_posix()]}.md"
        elif inside.parts[0] in SHOWN and len(inside.parts) > 1:
            shown, anchor = DOCS / f"{SHOWN[inside.parts[0]]}.md", f"#{inside.parts[1]}"
        else:
            return link["text"]
    return f"[{link['text']}]({PurePosixPath(os.path.relpath(shown, page))}{anchor})"


def groups() -> list[Path]:
    """The groups that the page of examples shows."""
    return [
        group for folder in SHOWN for group in sorted((ROOT / folder).iterdir()) if group.is_dir()
    ]


def section(group: Path) -> str:
    """What a group consists of, as a section of a page."""
    files = sorted(
        (
            path
            for path in group.rglob("*")
            if path.is_file() and not _made(path.relative_to(group))
        ),
        key=lambda path: _rank(path.relative_to(group)),
    )
    shown = "".join(_block(path, path.relative_to(group).as_posix()) for path in files)
    call = f"`testrium run {group.relative_to(ROOT).as_posix()}`"
    return f"\n## {group.name}\n\n{_told(group)}\n\n{call}\n{shown}"


def _told(group: Path) -> str:
    """The title and the purpose of a group, or of the groups in it."""
    tables = [
        tomllib.loads(path.read_text(encoding="utf-8")).get("Configs", {})
        for path in sorted(group.rglob("config.toml"))
        if not _made(path.relative_to(group))
    ]
    texts = [each.get(key, "") for each in tables for key in ("title", "purpose")]
    return " ".join(text if text.endswith(".") else f"{text}." for text in texts if text)


def _made(path: PurePosixPath) -> bool:
    return any(part.startswith((".", "__pycache__")) for part in path.parts)


def _rank(path: PurePosixPath) -> tuple[int, str]:
    first = path.parts[0]
    return (_ORDER.index(first) if first in _ORDER else len(_ORDER), path.as_posix())


def _block(path: Path, name: str) -> str:
    language = {".py": "python", ".toml": "toml", ".sh": "sh", ".js": "javascript"}.get(
        path.suffix, "text"
    )
    fence = ":" * 4
    body = path.read_text(encoding="utf-8").rstrip()
    return f"\n{fence}{{code-block}} {language}\n:caption: {name}\n\n{body}\n{fence}\n"


def as_rst(_: Any, context: Any, lines: list[str]) -> None:
    """Write the help of a command, plain text with `code`, as reStructuredText has it."""
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", "\n".join(lines))
    parts = re.split(r"(``.+?``)", text, flags=re.DOTALL)
    lines[:] = "".join(
        part
        if part.startswith("``")
        else re.sub(r"(?<=\w)(?=:\w)|(?=\*)|(?m:^)(?=- )", r"\\", part)
        for part in parts
    ).split("\n")  # the last line is empty, and has to stay


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("source-read", read)
    app.connect("sphinx-click-process-description", as_rst)
    app.connect("sphinx-click-process-options", as_rst)
