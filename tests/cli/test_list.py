"""`testrium list`: what is chosen, in which order, and the further views."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from testrium.cli.groups import list_command
from testrium.cli.main import Common
from testrium.errors import ExitCode, UsageError
from testrium.history.database import append_run
from testrium.load import load_groups
from testrium.plan.scenarios import plan_scenarios
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict

GROUPS = {
    "pay": "title = 'Zahlung'\ntags = ['money']\nrequirements = ['R-1', 'R-2']",
    "shop/cart": "title = 'Cart'\ntags = ['money', 'slow']\nrequirements = ['R-2']\norder = -1",
    "shop/find": "test-modes = ['DEBUG', 'INFO']\nrequirements = ['S-1']",
    "stock": "skip = 'not yet'\nrepeat = 1",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, configs in GROUPS.items():
        folder = tmp_path / name
        (folder / "units").mkdir(parents=True)
        (folder / "config.toml").write_text(f"[Configs]\nunits = ['u']\n{configs}")
        (folder / "units/u.toml").write_text("[u]\ninit = 0\ncommand = ['true']")
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(list_command, arguments, obj=Common())


def data(*arguments: str) -> Any:
    return json.loads(invoke(*arguments, "--json").output)


def ids(*arguments: str) -> list[str]:
    return [group["id"] for group in data(*arguments)]


@pytest.fixture
def history(project: Path) -> None:
    """Two runs: in the first all passed, in the second some did not, and `pay` was left out."""
    scenarios = plan_scenarios(load_groups((), cwd=project))
    durations = {"pay": 1.0, "shop/cart": 3.0, "shop/find": 2.0}

    def store(run: str, verdicts: dict[str, Verdict]) -> None:
        results = tuple(
            GroupResult(each, verdicts[each.id], duration_s=durations.get(each.id, 0.0))
            for each in scenarios
            if each.id in verdicts
        )
        result = RunResult(
            run, Verdict.FAIL, ExitCode.FAILURE, 1.0, results, folder=project, started_wall=1.0
        )
        (project / ".testrium").mkdir(exist_ok=True)
        assert append_run(project / ".testrium", result) == ()

    store("1", dict.fromkeys(GROUPS, Verdict.PASS))
    store("2", {"shop/cart": Verdict.FAIL, "shop/find": Verdict.UNKNOWN, "stock": Verdict.SKIP})


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), ["shop/cart", "pay", "shop/find", "stock"]),
        (("--sort", "id"), ["pay", "shop/cart", "shop/find", "stock"]),
        (("--sort", "id", "--reverse"), ["stock", "shop/find", "shop/cart", "pay"]),
        (("--sort", "title"), ["shop/find", "stock", "shop/cart", "pay"]),
        (("pay..shop/cart",), ["shop/cart", "pay"]),
        (("--requirement", "R-*"), ["shop/cart", "pay"]),
        (("--requirement", "S-1", "--requirement", "R-1"), ["pay", "shop/find"]),
        (("--tag", "money and not slow"), ["pay"]),
    ],
)
def test_which_groups_in_which_order(arguments: tuple[str, ...], found: list[str]) -> None:
    assert ids(*arguments) == found


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--sort", "duration"), ["shop/cart", "shop/find", "pay", "stock"]),
        (("--sort", "verdict"), ["shop/cart", "shop/find", "stock", "pay"]),
        (("--failed",), ["shop/cart", "shop/find"]),
    ],
)
def test_what_the_history_knows(arguments: tuple[str, ...], found: list[str]) -> None:
    assert ids(*arguments) == found


def test_the_fields_of_a_group() -> None:
    (group,) = data("shop/find")
    assert group == {
        "id": "shop/find",
        "folder": str(Path("shop/find").resolve()),
        "title": "",
        "purpose": "",
        "modes": ["DEBUG", "INFO"],
        "params": {},
        "repeat": 0,
        "order": 0,
        "units": ["u"],
        "fixtures": [],
        "circuits": [],
        "tags": [],
        "requirements": ["S-1"],
        "requires": [],
        "skip": None,
        "expect_fail": None,
    }


def test_a_fixture_is_none_of_the_units(project: Path) -> None:
    (project / "fixtures").mkdir()
    (project / "fixtures/db.toml").write_text("[db]\ncommand = ['db']")
    config = project / "pay/config.toml"
    config.write_text(config.read_text() + "\nfixtures = ['db']")
    (group,) = data("pay")
    assert (group["units"], group["fixtures"]) == (["u"], ["db"])
    assert "1 unit, 0 circuits, with db" in invoke("pay").output


def test_tags() -> None:
    assert data("--tags") == {"money": ["shop/cart", "pay"], "slow": ["shop/cart"]}
    assert invoke("--tags").output == "money  shop/cart, pay\nslow   shop/cart\n"
    assert invoke("--tags", "stock").output == "no group has a tag\n"


@pytest.mark.usefixtures("history")
def test_requirements_with_their_last_verdicts(project: Path) -> None:
    (project / "testrium.toml").write_text(
        "[requirements]\nR-1 = 'Money is safe'\nR-2 = ''\nR-3 = 'Nobody waits'\nS-1 = ''"
    )
    assert data("--requirements") == [
        {
            "id": "R-1",
            "text": "Money is safe",
            "verdict": "pass",
            "groups": [{"id": "pay", "verdict": "pass"}],
        },
        {
            "id": "R-2",
            "text": "",
            "verdict": "fail",
            "groups": [
                {"id": "shop/cart", "verdict": "fail"},
                {"id": "pay", "verdict": "pass"},
            ],
        },
        {"id": "R-3", "text": "Nobody waits", "verdict": None, "groups": []},
        {
            "id": "S-1",
            "text": "",
            "verdict": "unknown",
            "groups": [{"id": "shop/find", "verdict": "unknown"}],
        },
    ]
    assert invoke("--requirements").output.splitlines() == [
        "R-1  pass      pay (pass)  Money is safe",
        "R-2  fail      shop/cart (fail), pay (pass)",
        "R-3  no group  Nobody waits",
        "S-1  unknown   shop/find (unknown)",
        "",
        "1 of 4 passed, 1 without a group",
    ]
    assert [row["id"] for row in data("--requirements", "--tag", "slow")] == ["R-2"]


def test_requirements_that_were_never_run() -> None:
    assert "S-1  not run   shop/find (not run)" in invoke("--requirements").output
    assert invoke("--requirements", "stock").output == "no group names a requirement\n"


def test_effective_settings(project: Path) -> None:
    (project / "shop/testrium.toml").write_text("[Configs]\ntimeout = 9")
    output = invoke("--effective").output
    assert "    timeout = 9               shop/testrium.toml:2\n" in output
    (found,) = [group for group in data("--effective") if group["id"] == "pay"]
    by_key = {each["key"]: each for each in found["settings"] if each["unit"] is None}
    assert by_key["timeout"]["origin"] == "default"
    assert by_key["tags"]["origin"] == "pay/config.toml:4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tags", "--effective"), "--effective conflicts with --tags: use one of them"),
        (
            ("--requirement", "R-9"),
            "--requirement R-9: no group covers it; did you mean 'R-2'?",
        ),
    ],
)
def test_what_cannot_be_asked(arguments: tuple[str, ...], message: str) -> None:
    error = invoke(*arguments).exception
    assert isinstance(error, UsageError)
    assert str(error) == message
