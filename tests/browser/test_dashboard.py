"""The dashboard, in a browser, by those who may and those who may not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode
from testrium.history.database import History
from testrium.history.rows import Revision
from testrium.results import GroupResult, Judgement, Measure, RunResult
from testrium.words import Verdict

if TYPE_CHECKING:
    from tests.browser.conftest import Tab
    from tests.conftest import Workplace


def fill(state: Path, runs: int) -> None:
    """A history of so many runs, whose folders are gone."""
    group = Group("checkout", state.parent / "checkout", ())
    with History(state) as history:
        for number in range(runs):
            verdict = Verdict.FAIL if number % 10 == 3 else Verdict.PASS
            judgement = Judgement(verdict, measures=(Measure("duration", 1.0, "s", "group"),))
            result = GroupResult(
                Scenario("checkout", group, ()), verdict, duration_s=1.0, judgement=judgement
            )
            run = RunResult(
                f"20261101-{number:06d}-abcd",
                verdict,
                ExitCode.SUCCESS,
                1.5,
                (result,),
                started_wall=1.7e9 + number,
            )
            history.append(run, revision=Revision("c0ffee", dirty=False))


@pytest.fixture(scope="module")
def link(module_workplace: Workplace) -> Iterator[str]:
    """The link that the command prints, over 220 runs and one that is kept."""
    fill(module_workplace.folder / ".testrium", 219)
    module_workplace.group(
        {"a": 'entrypoint = "test_case:a"'}, "def a():\n    testrium.unit().probe('up')\n"
    )
    assert module_workplace.run().exit_code == 0
    process = module_workplace.start("serve")
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    outcome = module_workplace.finish(process)
    assert (outcome.exit_code, outcome.stderr) == (0, "")


def origin_of(link: str) -> str:
    return f"http://{urlsplit(link).netloc}"


def test_the_link_shows_two_hundred_runs(link: str, tab: Tab) -> None:
    assert tab.open(link) == 200
    assert tab.tell("location.href") == f"{origin_of(link)}/"  # without the token
    assert tab.tell("document.cookie") == ""  # no script reads it
    assert tab.tell("document.querySelectorAll('main > .scroll .run').length") == 200
    assert tab.tell("document.querySelectorAll('table.runs tbody tr').length") == 200
    assert "checkout" in tab.tell("document.querySelector('main table').innerText")  # flaky
    assert tab.complaints == []


def test_from_a_run_to_its_report(link: str, tab: Tab) -> None:
    tab.open(link)
    kept = tab.tell("document.querySelector('table.runs a').getAttribute('href')")
    assert tab.open(origin_of(link) + kept) == 200
    assert tab.tell("document.querySelector('h1').innerText") == "✓ pass"
    tab.wait("document.querySelector('.log li')")  # its script may run here too
    assert tab.open(f"{origin_of(link)}/group/checkout") == 200
    assert tab.tell("document.querySelectorAll('svg .curve').length") == 1
    assert tab.complaints == []


def test_without_the_token_it_is_closed(link: str, tab: Tab) -> None:
    assert tab.open(origin_of(link)) == 403
    assert "open the link" in tab.tell("document.body.innerText")
    assert tab.open(f"{origin_of(link)}/?token=guess") == 403


def test_a_foreign_name_for_this_machine_is_refused(link: str, tab: Tab) -> None:
    """DNS rebinding: the browser believes that the page is the attacker's own."""
    foreign = link.replace("127.0.0.1", "evil.test")
    assert tab.open(foreign) == 403


def test_a_foreign_page_reads_nothing(link: str, tab: Tab) -> None:
    """Not even with the token, and not where the user is signed in."""
    tab.open(link)
    tab.send("Page.setBypassCSP", enabled=True)  # the attacker's page is under no policy of ours
    tab.open(link.replace("127.0.0.1", "evil.test").partition("?")[0])
    told = tab.tell(
        f"fetch('{link}', {{mode: 'cors', credentials: 'include'}}).then(() => 'read', () => 'no')"
    )
    assert told == "no"
    assert tab.status_of(link) == 403
