"""The dashboard, in a browser, by those who may and those who may not."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from testrium.api import SilentObserver
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.errors import ExitCode
from testrium.evidence import Finding, UnitState
from testrium.history.database import History
from testrium.history.rows import Revision
from testrium.record.runs import claimed
from testrium.report import progress_file
from testrium.report.progress_file import ProgressFile
from testrium.results import GroupResult, Judgement, Measure, RunResult
from testrium.words import Code, Verdict

if TYPE_CHECKING:
    from tests.browser.conftest import Tab
    from tests.conftest import Workplace


def fill(state: Path, runs: int) -> None:
    """A history of so many runs, whose folders are gone."""
    group = Group("checkout", state.parent / "checkout", (), tags=("owner:mail", "slow"))
    with History(state) as history:
        for number in range(runs):
            verdict = Verdict.FAIL if number % 10 == 3 else Verdict.PASS
            lost = Finding(Code.LOST, "store:stored", "k never reached store:stored")
            judgement = Judgement(
                verdict,
                (lost,) if verdict is Verdict.FAIL else (),
                measures=(Measure("duration", 1.0, "s", "group"),),
            )
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


def signed_in(link: str, tab: Tab, path: str) -> Tab:
    tab.open(link)
    assert tab.open(origin_of(link) + path) == 200
    return tab


ROWS = "[...document.querySelectorAll('#{} tbody tr')].filter((row) => !row.hidden).length"


def resize(tab: Tab, width: int) -> None:
    tab.send(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=False,
    )


def test_the_link_shows_two_hundred_runs_and_filters_them(link: str, tab: Tab) -> None:
    assert tab.open(link) == 200
    assert tab.tell("location.href") == f"{origin_of(link)}/"  # without the token
    assert tab.tell("document.cookie") == ""  # no script reads it
    assert tab.tell("document.querySelectorAll('#runs tbody tr').length") == 200
    assert tab.tell(ROWS.format("runs")) == 40
    tab.tell("document.querySelector('.more').click()")
    assert tab.tell(ROWS.format("runs")) == 200
    tab.tell("document.querySelector('[data-filter=runs] [data-verdict=fail]').click()")
    assert tab.tell(ROWS.format("runs")) == 20
    assert tab.tell("document.querySelector('[data-filter=runs] .said').innerText") == "20 of 200"
    # The first finding is told; the filter is in the address, for links and the way back.
    assert "lost at store:stored" in tab.tell("document.querySelector('#runs').innerText")
    assert tab.tell("location.search") == "?runs.verdict=fail"
    assert tab.collector == []


def test_groups_are_chosen_by_owner_and_tag(link: str, tab: Tab) -> None:
    signed_in(link, tab, "/groups?groups.owner=mail")
    assert tab.tell(ROWS.format("groups")) == 1
    assert "owner mail" in tab.tell("document.querySelector('#groups tbody').innerText")
    assert "checkout" in tab.tell("document.querySelector('#flaky').parentElement.innerText")
    assert tab.collector == []


def test_a_chart_is_zoomed_from_the_keyboard(link: str, tab: Tab) -> None:
    signed_in(link, tab, "/group/checkout")
    assert tab.tell("document.querySelectorAll('figure.trend').length") == 1
    points = "document.querySelectorAll('.plot .point, .plot .cross').length"
    labels = "[...document.querySelectorAll('.plot text')].map((text) => text.textContent)"
    tab.wait(f"{points} > 1")
    every = tab.tell(points)
    assert {"0.0 s", "1.0 s"} <= set(tab.tell(labels))  # an axis of values
    assert any(":" in text for text in tab.tell(labels))  # and one of times
    tab.tell("document.querySelector('.plot').focus()")
    key = (
        "document.querySelector('.plot').dispatchEvent(new KeyboardEvent('keydown', {{key: '{}'}}))"
    )
    tab.tell(key.format("+"))
    assert 1 < tab.tell(points) <= every / 2 + 2
    tab.tell(key.format("End"))
    assert "1 s, pass" in tab.tell("document.querySelector('.trend .said').innerText")
    tab.tell(key.format("0"))
    assert tab.tell(points) == every
    assert tab.collector == []


def test_two_runs_are_compared(link: str, tab: Tab) -> None:
    signed_in(link, tab, "/compare?first=20261101-000212-abcd&second=20261101-000213-abcd")
    assert "✗ fail" in tab.tell("document.querySelector('#compared').innerText")
    assert "▲ worse" in tab.tell("document.querySelector('#compared').innerText")
    tab.tell("document.querySelector('[data-filter=figures] [data-only]').click()")
    assert tab.tell(ROWS.format("figures")) == 0  # 1 s in both
    assert tab.collector == []


def test_from_a_run_to_its_report_and_back(link: str, tab: Tab) -> None:
    tab.open(link)
    kept = tab.tell("document.querySelector('table.runs a.id').getAttribute('href')")
    assert tab.open(origin_of(link) + kept) == 200
    assert tab.tell("document.querySelector('h1').innerText").lower() == "✓ pass"
    assert tab.tell("document.querySelector('header a[href=\"/\"]').innerText") == "All runs"
    assert tab.collector == []


def test_a_run_is_watched_until_it_ends(
    link: str, tab: Tab, module_workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_file, "PACE_S", 0.0)
    folder = module_workplace.folder / ".testrium" / "runs" / "20990101-000000-abcd"
    folder.mkdir()
    group = Group("<i>mail", folder, (), tags=("owner:mail",))
    scenario = Scenario("<i>mail", group, (Unit("host", 0, ""),))
    text = "document.querySelector('#run').innerText"
    file = ProgressFile(SilentObserver(), folder)
    with claimed(folder):
        file.run_started(folder.name, (scenario,))
        signed_in(link, tab, f"/run/{folder.name}")
        assert "0 of 1 done" in tab.tell(text)
        file.group_started(scenario, folder)
        file.unit_changed(scenario, "host", UnitState.READY)
        tab.wait(f"{text}.includes('● host ready')")
        assert "owner mail" in tab.tell(text)
        lost = Finding(Code.LOST, "host:got", "<img src=x> never reached host:got")
        judgement = Judgement(Verdict.FAIL, (lost,))
        file.group_ended(GroupResult(scenario, Verdict.FAIL, judgement=judgement))
        tab.wait(f"{text}.includes('✗ fail')")
        assert "<img src=x> never reached host:got" in tab.tell(text)
        resize(tab, 390)
        assert tab.tell("document.documentElement.scrollWidth") <= 390
        assert serious_faults(tab) == []
    (folder / "report.json").write_text("{}")
    tab.wait(f"{text}.includes('The run has ended')")
    shutil.rmtree(folder)
    assert tab.collector == []


@pytest.mark.parametrize("path", ["/groups", "/compare"])
def test_tab_goes_through_the_page_in_its_order(link: str, tab: Tab, path: str) -> None:
    signed_in(link, tab, path)
    reached, faults = tab_order(tab)
    assert reached[:5] == ["Skip to the content", "Testrium", "Runs", "Groups", "Compare"]
    assert faults == []


#: Of all that the Tab key should reach: its number in the order of the document.
_STOPS = """
window.stops = [...document.querySelectorAll(
  "a[href], button, input, select, textarea, summary, [tabindex]")].filter((one) =>
  one.tabIndex >= 0 && !one.disabled && one.type !== "hidden" && one.checkVisibility()
  && (one.matches("summary") || !one.closest("details:not([open])")));
