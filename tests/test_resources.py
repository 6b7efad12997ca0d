"""Templates and pages are found in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

from testrium import resources


def test_templates_of_a_checkout_stand_beside_the_package() -> None:
    checkout = Path(__file__).resolve().parents[1]
    assert resources.template_folder() == checkout / "templates"


def test_templates_of_a_wheel_stand_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_templates").mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path)
    assert resources.template_folder() == tmp_path / "_templates"


def test_pages_about_findings_of_a_checkout_and_of_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = Path(__file__).resolve().parents[1]
    assert resources.findings_folder() == checkout / "docs" / "findings"
    (tmp_path / "_docs" / "findings").mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path)
    assert resources.findings_folder() == tmp_path / "_docs" / "findings"
