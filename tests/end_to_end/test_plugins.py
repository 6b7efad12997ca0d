"""The example package is installed, as its users would, and each of its plugins is used."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.declared.units import KINDS
from testrium.judging.checks import PLUGIN_LIMIT_S

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace
from tests.end_to_end.conftest import wait_for_file

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "testrium-extras"

PROBE = """
def main():
    testrium.unit().probe("ready")
"""


@pytest.fixture(scope="module")
def extras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the example package was installed, without any network."""
    folder = tmp_path_factory.mktemp("extras")
    source = folder / "source"
    source.mkdir()
    for file in EXAMPLE.rglob("*"):
        if file.suffix in (".py", ".toml", ".md"):
            copy = source / file.relative_to(EXAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--target", folder / "packages")
    subprocess.run((*pip, *offline, source), check=True, timeout=100)
    return folder / "packages"


@pytest.fixture
def place(workplace: Workplace, extras: Path) -> Workplace:
    workplace.env["PYTHONPATH"] = str(extras)
    return workplace


def test_a_writer(place: Workplace) -> None:
    place.group({"a": 'entrypoint = "test_case:main"'}, PROBE)
    outcome = place.run("--writer", "csv=results.csv")

    assert (outcome.exit_code, outcome.stderr) == (0, "")
    head, row = (place.folder / "results.csv").read_text().splitlines()
    assert head == "group,mode,verdict,seconds,root cause"
    assert row.startswith("group,DEBUG,pass,0.")


def test_a_writer_that_fails_harms_nothing(place: Workplace) -> None:
    place.group({"a": 'entrypoint = "test_case:main"'}, PROBE)
    outcome = place.run("--writer", "csv")

    assert outcome.exit_code == 0
    assert (
        "notice: the writer 'csv' of testrium-extras 1.0 failed: ValueError: it needs a file"
        in outcome.stdout
    )


def test_a_writer_of_the_project_itself(workplace: Workplace) -> None:
    workplace.group({"a": 'entrypoint = "test_case:main"'}, PROBE)
    workplace.write(
        workplace.folder / "testrium.toml", '[plugins.writers]\nshout = "tools.shout:Shout"\n'
    )
    workplace.write(
        workplace.folder / "tools" / "shout.py",
        "class Shout:\n"
        "    def __init__(self, target, cwd): pass\n"
        "    def run_ended(self, result): print(result.verdict.upper() + '!')\n",
    )
    process = workplace.start("run", "--writer", "shout=-")
    assert workplace.finish(process).stdout == "PASS!\n"


def test_a_kind_of_unit(place: Workplace) -> None:
    keys = 'kind = "countdown"\nsettings = {from = "${env.COUNT}"}'
    circuit = '[[circuits]]\nname = "c"\nroute = ["a:counted"]\nkeys = "3"'
    place.env["COUNT"] = "3"
    place.group({"a": keys}, tables=circuit)
    outcome = place.run()

    assert (outcome.exit_code, outcome.codes) == (0, [])


def test_a_kind_of_unit_that_becomes_a_command(workplace: Workplace) -> None:
    workplace.write(workplace.folder / "testrium.toml", '[plugins.units]\nsay = "tools:say"\n')
    workplace.write(workplace.folder / "tools.py", "def say(settings): return ['echo', '$HOME']")
    workplace.group({"a": 'kind = "say"\nquiet = true'})
    outcome = workplace.run("-v")

    assert outcome.exit_code == 0
    assert "a \u2502 $HOME" in outcome.stdout


WAITS = """
import pathlib

def main():
    pathlib.Path("up.txt").write_text("the service is up\\n")
    testrium.unit().wait_for("b:done")

def other():
    testrium.unit().probe("done")
"""


def test_a_condition(place: Workplace) -> None:
    a = 'entrypoint = "test_case:main"\nquiet = true\n'
    a += 'ready = {plugin = "line-in", settings = {file = "up.txt", text = "%s"}}'
    b = 'entrypoint = "test_case:other"\nunit_dependencies = ["a"]'
    place.group({"a": a % "is up", "b": b}, WAITS)
    assert place.run().codes == []

    place.group({"a": a % "is down" + "\nready_timeout = 0.5", "b": b}, WAITS)
    outcome = place.run()
    assert outcome.codes[0] == "unready a"
    assert "no line-in" in outcome.group["findings"][0]["message"]


def test_plugins_that_are_not_there_are_refused(place: Workplace) -> None:
    b = 'entrypoint = "test_case:main"\nready = {plugin = "gone"}\nsettings = {x = "1"}'
    place.group({"a": 'kind = "cuontdown"', "b": b}, PROBE)
    outcome = place.run()

    assert outcome.exit_code == 3
    assert [(error["key"], error["message"]) for error in outcome.report["errors"]] == [
        (
            "kind",
            (
                f"must be one of: {', '.join((*KINDS, 'countdown'))}; got 'cuontdown';"
                " did you mean 'countdown'?"
            ),
        ),
        ("ready.plugin", "must be one of: line-in; got 'gone'"),
        ("settings", "belongs to a unit whose kind is a plugin"),
    ]


CHECKED = """
[[checks]]
name = "few"
plugin = "few-files"
settings = {folder = "${run.dir}", most = "%s"}

[[checks]]
name = "same"
value = "id 123e4567-e89b-12d3-a456-426614174000"
equals = "id 00000000-e89b-12d3-a456-426614174000"
normalize = ["uuid"]
"""


def test_checks_and_normalisers(place: Workplace) -> None:
    units = {"a": 'entrypoint = "test_case:main"'}
    place.group(units, PROBE, tables=CHECKED % "99")
    outcome = place.run()
    assert (outcome.codes, len(outcome.group["checks"])) == ([], 2)

    place.group(units, PROBE, tables=CHECKED % "0")
    outcome = place.run()
    assert outcome.codes == ["check few"]
    assert "files, not 0 or fewer" in outcome.group["findings"][0]["message"]

    place.group(units, PROBE, tables=CHECKED % "many")
    outcome = place.run()
    assert outcome.codes == ["check few"]
    message = outcome.group["findings"][0]["message"]
    assert "few-files of testrium-extras 1.0 raised ValueError: invalid literal" in message
    again = place.finish(place.start("verify"))
    assert again.exit_code == 1


def test_a_check_that_crashes_costs_nothing_but_itself(place: Workplace) -> None:
    plugins = '[plugins.checks]\ncrash = "tools:crash"\nloud = "tools:loud"\n'
    place.write(place.folder / "testrium.toml", plugins)
    code = """
    import signal
    def crash(settings):
        signal.raise_signal(signal.SIGSEGV)
    def loud(settings):
        print("not in the report")
        return "too loud"
    """
    place.write(place.folder / "tools.py", textwrap.dedent(code))
    tables = """
    [[checks]]
    name = "first"
    plugin = "crash"
    [[checks]]
    name = "second"
    plugin = "loud"
    [[checks]]
    name = "third"
    value = "a"
    equals = "b"
    """
    place.group({"a": 'entrypoint = "test_case:main"'}, PROBE, tables=tables)
    for call in (("run", "--json", "-"), ("verify", "--json", "-")):
        outcome = place.finish(place.start(*call))
        (group,) = json.loads(outcome.stdout)["groups"]
        assert (outcome.exit_code, group["verdict"]) == (1, "fail")
        assert "resource_tracker" not in outcome.stderr
        messages = {check["name"]: check["message"] for check in group["checks"]}
        assert messages["first"] == "crash of testrium.toml: its process ended with SIGSEGV"
        assert messages["second"] == "too loud"
        assert messages["third"] == 'the value is "a", expected "b"'
        assert [found["where"] for found in group["findings"]] == ["first", "second", "third"]


WAITING = """
import pathlib, time
def never(settings):
    pathlib.Path(settings["mark"]).touch()
    time.sleep(600)
def quick(settings):
    pathlib.Path(settings["mark"]).touch()
"""


def waiting_check(workplace: Workplace, group: str, plugin: str) -> Path:
    """A group with a check that makes a file, which is returned, and then may never end."""
    mark = workplace.folder / f"{group}-is-checked"
    workplace.group(
        {"a": 'entrypoint = "test_case:main"'},
        PROBE,
        name=group,
        tables=f'[[checks]]\nname = "it"\nplugin = "{plugin}"\n'
        f"settings = {{mark = {str(mark)!r}}}\n",
    )
    workplace.write(
        workplace.folder / "testrium.toml",
        '[plugins.checks]\nnever = "waiting:never"\nquick = "waiting:quick"\n',
    )
    workplace.write(workplace.folder / "waiting.py", WAITING)
    return mark


def test_an_interrupt_ends_a_check_that_waits_and_others_did_not_wait_for_it(
    workplace: Workplace,
) -> None:
    first = waiting_check(workplace, "a", "never")
    other = waiting_check(workplace, "b", "quick")
    process = workplace.start("run", "-j", "2", "--json", "report.json")
    wait_for_file(first)
    wait_for_file(other)
    process.send_signal(signal.SIGINT)
    outcome = workplace.finish(process, limit_s=PLUGIN_LIMIT_S - 5)
    assert outcome.exit_code == 130
    group = outcome.report["groups"][0]
    assert (group["verdict"], group["checks"]) == ("error", [])
    assert "interrupted" in group["findings"][0]["message"]


def test_ctrl_c_ends_a_check_that_is_made_again(workplace: Workplace) -> None:
    mark = waiting_check(workplace, "a", "quick")
    assert workplace.run().exit_code == 0
    mark.unlink()
    config = workplace.folder / "a" / "config.toml"
    config.write_text(config.read_text().replace("quick", "never"))
    process = workplace.start("verify")
    wait_for_file(mark)
    process.send_signal(signal.SIGINT)
    outcome = workplace.finish(process, limit_s=PLUGIN_LIMIT_S - 5)
    assert (outcome.exit_code, "Traceback" in outcome.stderr) == (130, False)


def test_a_plugin_that_is_wrong_is_named_with_its_line(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:main"'},
        PROBE,
        tables='[[checks]]\nname = "number"\nplugin = "number"\n'
        '[[checks]]\nname = "broken"\nplugin = "broken"\n',
    )
    workplace.write(
        workplace.folder / "testrium.toml",
        '[plugins.checks]\nnumber = "wrong:number"\nbroken = "wrong:broken"\n',
    )
    workplace.write(
        workplace.folder / "wrong.py",
        "def number(settings):\n    return 7\ndef broken(settings):\n    return settings['text']\n",
    )
    outcome = workplace.run()
    messages = {one["where"]: one["message"] for one in outcome.group["findings"]}
    raised = "raised KeyError: 'text'"
    assert messages["number"] == "number returned 7: it must return None, True, or texts"
    assert messages["broken"] == f"broken of testrium.toml {raised} (wrong.py:4)"
    assert "Traceback" not in outcome.stderr
