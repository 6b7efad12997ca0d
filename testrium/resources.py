"""Where the files are that Testrium brings along: report and scaffold templates."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def template_folder() -> Path:
    """The folder that holds `report/` and `scaffold/`.

    A wheel carries it inside the package; a checkout, and with it an editable install, has it
    beside the package, so that an edited template is used at once.
    """
    installed = _PACKAGE / "_templates"
    return installed if installed.is_dir() else _PACKAGE.parent / "templates"
