"""Write the tables of keys in docs/reference, and the schemas, from their declaration.

    python docs/tables.py            write them
    python docs/tables.py --check    say which pages differ, and write nothing

A table stands between `<!-- keys: Unit -->` and `<!-- end of keys -->`. One that begins with
`<!-- keys: Check: log file -->` has only these keys. Default and meaning come from
`testrium/declared`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import Field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from testrium.cli.reference import FILES  # noqa: E402
from testrium.declared import (  # noqa: E402
    checks,
    circuits,
    faults,
    groups,
    project,
    taps,
    telemetry,
    units,
)
from testrium.declared.keys import as_written, default_of, key_of, keys_of  # noqa: E402
from testrium.load.schema import descriptions, json_schemas  # noqa: E402
from testrium.report.fields import report_schema  # noqa: E402

PAGES: Final = ROOT / "docs" / "reference"
#: What a table may show.
KINDS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (
        groups.Configs,
        groups.Monitored,
        groups.UnitHost,
        units.Unit,
        units.Readiness,
        units.LogProbe,
        units.ManualStep,
        units.Fixture,
        circuits.Circuit,
        circuits.Rules,
        checks.Check,
        faults.Fault,
        faults.Chaos,
        faults.Explore,
        groups.Generate,
        checks.Metric,
        checks.OperationHistory,
        telemetry.Telemetry,
        telemetry.SpanRule,
        telemetry.LogRule,
        taps.Tap,
        taps.TapProbe,
        project.ProjectTable,
        project.Quarantine,
    )
}
_TABLE: Final = re.compile(
    r"^<!-- keys: (?P<kind>\w+)(?:: (?P<keys>[^>]+?))? -->\n.*?^<!-- end of keys -->$",
    re.DOTALL | re.MULTILINE,
)


def filled(text: str) -> str:
    """A page with its tables as they are declared now."""
    return _TABLE.sub(_filled, text)


def _filled(found: re.Match[str]) -> str:
    kind = KINDS[found["kind"]]
    wanted = (found["keys"] or "").split() or [key for _, key in keys_of(kind)]
    rows = dict(_rows(kind))
    head = found[0].partition("\n")[0]
    return "\n".join(
        [
            head,
            "",
            "| key | default | meaning |",
            "|---|---|---|",
            *(rows[key] for key in wanted),
            "",
            "<!-- end of keys -->",
        ]
    )


def shown(text: str) -> set[tuple[str, str]]:
    """The kinds and keys whose rows the tables of a page show."""
    return {
        (found["kind"], key)
        for found in _TABLE.finditer(text)
        for key in (found["keys"] or "").split()
        or [key for _, key in keys_of(KINDS[found["kind"]])]
    }


def _rows(kind: type[Any]) -> Iterator[tuple[str, str]]:
    meanings = descriptions(kind)
    for field, key in keys_of(kind):
        meaning = meanings[field.name].replace("|", r"\|")
        yield key, f"| `{key}` | {_default(field)} | {meaning} |"


def _default(field: Field[Any]) -> str:
    """What holds where the key is missing, as files have it."""
    key = key_of(field)
    if key.required:
        return "required"
    if key.default:
        return key.default
    return _toml(as_written(default_of(field), field.type))


def _toml(value: Any) -> str:
    match value:
        case "" | None:
            return "\N{EN DASH}"
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f'`"{value}"`'
        case dict():
            return "`{}`"
        case list():
            return "`[" + ", ".join(_toml(each).strip("`") for each in value) + "]`"
        case _:
            return f"`{value}`"


def schemas() -> dict[Path, str]:
    """The JSON Schemas of what users write, and of the report, as they are declared now."""
    of_files = json_schemas()
    declared = {name: of_files[file] for name, file in FILES.items()}
    declared["report"] = report_schema()
    return {
        PAGES / f"{name}.schema.json": json.dumps(one, indent=1) + "\n"
        for name, one in declared.items()
    }


def main(arguments: list[str]) -> int:
    """Write the tables, or check them."""
    differing = []
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            differing.append(page.name)
            if "--check" not in arguments:
                page.write_text(new, encoding="utf-8")
    for file, text in schemas().items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            differing.append(file.name)
            if "--check" not in arguments:
                file.write_text(text, encoding="utf-8")
    verb = "differ from the declaration" if "--check" in arguments else "written"
    print(f"tables of keys: {', '.join(differing) or 'none'} {verb}")
    return 1 if differing and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
