from __future__ import annotations

import io
import threading

import pytest

from testrium.report import progress
from testrium.report.lines import Line, line


class Screen(io.StringIO):
    """Remembers what was written, and tells when a text has been."""

    def __init__(self, awaited: str = "", *, broken: bool = False) -> None:
        super().__init__()
        self.awaited = awaited
        self.broken = broken
        self.seen = threading.Event()

    def write(self, text: str) -> int:
        if self.broken:
            self.seen.set()
            raise OSError("the terminal is gone")
        number = super().write(text)
        if self.awaited and self.awaited in text:
            self.seen.set()
        return number


def rows(width: int, height: int) -> list[Line]:
    return [line("changing \x1b")]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY_S", 0)


@pytest.mark.usefixtures("at_once")
def test_lines_change_below_those_that_stay() -> None:
    screen = Screen("changing \\x1b")
    shown = progress.LiveLines(screen, rows)
    shown.start()
    assert screen.seen.wait(10)
    shown.write("\x1b[1mstays\x1b[0m\n")
    shown.stop()
    shown.write("after\n")
    text = screen.getvalue()

    assert 0 < text.index("changing") < text.index("stays") < text.index("after")
    assert text.endswith("after\n")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # cursor hidden, given back


def test_a_short_run_never_loads_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY_S", 60)
    screen = Screen()
    shown = progress.LiveLines(screen, rows)
    shown.start()
    shown.start()  # a further round of groups begins
    shown.write("only this\n")
    shown.stop()

    assert screen.getvalue() == "only this\n"
    assert "console" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.usefixtures("at_once")
def test_a_terminal_that_is_gone_ends_the_display_only() -> None:
    screen = Screen(broken=True)
    shown = progress.LiveLines(screen, rows)
    shown.start()
    assert screen.seen.wait(10)
    shown.stop()


@pytest.mark.usefixtures("at_once")
def test_what_waits_for_a_redrawing_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_S", 0.01)
    screen = Screen("changing \\x1b")
    shown = progress.LiveLines(screen, rows)
    shown.start()
    assert screen.seen.wait(10)
    for number in range(500):
        shown.write(f"line {number}.\n")
    shown.stop()
    text = screen.getvalue()

    places = [text.index(f"line {number}.") for number in range(500)]
    assert places == sorted(places)


def test_stop_may_come_first_and_twice() -> None:
    shown = progress.LiveLines(Screen(), rows)
    shown.stop()
    shown.start()
    shown.stop()
    shown.stop()
