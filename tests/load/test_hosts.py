"""`[hosts.NAME]` and `host`: where they may stand, and what cannot hold on another host."""

from __future__ import annotations

from pathlib import Path

import pytest

from testrium.errors import ConfigError
from testrium.load import load_groups

EDGE = '[hosts.edge]\nconnect = ["ssh", "edge"]\n'


def write(folder: Path, config: str, unit: str) -> None:
    (folder / "g/units").mkdir(parents=True)
    (folder / "g/config.toml").write_text(f'[Configs]\nunits = ["a"]\n{config}')
    (folder / "g/units/a.toml").write_text(f'["a"]\n{unit}')


def load(folder: Path) -> list[str]:
    """The problems of the group in the folder."""
    try:
        load_groups([folder / "g"], cwd=folder)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("config", "unit", "told"),
    [
        (
            EDGE,
            'command = ["x"]\nhost = "edgy"',
            "g/units/a.toml:3: host: unknown host 'edgy'; did you mean 'edge'?",
        ),
        (
            "",
            'command = ["x"]\nhost = "edge"',
            "g/units/a.toml:3: host: unknown host 'edge': add [hosts.edge] to config.toml",
        ),
        (
            '[hosts.edge]\nconect = ["ssh"]\n',
            'command = ["x"]\nhost = "edge"',
            "g/config.toml:4: hosts.edge.conect: unknown key; did you mean 'connect'?",
        ),
        (
            "[hosts.edge]\nconnect = []\n",
            'command = ["x"]\nhost = "edge"',
            "g/config.toml:4: hosts.edge.connect: must not be empty",
        ),
        (
            EDGE,
            'kind = "pytest"\npaths = ["."]\nhost = "edge"',
            "g/units/a.toml:2: kind: does not work for a unit on another host (host = 'edge')",
        ),
        (
            EDGE,
            'host = "edge"',
            "g/units/a.toml:2: host: this unit has no process",
        ),
        (
            EDGE,
            'command = ["x", "${unit.a.address}"]\nhost = "edge"',
            "g/units/a.toml:2: command: ${unit.a.address}: host 'edge' has no address: add it",
        ),
        (
            EDGE + '[[faults]]\nunit = "a"\ndo = "clock"\nvalue = "+1h"\n',
            'command = ["x"]\nhost = "edge"',
            "g/config.toml:5: faults[1]: do = 'clock' does not work for a, which",
        ),
    ],
)
def test_what_cannot_hold_is_refused_with_its_place(
    tmp_path: Path, config: str, unit: str, told: str
) -> None:
    write(tmp_path, config, unit)
    assert any(problem.startswith(told) for problem in load(tmp_path))


def test_host_of_the_project_file_holds_for_its_groups_and_a_groups_own_wins(
    tmp_path: Path,
) -> None:
    (tmp_path / "testrium.toml").write_text(
        EDGE + 'address = "10.0.0.2"\n[hosts.unused]\nconnect = ["x"]\n'
    )
    write(tmp_path, "", 'command = ["x", "${unit.a.address}"]\nhost = "edge"')
    (group,) = load_groups([tmp_path / "g"], cwd=tmp_path)
    assert {name: host.connect for name, host in group.hosts.items()} == {"edge": ("ssh", "edge")}
    assert group.hosts["edge"].place == "testrium.toml:1"
    (tmp_path / "g/config.toml").write_text(
        '[Configs]\nunits = ["a"]\n[hosts.edge]\nconnect = ["sh", "-c"]\naddress = "::1"\n'
    )
    (group,) = load_groups([tmp_path / "g"], cwd=tmp_path)
    assert group.hosts["edge"].connect == ("sh", "-c")


def test_text_names_the_address_of_a_unit_that_its_link_leads_to(tmp_path: Path) -> None:
    host = '[hosts.edge]\nconnect = ["ssh", "edge"]\n'
    fault = '[[faults]]\nlink = "a.p"\ndo = "reset"\n'
    unit = 'command = ["x", "${unit.a.address}"]\nports = ["p"]\nhost = "edge"'
    write(tmp_path / "without", host, unit)
    [problem] = load(tmp_path / "without")
    assert "host 'edge' has no address: add it to [hosts.edge]" in problem
    write(tmp_path / "with", host + fault, unit)
    assert load(tmp_path / "with") == []
