"""The pages of the dashboard, made of the history and of the folders of runs; only read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from testrium.errors import TestriumError
from testrium.history.database import FILE, History
from testrium.history.rows import ResultRecord, RunRecord
from testrium.history.trends import Flaky, flaky_of, slow_of
from testrium.record.runs import list_runs
from testrium.report import wording
from testrium.report.charts import trends
from testrium.report.html import make_environment, render
from testrium.report.masking import masked_run
from testrium.report.stored import details_of, read_run
from testrium.words import EMPTY, Verdict

#: So many runs are on the page of trends.
MOST_RUNS = 200


class Page(NamedTuple):
    """An answer: its status and the document."""

    status: int
    document: str


class _StoredHistory(NamedTuple):
    """What the history holds.

    `runs` and `series` are of the latest runs, the oldest first. `flaky`, the most undecided first,
    and `usual_s` (seconds) are of the whole history, by the rules that `testrium history` has; both
    name their series. `kept` are the runs that have a page.
    """

    runs: tuple[trends.PastRun, ...] = ()
    series: tuple[trends.Series, ...] = ()
    flaky: tuple[tuple[str, Flaky], ...] = ()
    usual_s: Mapping[str, float] = EMPTY
    kept: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()


class Pages:
    """All pages of one project."""

    def __init__(self, state: Path, cwd: Path) -> None:
        self._state = state
        self._cwd = cwd
        self._environment = make_environment()

    def page(self, target: str) -> Page:
        """The page of an address: `/`, `/group/NAME` or `/run/RUN`."""
        try:
            parts = urlsplit(target).path.split("/", 2)[1:]
            match [unquote(part) for part in parts]:
                case [""]:
                    return self._overview()
                case ["group", name]:
                    return self._group(name)
                case ["run", run]:
                    return self._run(run)
        except TestriumError as error:
            return self.told(500, str(error))
        except ValueError:  # brackets that hold no address
            pass
        return self.told(404, "page not found")

    def told(self, status: int, text: str) -> Page:
        """A page that says one thing."""
        return Page(status, self._render("told.html.j2", status=status, text=text))

    def _overview(self) -> Page:
        past = self._history()
        document = self._render(
            "trends.html.j2",
            past=past,
            strip=trends.run_strip(past.runs),
            shown={one.name for one in past.series},
            project=str(self._state.parent),
        )
        return Page(200, document)

    def _group(self, name: str) -> Page:
        past = self._history()
        series = next((one for one in past.series if one.name == name), None)
        if series is None:
            return self.told(404, f"the history has no group {name}")
        document = self._render(
            "group.html.j2",
            series=series,
            curves=trends.curves(series),
            flaky=[flaky for of, flaky in past.flaky if of == name],
        )
        return Page(200, document)

    def _run(self, run: str) -> Page:
        # By the names that exist: what a request says never becomes a path.
        folder = next((one for one in list_runs(self._state) if one.name == run), None)
        if folder is None:
            return self.told(404, f"run {run} is not kept any more: the history has its verdicts")
        return Page(200, render(masked_run(read_run(folder)), cwd=self._cwd, details=details_of))

    def _history(self) -> _StoredHistory:
        if not (self._state / FILE).exists():  # who only looks makes nothing
            return _StoredHistory()
        kept = frozenset(folder.name for folder in list_runs(self._state))
        with History(self._state) as history:
            records = history.list_runs(MOST_RUNS)[::-1]
            results = [
                _past_result(record, run, run.run in kept)
                for run in records
                for record in history.results(run=run.run)[::-1]
            ]
            every = history.results(figures=False)
            return _StoredHistory(
                runs=tuple(_past_run(run, run.run in kept) for run in records),
                series=trends.all_series(results),
                flaky=tuple((_series(one.group, one.mode), one) for one in flaky_of(every)),
                usual_s={_series(one.group, one.mode): one.median_s for one in slow_of(every)},
                kept=kept,
                notices=history.notices,
            )

    def _render(self, template: str, **values: object) -> str:
        return self._environment.get_template(template).render(
            **values, address=lambda text: quote(str(text), safe="")
        )


def _series(group: str, mode: str) -> str:
    """What results of one group in one mode are called, side by side over time."""
    return group if mode == "DEBUG" else f"{group} @{mode}"


def _past_run(run: RunRecord, kept: bool) -> trends.PastRun:
    revision = (run.revision or "")[:10] + (" with changes" if run.dirty else "")
    counts = [f"{number} {wording.OUTCOMES[verdict]}" for verdict, number in run.verdicts.items()]
    return trends.PastRun(
        run=run.run,
        started=run.started,
        verdict=run.verdict,
        duration_s=run.duration_s,
        counts=", ".join(counts),
        revision=revision,
        kept=kept,
    )


def _past_result(record: ResultRecord, run: RunRecord, kept: bool) -> trends.PastResult:
    return trends.PastResult(
        series=_series(record.group, record.mode),
        run=run.run,
        started=run.started,
        verdict=record.verdict,
        duration_s=record.duration_s,
        root=f"{record.root_code} at {record.root_where}" if record.root_code else "",
        kept=kept,
        figures={}
        if record.verdict is Verdict.SKIP
        else {
            measure.name: trends.PastValue(measure.value, measure.unit)
            for measure in record.measures.values()
        },
    )
