"""The HTML report, as a browser shows it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.test_dashboard import serious_faults, tab_order
from tests.report.formats.test_html_odd import Draw, render_all

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import Tab
    from tests.conftest import Workplace

UNITS = {
    "shop": 'entrypoint = "test_case:shop"\nunit_dependencies = ["store"]',
    "store": 'entrypoint = "test_case:store"\nready_event = "ready"\nstop = "self"',
}
TABLES = """
[[circuits]]
name = "order"
route = ["shop:sent", "store:taken", "store:stored"]
keys = "1.."
p50 = "5s"
"""
CODE = """
KEYS = %r
LOST = %r
def shop():
    me = testrium.unit()
    for key in KEYS:
        print("sending", repr(key))
        me.send("sent", key=key)
    me.probe("closed")
def store():
    me = testrium.unit()
    me.probe("ready")
    for number, key in enumerate(KEYS):
        me.wait_for("shop:sent", key=key, timeout=20)
        me.receive("taken", key=key)
        if key not in LOST:
            me.probe("stored", key=key, text=key * 10)
        else:
            print("no room for", repr(key))
"""
FIRST = "document.querySelector('details.group')"


def page_of(
    workplace: Workplace, keys: list[str], lost: tuple[str, ...] = (), code: str = ""
) -> str:
    """Run a group that sends these keys, and give the address of its page."""
    workplace.group(UNITS, code or CODE % (keys, lost), tables=TABLES, configs="timeout = 60")
    page = "failing.html" if lost else "page.html"
    outcome = workplace.run("group", "--html", page)
    assert outcome.exit_code == (1 if lost else 0), outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr
    return (workplace.folder / page).as_uri()


@pytest.fixture(scope="module")
def passing(module_workplace: Workplace) -> str:
    """The address of the page of a run that passed."""
    return page_of(module_workplace, ["k1", "k2", "k3"])


@pytest.fixture(scope="module")
def failing(module_workplace: Workplace) -> str:
    """The address of the page of a run that lost `k2`."""
    return page_of(module_workplace, ["k1", "k2", "k3"], lost=("k2",))


@pytest.fixture(scope="module")
def many(module_workplace: Workplace) -> str:
    """The address of a page with groups of 2, 5 and 20 units, one of them with three circuits."""
    place = module_workplace
    for name, code, tables, units in (
        ("chain", CHAIN, f'[[circuits]]\nname = "order"\nroute = [{CHAIN_ROUTE}]\n', CHAIN_UNITS),
        ("three", THREE, THREE_TABLES, THREE_UNITS),
        ("two", CODE % (["k1", "k2", "k3"], ()), TABLES, UNITS),
    ):
        tags = 'timeout = 60\ntags = ["mailing"]' if name == "three" else "timeout = 60"
        place.group(units, code, tables=tables, configs=tags, name=f"many/{name}")
    outcome = place.run("many", "--html", "many.html", "-j", "3")
    assert outcome.exit_code == 1, outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr
    return (place.folder / "many.html").as_uri()


#: 20 units that pass keys on; the one in the middle loses one.
CHAIN_UNITS = {f"unit_{n:02}": 'entrypoint = "test_case:link"' for n in range(20)}
CHAIN_ROUTE = ", ".join(f'"unit_{n:02}:passed"' for n in range(20))
CHAIN = """
def link():
    me = testrium.unit()
    number = int(me.name[-2:])
    for key in ("k1", "k2"):
        if key == "k2" and number >= 11:
            print("not mine", key)
            continue
        if number:
            me.wait_for(f"unit_{number - 1:02}:passed", key=key, timeout=40)
        me.probe("passed", key=key)
"""
THREE_UNITS = {f"worker_{n}": 'entrypoint = "test_case:work"' for n in range(5)}
THREE_TABLES = "".join(
    f'[[circuits]]\nname = "c{n}"\nroute = ["worker_{n}:sent", "worker_{n + 1}:got"]\n'
    for n in range(3)
)
THREE = """
def work():
    me = testrium.unit()
    number = int(me.name[-1])
    if number < 3:
        me.send("sent", key="k")
    if 0 < number < 3:
        me.receive("got", key="k")
