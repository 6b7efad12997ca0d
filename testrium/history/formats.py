"""The history as CSV and JSON, for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from testrium.history.rows import ResultRecord
from testrium.report.escape import csv_cell, json_text
from testrium.results import Measure

Form = Literal["csv", "json"]

#: Columns of the CSV form: those of a result, then those of one of its figures.
RESULT_COLUMNS = (
    *("run", "started", "revision", "dirty", "machine", "group", "folder", "mode", "params"),
    *("repeat", "verdict", "root_code", "root_where", "duration_s"),
)

FIGURE_COLUMNS = ("figure", "value", "unit", "source", "better", "n", "mean", "deviation")


def as_csv(results: Iterable[ResultRecord]) -> str:
    """A row for each figure of each result, and one for a result without figures.

    Text that a spreadsheet would take for a formula begins with a quote.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*RESULT_COLUMNS, *FIGURE_COLUMNS))
    for result in results:
        facts = _facts(result)
        facts["params"] = json.dumps(facts["params"], sort_keys=True)
        own = [_cell(facts[column]) for column in RESULT_COLUMNS]
        for figure in _figures(result) or [dict.fromkeys(FIGURE_COLUMNS)]:
            writer.writerow((*own, *(_cell(figure[column]) for column in FIGURE_COLUMNS)))
    return text.getvalue()


def as_json(results: Iterable[ResultRecord]) -> str:
    """A list of results, each with the list of its `figures`."""
    data = [_facts(result) | {"figures": _figures(result)} for result in results]
    return json_text(data, indent=1) + "\n"


def _facts(result: ResultRecord) -> dict[str, Any]:
    facts = {column: getattr(result, column) for column in RESULT_COLUMNS if column != "started"}
    started = datetime.fromtimestamp(result.started, UTC).isoformat(timespec="milliseconds")
    facts |= {"params": dict(result.params), "verdict": str(result.verdict), "started": started}
    return {column: facts[column] for column in RESULT_COLUMNS}


def _figures(result: ResultRecord) -> list[dict[str, Any]]:
    return [dict(_figure(measure)) for measure in result.measures.values()]


def _figure(measure: Measure) -> Iterator[tuple[str, Any]]:
    fields = measure._asdict()
    for column in FIGURE_COLUMNS:
        yield column, fields["name" if column == "figure" else column]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return csv_cell(value) if isinstance(value, str) else value
