"""Take the pictures that README.md and the documentation show.

    python docs/screenshot.py    writes docs/_static/*.png

Needs a headless Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURES: Final = ROOT / "docs" / "_static"
GROUP: Final = "failing_groups/lost_order"
PASSING: Final = ("hello", "fan_out", "request_reply", "latency_budget")

#: Width and height in pixels.
SIZE: Final = (1100, 735)
TALL: Final = (1100, 900)
WHOLE: Final = (1100, 2150)

#: Runs of the history in the picture: in some of them the failing group takes part.
RUNS: Final = 12
FAILING: Final = (4, 5, 11)

ENVIRONMENT: Final = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(folder: Path, *options: str, expected: int) -> None:
    """Run groups in a folder. Exits where they do not come to what the picture is to show."""
    command = (sys.executable, "-m", "testrium", "run", *options)
    code = subprocess.call(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    if code != expected:
        sys.exit(f"screenshot: {' '.join(options)} has the exit code {code} instead of {expected}")


def photograph(chromium: str, address: str, size: tuple[int, int], picture: Path) -> None:
    """Take a picture of a page, once it is loaded."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    with tempfile.TemporaryDirectory() as name:
        taken = Path(name) / "taken.png"
        subprocess.run(
            [
                *(chromium, *options, f"--user-data-dir={name}/profile", "--timeout=15000"),
                *(f"--window-size={size[0]},{size[1]}", f"--screenshot={taken}", address),
            ],
            check=True,
            capture_output=True,
        )
        shutil.copyfile(taken, picture)
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size // 1024} KiB")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The link of a dashboard that is open meanwhile."""
    command = (sys.executable, "-m", "testrium", "serve")
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def going_on(folder: Path) -> str:
    """The id of the run that goes on in a folder, once some of its groups have ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for file in folder.glob(".testrium/runs/*/progress.jsonl"):
            if file.read_text().count('"ended"') > 1:
                return file.parent.name
        time.sleep(0.1)
    sys.exit("screenshot: no run has begun")


def main() -> None:
    """Run groups in an empty folder, and photograph their pages."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("screenshot: install chromium")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shop"
        ENVIRONMENT["HOME"] = name  # the pages name the folder: ~/shop
        shutil.copytree(ROOT / GROUP, folder / GROUP)
        passing = [f"example_groups/{group}" for group in PASSING]
        for group in passing:
            shutil.copytree(ROOT / group, folder / group)
        page = folder / "report.html"
        for number in range(RUNS):
            failing = (GROUP,) if number in FAILING else ()
            run(folder, *passing, *failing, "--html", page.name, expected=len(failing))
        run(folder, GROUP, "--html", page.name, expected=1)
        photograph(chromium, page.as_uri(), SIZE, PICTURES / "report.png")
        photograph(chromium, page.as_uri(), WHOLE, PICTURES / "report-group.png")
        with served(folder) as link:
            photograph(chromium, link, TALL, PICTURES / "dashboard.png")
            command = (sys.executable, "-m", "testrium", "run", "--repeat", "9", "-j", "2")
            with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL):
                origin = urlsplit(link)
                run_id = going_on(folder)
                address = f"{origin.scheme}://{origin.netloc}/run/{run_id}?{origin.query}"
                photograph(chromium, address, SIZE, PICTURES / "live.png")


if __name__ == "__main__":
    main()
