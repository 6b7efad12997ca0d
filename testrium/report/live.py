"""The lines at the bottom of a terminal that change while groups run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from testrium.report.lines import Line

if TYPE_CHECKING:
    from rich.live import Live

#: A run that is over sooner never loads rich: its start-up is a large part of such a run.
DELAY_S = 0.25
REFRESH_S = 0.125


class LiveLines:
    """Redraws lines in place, in a thread of its own, so that time is seen to pass in a hang.

    `rows(width, height)` makes the lines; it is called in that thread.
    """

    def __init__(self, stream: TextIO, rows: Callable[[int, int], Sequence[Line]]) -> None:
        self._stream = stream
        self._rows = rows
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._live: Live | None = None  # set while lines change
        self._waiting: list[str] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to show lines, soon. Nothing happens if they are shown already."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._work, name="console", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Write whole lines above those that change, with the next redrawing.

        At once where no lines change; then it raises what the stream raises.
        """
        with self._lock:
            if self._live is None:
                self._stream.write(text)
                self._stream.flush()
            else:
                self._waiting.append(text)

    def stop(self) -> None:
        """Erase the lines and give the cursor back."""
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join()
        self._thread = None

    def _work(self) -> None:
        if self._stopping.wait(DELAY_S):
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, force_terminal=True, highlight=False)
        live = Live(console=console, auto_refresh=False, transient=True)
        # The terminal may go at any time: the run goes on, and its report is in files too.
        with contextlib.suppress(OSError, ValueError):
            live.start()
            with self._lock:
                self._live = live
            while not self._stopping.wait(REFRESH_S):
                self._refresh(live)
        with contextlib.suppress(OSError, ValueError):
            live.stop()
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._live = None
            self._stream.write("".join(self._waiting))
            self._stream.flush()

    def _refresh(self, live: Live) -> None:
        from rich.text import Text

        with self._lock:
            text, self._waiting = "".join(self._waiting), []
        if text:
            # `soft_wrap`: the lines fit already, and rich must not break them again.
            live.console.print(Text.from_ansi(text), soft_wrap=True, end="")
        size = live.console.size
        rows = self._rows(size.width, size.height)
        changing = Text.from_ansi("\n".join(row.painted() for row in rows))
        changing.no_wrap = True
        live.update(changing, refresh=True)
