"""A notation for runs, so that a case of the verifier is a table that can be read.

    unit host ready received ready_event=ready stop=self    name, required probes, options
    circuit client:sent{1,3} host:received+ keys=2 within_ns=5  one stage a word; a&b any order
    rule orphans=forbid allow=host:ValueError
    group detect_bad_behavior=false
    client sent> k1 k2              events, 1 ms apart: > Send, < Receive, ! Exception
    client:sent> k1 k2              the same
    host received< k1 @40 pid=7 seq=2 cause=a,b low=38 domain=x meta.size=3
    end host exit=1 | signal=SIGSEGV | cause=overdue | starts=2 | at=90
    damage host no JSON
    unrecorded host host:received       spans of it that may be missing there
    test test_order failed
    check bill owed=output unit=host    a check that failed: what is missing, whose it is
    earlier k9                      the keys whose cause an earlier run had
    evidence attempt=2
    fault host:received do=kill on=2 key=k1     planned; its name is "kill at host:received"
    struck kill at host:received                it has happened
    metric command.p95 source=circuit owner=command most=80 unit=ms
    report throughput 12.5 unit=1/s better=larger reporter=client

A unit without an `end` line ended as it should: by itself, or stopped if stop=runner.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testrium.declared.checks import Metric
from testrium.declared.circuits import Circuit, Hop, Rules
from testrium.declared.faults import Fault
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import (
    CheckResult,
    Damage,
    End,
    EndCause,
    Event,
    Evidence,
    Leak,
    Reported,
    TestResult,
    UnitState,
    Unrecorded,
)
from testrium.results import Judgement
from testrium.verify.judge import judge
from testrium.words import Place

MS = 1_000_000
TYPES = {">": "Send", "<": "Receive", "!": "Exception"}
COUNTS = {"": (1, 1), "?": (0, 1), "*": (0, None), "+": (1, None)}
Options = dict[str, str]

#: Two units, as in most cases: the client depends on the host.
PAIR = """
unit host ready received finished ready_event=ready
unit client sent finished
host ready
"""
SHORT_PAIR = """
unit host received finished
unit client sent queued
"""
COMMAND = "circuit client:sent host:received"


def hop(text: str) -> Hop:
    """`a:b|c:d{1,3}`; a star directly after `:` is any step, no count."""
    match = re.fullmatch(r"(.*?[^:])(\?|\*|\+|\{\d+(?:,\d*)?\})?", text)
    assert match is not None
    name, count = match[1], match[2] or ""
    if count.startswith("{"):
        least, comma, most = count[1:-1].partition(",")
        bounds = (int(least), int(most) if most else None if comma else int(least))
    else:
        bounds = COUNTS[count]
    places = tuple(Place(*alternative.split(":", 1)) for alternative in name.split("|"))
    return Hop(name, places, *bounds)


def split_options(words: list[str]) -> tuple[list[str], Options]:
    pairs = [word.partition("=")[::2] for word in words if "=" in word]
    return [word for word in words if "=" not in word], dict(pairs)


def circuit(words: list[str]) -> Circuit:
    stages, options = split_options(words)
    changes: dict[str, Any] = {}
    for name, value in options.items():
        match name:
            case "keys":
                least, dots, most = value.partition("..")
                changes["keys"] = (int(least), int(most) if most else None if dots else int(least))
            case "p50" | "p95" | "p99":
                changes[f"{name}_ns"] = int(value) * MS
            case "within":
                changes["within_ns"] = int(value) * MS
            case "same":
                changes["same"] = tuple(value.split(","))
            case "never":
                changes["never"] = tuple(hop(one) for one in value.split(","))
            case "fifo" | "open":
                changes[name] = value == "true"
            case _:
                changes[name] = value
    made = Circuit("command", tuple(tuple(map(hop, stage.split("&"))) for stage in stages))
    return replace(made, **changes)


def metric(name: str, options: Options) -> Metric:
    numbers = ("most", "least", "max_regression")
    fields: dict[str, Any] = {k: float(v) if k in numbers else v for k, v in options.items()}
    return Metric(name, **{"source": "reported"} | fields)


def report(words: list[str]) -> Reported:
    """`throughput 12.5 unit=1/s`."""
    (name, value), options = split_options(words)
    fields: dict[str, Any] = {"unit": "", "better": "smaller", "reporter": "client"} | options
    fields["attempt"] = int(fields.get("attempt", 1))
    return Reported(name, float(value), **fields)


class Table:
    """A parsed case: its scenario and its evidence."""

    def __init__(self, text: str) -> None:
        self.units: list[Unit] = []
        self.circuits: list[Circuit] = []
        self.rules: dict[str, Any] = {}
        self.group: dict[str, Any] = {}
        self.faults: list[Fault] = []
        self.events: list[Event] = []
        self.ends: dict[str, Options] = {}
        self.metrics: list[Metric] = []
        self.others: dict[str, list[Any]] = {
            name: [] for name in ("damages", "unrecorded", "tests", "checks", "faults", "metrics")
        }
        self.earlier: list[str] = []
        self.evidence_fields: dict[str, Any] = {}
        self._ms = 0
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            if words:
                self._read(words)

    def scenario(self) -> Scenario:
        rules = Rules(
            orphans=self.rules.get("orphans", "allow" if self.circuits else "forbid"),
            stderr=self.rules.get("stderr", "uncaught"),
            allow=tuple(
                Place(*one.split(":", 1)) for one in self.rules.get("allow", "").split(",") if one
            ),
        )
        made = Group(
            "group",
            Path("group"),
            tuple(self.units),
            rules=rules,
            circuits=tuple(self.circuits),
            faults=tuple(self.faults),
            metrics=tuple(self.metrics),
            **self.group,
        )
        return Scenario("group", made, tuple(self.units))

    def evidence(self) -> Evidence:
        fields: dict[str, Any] = {name: tuple(values) for name, values in self.others.items()}
        caused = frozenset(self.earlier)
        fields["earlier_causes"] = dict.fromkeys(("", *(one.name for one in self.circuits)), caused)
        fields.update(self.evidence_fields)
        named = [unit.name for unit in self.units]
        names = dict.fromkeys([*named, *self.ends])
        ends = tuple(self._end(name) for name in names)
        return Evidence(events=tuple(self.events), ends=ends, **fields)

    def _read(self, words: list[str]) -> None:
        match words[0]:
            case "unit":
                self._read_unit(words[1:])
            case "circuit":
                self.circuits.append(circuit(words[1:]))
            case "rule":
                self.rules.update(split_options(words)[1])
            case "group":
                options = split_options(words)[1]
                self.group.update({k: {"false": False}.get(v, v) for k, v in options.items()})
            case "end":
                self.ends[words[1]] = split_options(words[2:])[1]
            case "damage":
                self.others["damages"].append(Damage(words[1], " ".join(words[2:]), "{oops"))
            case "unrecorded":
                places = tuple(Place(*word.split(":", 1)) for word in words[2:])
                self.others["unrecorded"].append(Unrecorded(words[1], "killed", places))
            case "test":
                self.others["tests"].append(TestResult(words[1], words[2] == "passed", 0.1, "no"))
            case "check":
                options = split_options(words)[1]
                owed: Any = options.get("owed", "")
                self.others["checks"].append(
                    CheckResult(words[1], False, "no", unit=options.get("unit"), owed=owed)
                )
            case "earlier":
                self.earlier += words[1:]
            case "fault":
                place, options = Place(*words[1].split(":")), split_options(words)[1]
                name = f"{options['do']} at {place}"
                do: Any = options["do"]
                on, key = int(options.get("on", 1)), options.get("key")
                self.faults.append(Fault(name, do, place.unit, at=place, on=on, key=key))
            case "struck":
                event = self._event("faults", " ".join(words[1:]), "Default", None, {"owner": ""})
                self.others["faults"].append(event)
            case "metric":
                self.metrics.append(metric(words[1], split_options(words[2:])[1]))
            case "report":
                self.others["metrics"].append(report(words[1:]))
            case "evidence":
                options = split_options(words)[1]
                self.evidence_fields |= {
                    k: int(v) if v.isdigit() else v for k, v in options.items()
                }
            case _:
                self._read_event(words)

    def _read_unit(self, words: list[str]) -> None:
        steps, options = split_options(words[1:])
        fields: dict[str, Any] = dict(options)
        for name in ("init", "restarts"):
            if name in fields:
                fields[name] = int(fields[name])
        if "exit" in fields:
            fields["exit"] = tuple(int(code) for code in fields["exit"].split(","))
        if "stop_events" in fields:
            fields["stop_events"] = tuple(fields["stop_events"].split(","))
        if "dependencies" in fields:
            fields["dependencies"] = tuple(fields["dependencies"].split(","))
        fields["quiet"] = fields.get("quiet") == "true"
        unit = Unit(
            words[0],
            fields.pop("init", len(self.units)),
            f"units/{words[0]}.toml",
            entrypoint=None if fields.pop("process", "") == "none" else "test_case:main",
            events=tuple(steps),
            **fields,
        )
        self.units.append(unit)

    def _read_event(self, words: list[str]) -> None:
        unit, step, *rest = (*words[0].split(":", 1), *words[1:])
        kind = TYPES.get(step[-1], "Default")
        step = step.rstrip("<>!")
        plain, options = split_options(rest)
        for word in plain:
            if word.startswith("@"):
                self._ms = int(word[1:])
        keys: list[str | None] = [word for word in plain if not word.startswith("@")]
        for key in keys or [None]:
            self.events.append(self._event(unit, step, kind, key, options))
            self._ms += 1

    def _event(self, unit: str, step: str, kind: str, key: str | None, options: Options) -> Event:
        number = len(self.events) + 1
        return Event(
            id=number,
            unit=unit,
            step=step,
            type=kind,
            key=key,
            cause=tuple(options["cause"].split(",")) if "cause" in options else (),
            t_ns=self._ms * MS,
            t_low_ns=int(options["low"]) * MS if "low" in options else None,
            wall_ns=self._ms * MS,
            domain=options.get("domain", "here"),
            pid=int(options.get("pid", 100 + sum(map(ord, unit)))),
            seq=int(options["seq"]) if "seq" in options else None,
            start=int(options.get("start", 1)),
            attempt=int(options.get("attempt", 1)),
            owner=options.get("owner", unit),
            meta={k[5:]: v.replace("_", " ") for k, v in options.items() if k.startswith("meta.")},
        )

    def _end(self, name: str) -> End:
        options = self.ends.get(name, {})
        unit = next((unit for unit in self.units if unit.name == name), None)
        service = unit is not None and unit.stop == "runner"
        signal = options.get("signal")
        if unit is not None and not unit.has_process:
            return End(name, EndCause.SELF, UnitState.FINISHED, was_ready=True)
        cause = EndCause(options.get("cause", "stopped" if service and not options else "self"))
        leaks = tuple(
            Leak(int(pid), "sleep 60") for pid in options.get("leaks", "").split(",") if pid
        )
        return End(
            name,
            cause,
            UnitState.FINISHED,
            pid=100 + sum(map(ord, name)),
            exit_code=None if signal else int(options.get("exit", 0)),
            signal=signal,
            starts=int(options.get("starts", 1)),
            attempt=int(options.get("attempt", 1)),
            was_ready=options.get("ready", "true") == "true",
            ended_ns=int(options.get("at", self._ms + 1000)) * MS,
            blocked_by=options.get("by"),
            fault=options.get("fault", ""),
            leaks=leaks,
        )


def brief(judgement: Judgement) -> str:
    """The verdict, then each finding as `code where [keys] [< what explains it]`."""
    lines = [str(judgement.verdict)]
    for finding in judgement.findings:
        keys = f" {','.join(finding.keys)}" if finding.keys else ""
        because = f" < {finding.explained_by}" if finding.explained_by else ""
        lines.append(f"{finding.code} {finding.where}{keys}{because}")
    return "\n".join(lines)


@pytest.fixture(scope="session")
def table() -> Callable[[str], Table]:
    """Reads a case in the notation above."""
    return Table


@pytest.fixture(scope="session")
def judged() -> Callable[[str], Judgement]:
    """Judges a case in the notation above."""

    def judge_text(text: str) -> Judgement:
        parsed = Table(text)
        return judge(parsed.scenario(), parsed.evidence())

    return judge_text


@pytest.fixture(scope="session")
def findings_of(judged: Callable[[str], Judgement]) -> Callable[[str], str]:
    """The judgement of a case, in brief."""
    return lambda text: brief(judged(text))


@pytest.fixture(scope="session")
def root_of(judged: Callable[[str], Judgement]) -> Callable[[str], str]:
    """The verdict and the root cause of a case, which must explain everything else."""

    def root(text: str) -> str:
        judgement = judged(text)
        first = judgement.findings[0]
        assert first.explained_by is None
        assert all(f.explained_by for f in judgement.findings[1:]), "one fault, one root"
        return f"{judgement.verdict} {first.code} {first.where} {','.join(first.keys)}".strip()

    return root
