"""How units ended, as tables: a run, and all findings that it must have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from testrium.evidence import Evidence
from testrium.results import Judgement
from testrium.verify.judge import judge

A, B = "unit a;a:up", "unit b;b:up"

TABLE = {
    "ended well": (A, "pass"),
    "exit code": (f"{A};end a exit=3", "fail;crash a"),
    "an exit code that is accepted": ("unit a exit=0,3;a:up;end a exit=3", "pass"),
    "0 where it is not accepted": ("unit a exit=3;a:up", "fail;crash a"),
    "signal": (f"{A};end a signal=SIGSEGV", "fail;crash a"),
    "a service that ends by itself, well": (
        "unit a stop=runner;a:up;end a cause=self",
        "pass",
    ),
    "a service that crashes": ("unit a stop=runner;a:up;end a exit=1", "fail;crash a"),
    "stopped with a strange exit code": (f"{A};end a cause=stopped exit=143", "pass"),
    "killed after its grace": (f"{A};end a cause=stopped signal=SIGKILL", "pass"),
    "abandoned": (f"{A};end a cause=abandoned signal=SIGTERM", "pass"),
    "restarted within its restarts": (f"{A};end a starts=3", "pass"),
    "restarts used up": (f"{A};end a starts=3 exit=1", "fail;crash a"),
    "a crash of an attempt that was given up": (
        "unit a;evidence attempt=2;a:up attempt=2;end a exit=1 attempt=1",
        "pass",
    ),
    # exceptions
    "reported": (f"{A};a:KeyError!", "fail;exception a:KeyError"),
    "reported and allowed": (f"{A};rule allow=a:KeyError;a:KeyError!", "pass"),
    "allowed for all units": (f"{A};rule allow=*:KeyError;a:KeyError!", "pass"),
    "every step allowed": (f"{A};rule allow=a:*;a:KeyError!", "pass"),
    "another one allowed": (
        f"{A};rule allow=b:KeyError,a:ValueError;a:KeyError!",
        "fail;exception a:KeyError",
    ),
    "uncaught in a thread": (
        f"{A};a:KeyError! meta.uncaught=thread",
        "fail;exception a:KeyError",
    ),
    "uncaught in a task and allowed": (
        f"{A};rule allow=a:KeyError;a:KeyError! meta.uncaught=task",
        "pass",
    ),
    "one death is one finding": (
        f"{A};a:KeyError! meta.uncaught=main;end a exit=1",
        "fail;exception a:KeyError",
    ),
    "an allowed death": (
        f"{A};rule allow=a:KeyError;a:KeyError! meta.uncaught=main;end a exit=1",
        "pass",
    ),
    "reported, then dead of something else": (
        f"{A};a:KeyError!;end a exit=2",
        "fail;exception a:KeyError;crash a < exception a:KeyError",
    ),
    "reported and raised again": (
        f"{A};a:KeyError!;a:KeyError! meta.uncaught=main;end a exit=1",
        "fail;exception a:KeyError",
    ),
    "a child process died, and so did the unit": (
        f"{A};a:KeyError! meta.uncaught=main pid=9;end a exit=2",
        "fail;exception a:KeyError;crash a < exception a:KeyError",
    ),
    "a start that was replaced": (
        f"{A};a:KeyError! meta.uncaught=main start=1;end a starts=2",
        "pass",
    ),
    "reported and raised again in a start that was replaced": (
        f"{A};a:KeyError! start=1;a:KeyError! meta.uncaught=main start=1;end a starts=2",
        "pass",
    ),
    "reported in a start that was replaced": (
        f"{A};a:KeyError! start=1;end a starts=2",
        "fail;exception a:KeyError",
    ),
    "the exception of an earlier start does not explain the last one": (
        f"{A};a:KeyError! meta.uncaught=main start=1;end a starts=2 exit=1",
        "fail;crash a",
    ),
    "interrupted by the runner": (
        f"{A};a:KeyboardInterrupt! meta.uncaught=main;end a cause=stopped signal=SIGINT",
        "pass",
    ),
    "setup raises": (
        f"{A};setup:OSError! meta.uncaught=main;end setup exit=1;end a cause=notrun by=setup",
        "fail;exception setup:OSError;notrun a < exception setup:OSError",
    ),
    "setup crashes": (f"{A};end setup signal=SIGSEGV", "fail;crash setup"),
    "teardown hangs": (f"{A};end teardown cause=timeout", "fail;hang teardown"),
    # stderr
    "stderr = allow tolerates what is uncaught": (
        f"{A};rule stderr=allow;a:KeyError! meta.uncaught=thread",
        "pass",
    ),
    "stderr = allow does not tolerate what is reported": (
        f"{A};rule stderr=allow;a:KeyError!",
        "fail;exception a:KeyError",
    ),
    "stderr = allow does not tolerate a death": (
        f"{A};rule stderr=allow;a:KeyError! meta.uncaught=main;end a exit=1",
        "fail;exception a:KeyError",
    ),
    # readiness
    "not ready in time": (f"{A};end a cause=unready ready=false", "fail;unready a"),
    "ended before it was ready": ("unit a ready_event=go;a:up;end a ready=false", "fail;unready a"),
    "crashed before it was ready": (
        "unit a ready_event=go;a:up;end a ready=false exit=1",
        "fail;crash a",
    ),
    # hang
    "alive at the deadline": (f"{A};end a cause=overdue", "fail;hang a"),
    "done, and stopped by the classic rule": (
        "group classic=true;unit a up;a:up;end a cause=stopped signal=SIGTERM",
        "pass",
    ),
    "alive at the deadline with an event missing, under the classic rule": (
        "group classic=true;unit a up later;a:up;end a cause=overdue",
        "fail;hang a;missing a:later < hang a",
    ),
    "alive at its own timeout": (f"{A};end a cause=timeout", "fail;hang a"),
    # silent
    "silent": ("unit a", "fail;silent a"),
    "quiet": ("unit a quiet=true", "pass"),
    "a silent service": ("unit a stop=runner", "fail;silent a"),
    "silent and crashed": ("unit a;end a exit=1", "fail;crash a"),
    "without a process it is not silent": ("unit a process=none", "pass"),
    "it emitted for another unit": (f"unit a;{B};b:up owner=a", "pass"),
    "it emitted something unreadable": ("unit a;damage a no JSON", "unknown;gap a"),
    # leaks
    "a leak": (f"{A};end a leaks=7", "fail;leak a"),
    "a leak of a unit that crashed": (
        f"{A};end a leaks=7 exit=1",
        "fail;crash a;leak a < crash a",
    ),
    # notrun, infra
    "not started": (
        f"{A};unit b;end a exit=1;end b cause=notrun by=a",
        "fail;crash a;notrun b < crash a",
    ),
    "the runner failed a unit": (f"{A};end a cause=infra", "error;infra a"),
}


@pytest.mark.parametrize("case", TABLE)
def test_rule(case: str, findings_of: Callable[[str], str]) -> None:
    text, expected = TABLE[case]
    assert findings_of(text.replace(";", "\n")) == expected.replace(";", "\n")


@pytest.mark.parametrize(
    "what", ["unit a", f"{A};end a leaks=7", f"{A};a:KeyError! meta.uncaught=task"]
)
def test_bad_behavior_may_be_a_note(what: str, judged: Callable[[str], Judgement]) -> None:
    text = what.replace(";", "\n")
    (finding,) = judged(text).findings
    judgement = judged(f"{text}\ngroup detect_bad_behavior=false")
    assert (judgement.verdict, judgement.findings) == ("pass", ())
    assert judgement.notes[0] == finding


@pytest.mark.parametrize(
    "what", [f"{A};a:KeyError!", f"{A};a:KeyError! meta.uncaught=main;end a exit=1"]
)
def test_probes_and_deaths_are_not_notes(what: str, findings_of: Callable[[str], str]) -> None:
    text = what.replace(";", "\n")
    assert findings_of(f"{text}\ngroup detect_bad_behavior=false") == "fail\nexception a:KeyError"


def with_stderr(case: Any, text: str) -> Evidence:
    evidence: Evidence = case.evidence()._replace(stderr={"a": text})
    return evidence


TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\nKeyError: 1\n'


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("rule stderr=forbid", ["a:KeyError"]),
        ("rule stderr=forbid allow=a:KeyError", []),
        ("rule stderr=uncaught", []),
        ("rule stderr=forbid\na:KeyError! meta.uncaught=thread", ["a:KeyError"]),
        ("rule stderr=forbid\na:KeyError! meta.uncaught=main\nend a starts=2", []),
    ],
)
def test_tracebacks_on_stderr(text: str, places: list[str], table: Callable[[str], Any]) -> None:
    case = table(f"unit a\na:up\n{text}")
    judgement = judge(case.scenario(), with_stderr(case, TRACEBACK))
    assert [finding.where for finding in judgement.findings] == places


def test_what_a_crash_says(table: Callable[[str], Any]) -> None:
    case = table("unit a\na:up\nend a exit=3 starts=2")
    (finding,) = judge(case.scenario(), case.evidence()).findings
    assert finding.message == "a ended with exit code 3 (started twice)"
    assert finding.hints == ("its last probe was up",)
    assert finding.events == (1,)


def test_a_wrong_exit_code_tells_what_was_expected(table: Callable[[str], Any]) -> None:
    case = table("unit a exit=3,4\na:up\nend a exit=0")
    (finding,) = judge(case.scenario(), case.evidence()).findings
    assert finding.message == "a ended with exit code 0, expected 3 or 4"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("unit a up;a:up;end a cause=overdue", True),
        ("unit a up;a:up;end a cause=timeout", True),
        ("unit a up;a:other;end a cause=overdue", False),
        ("unit a;a:up;end a cause=overdue", False),
        ("unit a up;unit b b dependencies=a;a:up;b:b;end a cause=overdue", False),
        ("unit a up stop=runner;a:up;end a cause=timeout", False),
    ],
)
def test_a_hang_names_the_classic_rule_where_it_would_have_helped(
    text: str, named: bool, judged: Callable[[str], Judgement]
) -> None:
    (hang, *_) = judged(text.replace(";", "\n")).findings
    assert hang.message.startswith("a was still alive at")
    assert ("classic = true" in hang.message) is named


def test_a_hang_of_a_unit_that_others_need_names_its_stop(
    judged: Callable[[str], Judgement],
) -> None:
    text = "unit a up\nunit b b dependencies=a\na:up\nb:b\nend a cause=overdue"
    (hang, *_) = judged(text).findings
    assert hang.message.endswith(
        ', though all its events are in: with stop = "runner" in units/a.toml it is stopped then'
    )


def test_the_classic_rule_is_noted(judged: Callable[[str], Judgement]) -> None:
    (note,) = judged("group classic=true\nunit a up\na:up\nend a cause=stopped").notes
    assert (note.code, note.where) == ("hang", "a")
    assert note.message == (
        "a had not ended, and was stopped as all its events were in (classic = true)"
    )


def test_what_an_unready_unit_says(table: Callable[[str], Any]) -> None:
    case = table("unit a ready_event=ready\na:raedy\nend a cause=unready ready=false")
    evidence = case.evidence()
    end = evidence.ends[0]._replace(message="not ready after 3 s: no probe 'ready'")
    (finding,) = judge(case.scenario(), evidence._replace(ends=(end,))).findings
    assert finding.message == "a did not become ready after 3 s: no probe 'ready'"
    assert "it did emit raedy: is ready misspelled?" in finding.hints


@pytest.mark.parametrize(
    ("case", "key"),
    [
        ("unit a ready_event=ready\na:x\nend a cause=unready ready=false", "ready_event"),
        ("unit a up\na:x", "events"),
        ("unit a stop_events=down\na:x", "stop_events"),
        ("unit a\na:x\nend a cause=timeout", "timeout"),
        ("unit a\na:x\nend a cause=overdue", ""),
        ("unit a\na:x\nend a exit=3", ""),
    ],
)
def test_a_finding_names_the_key_that_does_not_hold(
    judged: Callable[[str], Judgement], case: str, key: str
) -> None:
    (finding,) = judged(case).findings
    assert finding.declared_as == key


def test_what_an_exception_says(table: Callable[[str], Any]) -> None:
    case = table("unit a\na:KeyError! meta.uncaught=thread\na:KeyError! meta.uncaught=thread")
    evidence = case.evidence()
    meta = {"uncaught": "thread", "message": "1", "traceback": TRACEBACK}
    events = tuple(event._replace(meta=meta) for event in evidence.events)
    (finding,) = judge(case.scenario(), evidence._replace(events=events)).findings
    assert finding.message == "a thread of a ended with an uncaught KeyError: 1 (twice)"
    assert finding.hints == ('raised at File "x.py", line 1',)


CHAIN = """Traceback (most recent call last):
  File "/shop/first.py", line 1, in first