window.reached = [];
addEventListener("focusin", ({ target }) => {
  const { x, y, width, height } = target.getBoundingClientRect();
  const there = document.elementFromPoint(x + width / 2, y + Math.min(height, innerHeight) / 2);
  const style = getComputedStyle(target);
  const name = (target.getAttribute("aria-label") || target.innerText || target.placeholder || "");
  reached.push([window.stops.indexOf(target), name.trim().slice(0, 40),
    target.matches(":focus-visible") && style.outlineStyle !== "none" ? "" : "no outline",
    target === there || target.contains(there) || there?.closest("label")?.control === target
      ? "" : `below ${there?.outerHTML.slice(0, 60)}`]);
});
window.stops.length"""


def tab_order(tab: Tab) -> tuple[list[str], list[str]]:
    """What the Tab key reaches, and faults: what it passes over, cannot leave, or does not show."""
    count = tab.tell(_STOPS)
    for _ in range(count + 1):  # at last to the browser itself
        tab.send("Input.dispatchKeyEvent", type="keyDown", key="Tab", windowsVirtualKeyCode=9)
    found = tab.tell("reached")
    faults = [f"{name}: {why}" for _, name, *reasons in found for why in reasons if why]
    order = [number for number, *_ in found]
    if order[:count] != list(range(count)):
        faults.append(f"the order is {order} of {count}")
    return [name for _, name, *_ in found], faults


def serious_faults(tab: Tab) -> list[str]:
    """What axe-core finds. Of what is there 200 times it sees a few."""
    many = "tbody tr:nth-child(n+6), option:nth-child(n+6), .plot svg *:nth-child(n+40)"
    tab.tell(f"document.querySelectorAll('{many}').forEach((one) => one.remove())")
    axe = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    tab.tell(axe + "; 0")
    found = tab.tell(
        "axe.run().then(({violations}) => violations.filter(({impact}) =>"
        " ['serious', 'critical'].includes(impact)).map(({id, nodes}) =>"
        " `${id}: ${nodes[0].html}`))"
    )
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("path", ["/", "/groups", "/group/checkout", "/compare"])
def test_every_page_fits_and_serves_everyone(link: str, tab: Tab, path: str) -> None:
    """No page scrolls sideways, and axe-core finds no serious fault in light and dark."""
    tab.open(link)
    for width, scheme in ((1400, "light"), (1024, "light"), (390, "dark")):
        resize(tab, width)
        tab.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        tab.open(origin_of(link) + path)
        wide = tab.tell("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} is {wide} px wide at {width}"
        if width == 1024:
            continue
        assert serious_faults(tab) == []
    assert tab.collector == []


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
