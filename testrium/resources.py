"""Where the files are that Testrium brings along: templates, and the pages about findings."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def template_folder() -> Path:
    """The folder that holds `report/` and `scaffold/`.

    A wheel carries it inside the package; a checkout, and with it an editable install, has it
    beside the package, so an edited template is used at once.
    """
    return _brought("_templates", "templates")


def findings_folder() -> Path:
    """The folder that holds a page for every code of a finding, such as `lost.md`."""
    return _brought("_docs/findings", "docs/findings")


def _brought(installed: str, checkout: str) -> Path:
    inside = _PACKAGE / installed
    return inside if inside.is_dir() else _PACKAGE.parent / checkout