KeyError: 1

During handling of the above exception, another exception occurred:

  + Exception Group Traceback (most recent call last):
  |   File "/usr/lib/python3.11/runpy.py", line 3, in _run
  |   File "/shop/test_case.py", line 7, in client
  |     json.loads("{")
  |   File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode
ValueError: 2
"""


def test_an_exception_is_told_at_the_users_frame(table: Callable[[str], Any]) -> None:
    case = table("unit a\na:ValueError! meta.uncaught=main")
    evidence = case.evidence()
    meta = {"uncaught": "main", "message": "2", "traceback": CHAIN}
    events = tuple(event._replace(meta=meta) for event in evidence.events)
    (finding,) = judge(case.scenario(), evidence._replace(events=events)).findings
    assert finding.hints == ('raised at File "/shop/test_case.py", line 7, in client',)


def test_a_planned_fault_explains_the_end_it_caused(findings_of: Callable[[str], str]) -> None:
    assert findings_of("unit a\na:up\nend a signal=SIGKILL fault=kill") == (
        "fail\ncrash a < fault kill"
    )


def test_a_command_without_its_module_gets_advice(table: Callable[[str], Any]) -> None:
    case = table("unit a\na:up\nend a exit=1")
    evidence, scenario = case.evidence(), case.scenario()
    unit = replace(scenario.units[0], command=("python3", "-m", "uvicorn"), entrypoint=None)
    said = ("/usr/bin/python3: No module named uvicorn",)
    ends = tuple(end._replace(last_lines=said) for end in evidence.ends)
    judged = judge(scenario._replace(units=(unit,)), evidence._replace(ends=ends))
    assert judged.findings[0].hints[-1].startswith("/usr/bin/python3 has no module uvicorn: activ")


def test_a_refused_connection_asks_for_readiness(table: Callable[[str], Any]) -> None:
    case = table("unit a\nunit b\na:up\nb:ConnectionRefusedError!")
    scenario = case.scenario()
    first, second = scenario.units
    units = (first, replace(second, dependencies=("a",)))
    judged = judge(scenario._replace(units=units), case.evidence())
    assert judged.findings[0].hints[-1] == (
        "a counts as ready once its process runs: give it ready = {tcp = PORT}, or a ready_event"
    )