"""


def text_of(tab: Tab, selector: str) -> str:
    """What a reader sees of an element, in one line."""
    found = tab.tell(f"document.querySelector({json.dumps(selector)}).innerText")
    assert isinstance(found, str)
    return " ".join(found.split())


def click(tab: Tab, selector: str) -> None:
    tab.tell(f"document.querySelector({json.dumps(selector)}).click()")


def type_into(tab: Tab, selector: str, text: str) -> None:
    tab.tell(f"document.querySelector({json.dumps(selector)}).focus()")
    tab.send("Input.insertText", text=text)


def press(tab: Tab, key: str) -> None:
    named: dict[str, Any] = {"key": key, "code": key}
    if key == "Enter":
        named |= {"text": "\r", "windowsVirtualKeyCode": 13}
    for kind in ("keyDown", "keyUp"):
        tab.send("Input.dispatchKeyEvent", type=kind, **named)


def test_a_run_that_passed(passing: str, tab: Tab) -> None:
    tab.open(passing)
    assert text_of(tab, "h1") == "✓ pass"
    assert tab.tell(f"{FIRST}.open")  # it is the only one
    assert "All 3 keys folded into one" in text_of(tab, ".explored")
    assert tab.tell("document.querySelectorAll('.folded .hop').length") == 3
    assert "p50 ≤ 5000 ms: met" in tab.tell("document.body.textContent")
    assert tab.collector == []


def test_time_and_latency_are_drawn_on_axes(passing: str, tab: Tab) -> None:
    tab.open(passing)
    tab.wait("document.querySelector('.timeline svg') && document.querySelector('.histogram svg')")
    units = tab.tell(
        "[...document.querySelectorAll('.timeline text.unit title')].map((t) => t.textContent)"
    )
    assert units == ["store", "shop"]
    whole = "[...document.querySelectorAll('.timeline .axes text')].map((t) => t.textContent)"
    before = tab.tell(whole)
    tab.tell("document.querySelector('.timeline .drawn').focus()")
    press(tab, "+")
    press(tab, "ArrowRight")
    assert tab.tell(whole) != before
    click(tab, ".timeline [aria-label='Show the whole']")
    assert tab.tell(whole) == before
    marks = tab.tell("[...document.querySelectorAll('.histogram text')].map((t) => t.textContent)")
    assert "p50 ≤ 5000 ms: met" in marks
    assert {"0", "1"} <= set(marks)  # of the axis that counts keys
    click(tab, ".slowest button.key")
    assert tab.tell("document.activeElement.textContent") == text_of(tab, ".slowest button.key")
    assert tab.collector == []


def test_a_failed_group_is_compared_with_its_last_pass(workplace: Workplace, tab: Tab) -> None:
    page_of(workplace, ["k1", "k2", "k3"])
    tab.open(page_of(workplace, ["k1", "k1", "k2"], lost=("k2",)))
    compared = text_of(tab, ".compared")
    about = "how often the unit emitted this probe"
    assert f"store:stored {about} 3 events 2 events -1" in compared
    assert "no room for 'k2'" in compared
    assert tab.tell("document.querySelectorAll('figure.trend svg').length") > 0
    assert text_of(tab, ".chosen .wrong").startswith("✗ duplicate at shop:sent")
    marked = "[...document.querySelectorAll('.waterfall .step.broken')].map((t) => t.textContent)"
    assert all(text.startswith("✗ ") for text in tab.tell(marked))
    assert tab.tell("document.querySelectorAll('.waterfall .dot.wrong').length") >= 2
    assert tab.tell(OVER) == 0
    assert tab.collector == []


def test_axe_finds_no_serious_fault(failing: str, tab: Tab) -> None:
    tab.open(failing)
    tab.tell("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    tab.wait("document.querySelector('.timeline svg') && document.querySelector('.chosen table')")
    for scheme in ("light", "dark"):
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        tab.send("Emulation.setEmulatedMedia", features=media)
        assert serious_faults(tab) == []


def test_a_failed_group_is_understood_at_once(failing: str, tab: Tab) -> None:
    tab.open(failing)
    assert text_of(tab, "h1") == "✗ fail"
    assert text_of(tab, ".finding .where").startswith("lost at store:stored")
    assert text_of(tab, ".finding h3").startswith("k2 never reached store:stored")
    assert text_of(tab, ".finding .hop.broken .step") == "✕ stored"
    assert "no room for 'k2'" in text_of(tab, ".finding pre")
    assert "testrium run" in text_of(tab, ".again")
    click(tab, ".again button.copy")
    tab.wait("document.querySelector('.again button.copy').textContent === 'Copied'")
    assert text_of(tab, ".choice button .mark") == "✗"
    assert tab.collector == []


ROWS = "[...document.querySelectorAll('.chosen tbody tr')].map((r) => r.innerText)"
TICKS = "[...document.querySelectorAll('.waterfall .axes text')].map((t) => t.textContent)"


def test_the_path_of_a_key_is_a_waterfall(failing: str, tab: Tab) -> None:
    tab.open(failing)
    assert text_of(tab, ".chosen h5") == "k2"  # what is wrong first
    click(tab, ".chosen summary")
    assert [re.sub(r"[\s+.\d]+(ms)?", " ", row).strip() for row in tab.tell(ROWS)] == [
        "shop sent Send",
        "store taken Receive",
        "never store stored",
    ]
    lanes = tab.tell("[...document.querySelectorAll('.waterfall .unit')].map((t) => t.textContent)")
    assert lanes == ["shopshop", "storestore"]  # a lane for each, with its whole name
    assert tab.tell("document.querySelectorAll('.waterfall .hop').length") == 2
    assert tab.tell("document.querySelectorAll('.waterfall .hop.broken').length") == 1
    assert tab.tell("document.querySelectorAll('.waterfall .usual').length") == 1

    whole = tab.tell(TICKS)
    tab.tell("document.querySelector('.waterfall .drawn').focus()")
    press(tab, "+")
    assert tab.tell(TICKS) != whole
    press(tab, "0")
    assert tab.tell(TICKS) == whole
    click(tab, "[data-mode=log]")
    assert text_of(tab, ".controls [aria-pressed=true]") == "Logarithmic"

    click(tab, ".choice li:nth-child(2) button")
    assert text_of(tab, ".chosen h5") in ("k1", "k3")
    click(tab, "p.keys button.key")  # of the finding
    assert text_of(tab, ".chosen h5") == "k2"
    assert tab.tell("document.activeElement.textContent") == "k2"
    assert tab.collector == []


def test_keys_are_found_and_chosen_by_keyboard(failing: str, tab: Tab) -> None:
    tab.open(failing)
    type_into(tab, ".explorer input", "LOST")
    assert text_of(tab, ".choice") == "✗ k2 unanswered"
    tab.tell("document.querySelector('.explorer input').value = ''")
    type_into(tab, ".explorer input", "k")
    assert text_of(tab, ".explorer .said") == "3 keys"
    tab.tell("document.querySelector('.choice button').focus()")
    press(tab, "ArrowDown")
    press(tab, "Enter")
    second = text_of(tab, ".choice li:nth-child(2) .name")
    tab.wait(f"document.querySelector('.chosen h5').textContent === {json.dumps(second)}")
    assert tab.collector == []


def test_tab_goes_through_the_page_in_its_order(failing: str, tab: Tab) -> None:
    tab.open(failing)
    tab.wait("document.querySelector('.timeline svg') && document.querySelector('.choice button')")
    reached, faults = tab_order(tab)
    assert reached[:3] == ["Skip to the groups", "Copy run", "Copy command"]
    assert tab.tell("stops.filter((one) => one.closest('.choice')).length") == 1  # of 3 keys
    assert faults == []


OVER = "document.documentElement.scrollWidth - innerWidth"
#: Of drawn labels, those that an arrow or bar of the same drawing lies on.
CROSSED = """[...document.querySelectorAll('.waterfall svg')].flatMap((svg) => {
  const boxes = (kind) => [...svg.querySelectorAll(kind)].map((one) => one.getBoundingClientRect());
  const [labels, bars] = [boxes('text.step, text.unit, text.time'), boxes('.hop, .link')];
  return labels.filter((a) => bars.some((b) => a.left < b.right && b.left < a.right
    && a.top < b.bottom && b.top < a.bottom && b.width + b.height > 0));
}).length"""


@pytest.mark.parametrize("width", [1400, 1024, 390])
def test_it_fits_every_width(many: str, tab: Tab, width: int) -> None:
    tab.send(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=False,
    )
    tab.open(many)
    tab.tell("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    tab.wait("document.querySelectorAll('.waterfall svg').length > 2")
    assert tab.tell(OVER) == 0
    assert tab.tell(CROSSED) == 0
    assert tab.collector == []


def test_groups_are_filtered_and_searched(many: str, tab: Tab) -> None:
    shown = (
        "[...document.querySelectorAll('details.group')].filter((one) => !one.hidden)"
        ".map((one) => one.querySelector('.name').textContent)"
    )
    tab.open(many)
    assert [name.split("/")[-1] for name in tab.tell(shown)[:2]] == ["chain", "three"]
    assert not tab.tell("document.querySelector('.passes').open")
    click(tab, ".filters [data-kind=pass]")
    assert [name.split("/")[-1] for name in tab.tell(shown)] == ["two"]
    assert tab.tell("document.querySelector('.passes').open")
    click(tab, ".filters [data-kind=pass]")
    press(tab, "/")
    tab.send("Input.insertText", text="mailing")  # a tag
    assert [name.split("/")[-1] for name in tab.tell(shown)] == ["three"]
    assert text_of(tab, ".find .said") == "1 of 3 groups"
    press(tab, "Escape")
    assert len(tab.tell(shown)) == 3

    click(tab, ".passes a")  # a link opens its group
    tab.wait("document.querySelector('#group-3').open")
    tab.wait("document.querySelector('#group-3 .choice button')")
    tab.tell("document.querySelector('#group-2').open = false; location.hash = 'group-2-logs'")
    tab.wait("document.querySelector('#group-2').open")
    assert tab.collector == []


LINES = "[...document.querySelectorAll('.log-lines .text')].map((one) => one.textContent)"


def test_logs_are_merged_and_searched(failing: str, tab: Tab) -> None:
    tab.open(failing)
    lines = tab.tell(LINES)
    sent, taken = lines.index("sent k2  Send"), lines.index("taken k2  Receive")
    assert sent < taken < lines.index("no room for 'k2'")
    assert text_of(tab, ".legend") == "· stdout ! stderr ◆ probes"
    type_into(tab, ".search input[type=search]", "K2")
    assert text_of(tab, ".search .said") == "1 of 4 matches"
    press(tab, "Enter")
    assert text_of(tab, ".search .said") == "2 of 4 matches"
    click(tab, ".legend [data-kind=probe]")
    click(tab, ".search [type=checkbox]")  # only matches
    assert sorted(tab.tell(LINES)) == ["no room for 'k2'", "sending 'k2'"]
    click(tab, "button.jump")  # of the finding
    assert text_of(tab, ".log-lines .marked .text") == "no room for 'k2'"
    assert len(tab.tell(LINES)) == len(lines)
    tab.tell("document.querySelector('.search select').value = 0")
    tab.tell("document.querySelector('.search select').dispatchEvent(new Event('change'))")
    assert tab.tell("document.querySelector('.log-lines .unit')") is None
    assert len(tab.tell(LINES)) < len(lines)

    assert "As it is written: config.toml" in text_of(tab, "section.config")
    config = tab.tell("document.querySelector('section.config').textContent")
    assert "[Configs]" in config
    assert "unmet" not in config
    assert tab.collector == []


#: When something was to be seen, in milliseconds since the page was asked for.
PAINT = "performance.getEntriesByName('first-contentful-paint')"

MARKUP = "<script>document.title = 'owned'</script><img src=x onerror=alert(1)>"


def test_hostile_text_stays_text(workplace: Workplace, tab: Tab) -> None:
    keys = [
        MARKUP,
        "\"'><b>bold</b>&amp;{{7*7}}</script><!--",
        "\u202egnp.exe\u2066\u200b",
        "\x00\x07\x1b[31m\r\n]]>",
        "x" * 1000,
        "__proto__",
    ]
    code = CODE % (keys, ()) + "        me.probe('long', key=key, text='<i>' * 3400)\n"
    tab.open(page_of(workplace, keys, code=code))
    assert text_of(tab, "h1") == "✓ pass"
    for number in range(1, len(keys) + 1):
        click(tab, f".choice li:nth-child({number}) button")
        assert tab.tell("document.querySelectorAll('.chosen tbody tr').length") == 4
    names = tab.tell("[...document.querySelectorAll('.choice .name')].map((n) => n.textContent)")
    assert MARKUP in names
    assert r"\u202egnp.exe\u2066\u200b" in names
    assert r"\x00\x07\x1b[31m\r\n]]>" in names
    assert "__proto__" in names
    assert (
        tab.tell("document.querySelectorAll('main :is(b, i, img, script:not(.data))').length") == 0
    )
    assert tab.tell("document.title").startswith("pass: Testrium run ")
    assert tab.tell("document.querySelectorAll('script').length") == 2
    source = (workplace.folder / "page.html").read_text()
    assert all(sign.isprintable() or sign == "\n" for sign in source)
    assert tab.collector == []


def test_ten_thousand_events_stay_usable(
    workplace: Workplace, tab: Tab, request: pytest.FixtureRequest
) -> None:
    keys = [f"k{number}" for number in range(3340)]
    code = f"""
        KEYS = [f"k{{n}}" for n in range({len(keys)})]
        def shop():
            me = testrium.unit()
            for key in KEYS:
                me.send("sent", key=key, number=len(key))
        def store():
            me = testrium.unit()
            me.probe("ready")
            me.wait_for("shop:sent", key=KEYS[-1], timeout=50)
            for key in KEYS:
                me.receive("taken", key=key)
                me.probe("stored", key=key)
    """
    tab.open(page_of(workplace, keys, code=code))
    assert "All 3340 keys folded into one" in text_of(tab, ".explored")
    assert tab.tell("document.querySelectorAll('.folded .hop').length") == 3
    assert text_of(tab, ".explorer .said").startswith("200 of 3340 keys are listed")
    assert tab.tell("document.querySelectorAll('*').length") < 15_000
    type_into(tab, ".explorer input", "k3339")
    click(tab, ".choice button")
    assert text_of(tab, ".chosen h5") == "k3339"
    assert "left out here" in text_of(tab, ".logs")
    assert tab.tell("document.querySelectorAll('.line').length") < 200  # windowed
    assert (workplace.folder / "page.html").stat().st_size < 5_000_000
    if request.config.getoption("--soak"):  # on a machine that does nothing else
        tab.wait(f"{PAINT}.length === 1")
        assert tab.tell(f"{PAINT}[0].startTime") < 1000
    assert tab.collector == []


#: What no browser can draw: it would say so on the console, and leave it out.
NOT_DRAWN = """[...document.querySelectorAll("svg *")].filter((one) => {
  const values = [...one.attributes].map((each) => each.value);
  return /NaN|Infinity|undefined/.test([...values, one.children.length ? "" : one.textContent]);
}).length"""


def test_odd_results_are_drawn(tmp_path: Path, tab: Tab) -> None:
    drawn = [Draw(number).result() for number in range(200, 204)]
    file = tmp_path / "odd.html"
    file.write_text(render_all(*drawn), encoding="utf-8")
    tab.open(file.as_uri())
    tab.tell("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    tab.wait("document.querySelectorAll('.timeline svg, .plot svg').length > 3")
    tab.tell("document.querySelectorAll('.controls button').forEach((one) => one.click())")
    assert tab.tell(NOT_DRAWN) == 0
    assert tab.tell(OVER) == 0
    assert tab.collector == []


def test_it_can_be_read_without_its_script(failing: str, tab: Tab) -> None:
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(failing)
    tab.send("Emulation.setScriptExecutionDisabled", value=False)
    seen = tab.tell("document.body.innerText")
    assert "k2 never reached store:stored" in seen
    assert "Without its script" in seen
    assert "Find a key" not in seen
    assert tab.tell("document.querySelectorAll('.folded .hop').length") == 4
    assert tab.tell("document.querySelectorAll('.logs li').length") > 10


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_it_is_light_or_dark_as_the_reader_likes(
    passing: str, tab: Tab, scheme: str, dark: bool
) -> None:
    tab.send(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    tab.open(passing)
    paper = tab.tell("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 300) is dark
