"""Check that every link of a built site leads to a page, and to a place on it, that is there.

    python docs/links.py build/site

Nothing is asked of the network: of other sites only the form of their addresses is checked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and the places that a link can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note what the tag says; the parser calls this."""
        for name, value in attributes:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def broken(site: Path) -> Iterator[str]:
    """Each link that leads nowhere, as `page: link: reason`."""
    pages = {
        path.resolve(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")
    }
    for path, page in sorted(pages.items()):
        for link in dict.fromkeys(page.links):
            if reason := _wrong(link, path, pages):
                yield f"{path.relative_to(site.resolve())}: {link}: {reason}"


def _wrong(link: str, path: Path, pages: dict[Path, Page]) -> str:
    """Why a link of the page at `path` is broken, or ""."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return "" if parts.scheme in ("https", "data", "mailto") else "must be https"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return "there is no such file"
    if target in pages and unquote(parts.fragment) not in pages[target].places:
        return f"there is no place #{parts.fragment}"
    return ""


if __name__ == "__main__":
    if found := list(broken(Path(sys.argv[1]))):
        sys.exit("\n".join([*found, f"broken links: {len(found)}"]))
