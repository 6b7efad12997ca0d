"""Units that are suites of tests, or checks by hand: what their keys mean together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from testrium.declared.units import ManualStep, Unit
from testrium.load.references import Scope, check_text
from testrium.load.unit_files import UnitFile
from testrium.loaded_by_name import SUITES

#: Kind -> the key that it needs.
_NEEDED: Final = {"pytest": "paths", "unittest": "paths", "doctest": "paths", "manual": "steps"}
#: Key -> the kinds that have it.
_OWNERS: Final = {
    "paths": ("pytest", "unittest", "doctest"),
    "args": ("pytest",),
    "steps": ("manual",),
}
#: How long a group with a check by hand may take where nothing is said: people are slow.
_MANUAL_TIMEOUT_S: Final = 3600.0
_PYTEST: Final = "python:pytest"


def check_suite(file: UnitFile) -> None:
    """Note what is wrong with the keys of a unit that have to do with its kind.

    Of a kind that may be a plugin only its steps are looked at: if it is none, the kind is what is
    wrong, and not the other keys.
    """
    kind = file["kind"]
    if kind is None or kind in SUITES:
        check_keys_of_kind(file)
    if kind in _NEEDED and _NEEDED[kind] not in file.reading.spots:
        file.at("kind").wrong(f"a unit of kind {kind!r} needs {_NEEDED[kind]!r}")
    names = [step.name for step in manual_steps(file)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        file.at("steps").wrong(f"contains duplicate names: {', '.join(twice)}")


def check_keys_of_kind(file: UnitFile) -> None:
    """Note every key of a unit that belongs to another kind."""
    for key, owners in _OWNERS.items():
        if key in file.reading.spots and file["kind"] not in owners:
            kinds = " or ".join(f"'{owner}'" for owner in owners)
            file.at(key).wrong(f"belongs to a unit of kind {kinds}")


def manual_steps(file: UnitFile) -> tuple[ManualStep, ...]:
    """The steps of a check by hand; one without a name has its number."""
    return tuple(
        ManualStep(
            step["name"] or f"step-{number}",
            do=step["do"] or "",
            expect=step["expect"] or "",
        )
        for number, step in enumerate(file["steps"], start=1)
    )


def check_suite_texts(file: UnitFile, scope: Scope) -> None:
    """Note every `${...}` in the texts of a suite that names nothing."""
    for field in ("paths", "args"):
        for index, text in enumerate(file[field]):
            check_text(text, file.at(field).at(index), scope)
    for name, text in file["settings"].items():
        check_text(text, file.at("settings").at(name), scope)
    for step in file["steps"]:
        for field in ("do", "expect"):
            check_text(step[field] or "", step.at(field), scope)


def check_suite_paths(files: Sequence[UnitFile], folder: Path) -> None:
    """Note every path of a suite that is not there; one with `${...}` is known only later."""
    for file in files:
        for index, text in enumerate(file["paths"] if file["kind"] in _OWNERS["paths"] else ()):
            # pytest takes a test's own name behind the file.
            path = text.partition("::")[0] if file["kind"] == "pytest" else text
            if "${" not in text and not (folder / path).exists():
                file.at("paths").at(index).wrong(f"{text!r}: no such file or folder")


def suite_settings(fields: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """What the group's own settings become where it has suites.

    Args:
        fields: those of the group, with its units.
        given: the fields of `[Configs]` that a file says.
    """
    units: tuple[Unit, ...] = fields["units"]
    kinds = {unit.kind for unit in units if unit.enabled}
    changed: dict[str, Any] = {}
    if "pytest" in kinds and _PYTEST not in fields["requires"]:
        changed["requires"] = (*fields["requires"], _PYTEST)
    if "manual" in kinds:
        changed["exclusive"] = True  # nothing is written to the terminal between the questions
        if "timeout_s" not in given:
            changed["timeout_s"] = _MANUAL_TIMEOUT_S
    return changed
