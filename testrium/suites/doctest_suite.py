"""Doctests as a unit: of modules, and of texts such as README.md."""

from __future__ import annotations

import doctest
import importlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from testrium.suites import protocol
from testrium.suites.protocol import OutcomeReporter
from testrium.tracebacks import own_place

_TEXTS = (".md", ".rst", ".txt")

_ErrorInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType]


def main() -> None:
    """The entrypoint: run the examples of every module and text below the paths."""
    reporter = OutcomeReporter()
    for path in protocol.paths():
        for file in _files(Path(path)):
            for test in _examples(file, reporter):
                _run(test, reporter)
    reporter.conclude()


def _files(path: Path) -> Iterator[Path]:
    """The file itself; of a folder all modules and texts with examples in them."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        inner = file.relative_to(path).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inner)
        if (
            file.suffix in (".py", *_TEXTS)
            and file.is_file()
            and not hidden
            and _has_examples(file)
        ):
            yield file


def _has_examples(file: Path) -> bool:
    return ">>> " in file.read_text(encoding="utf-8", errors="replace")


def _examples(file: Path, reporter: OutcomeReporter) -> list[doctest.DocTest]:
    try:
        tests = _of_module(file) if file.suffix == ".py" else [_of_text(file)]
    except Exception as error:  # noqa: BLE001 - a module of the user that cannot be imported
        trace = "".join(traceback.format_exception(error))
        message = "".join(traceback.format_exception_only(error)).strip()
        sys.stdout.write(trace)
        place = own_place(error, str(file.parent)) or (str(file), 1)
        reporter.report(file.name, "failed", message=message, traceback=trace, place=place)
        return []
    return [test for test in tests if test.examples]


def _of_text(file: Path) -> doctest.DocTest:
    text = file.read_text(encoding="utf-8")
    return doctest.DocTestParser().get_doctest(text, {}, file.name, str(file), 0)


def _of_module(file: Path) -> list[doctest.DocTest]:
    """A module is imported by the name that it has from its outermost package."""
    parts = [file.stem] if file.name != "__init__.py" else []
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    module = importlib.import_module(".".join(parts))
    return doctest.DocTestFinder().find(module, module.__name__)


class _Runner(doctest.DocTestRunner):
    """Remembers the first example that failed."""

    first = ""
    line: int | None = None

    def report_failure(
        self,
        out: Callable[[str], object],
        test: doctest.DocTest,
        example: doctest.Example,
        got: str,
    ) -> None:
        super().report_failure(out, test, example, got)
        told = f"{example.source.strip()} gave {got.strip()!r}, not {example.want.strip()!r}"
        self._remember(told, test, example)

    def report_unexpected_exception(
        self,
        out: Callable[[str], object],
        test: doctest.DocTest,
        example: doctest.Example,
        exc_info: _ErrorInfo,
    ) -> None:
        super().report_unexpected_exception(out, test, example, exc_info)
        raised = "".join(traceback.format_exception_only(exc_info[1])).strip()
        self._remember(f"{example.source.strip()} raised {raised}", test, example)

    def _remember(self, told: str, test: doctest.DocTest, example: doctest.Example) -> None:
        if not self.first:
            self.first, self.line = told, (test.lineno or 0) + example.lineno + 1


def _run(test: doctest.DocTest, reporter: OutcomeReporter) -> None:
    output: list[str] = []
    runner = _Runner(verbose=False)
    started = time.perf_counter()
    result = runner.run(test, out=output.append)
    took_s = time.perf_counter() - started
    text = "".join(output)
    sys.stdout.write(text or f"ok {test.name}\n")
    file = test.filename or ""
    if result.failed:
        told = {"message": runner.first, "traceback": text}
        reporter.report(test.name, "failed", duration_s=took_s, place=(file, runner.line), **told)
    else:
        place = (file, (test.lineno or 0) + 1)
        reporter.report(test.name, "passed", duration_s=took_s, place=place)
