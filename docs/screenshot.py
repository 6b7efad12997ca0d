"""Take the picture of a report that README.md shows.

    python docs/screenshot.py    writes docs/_static/report.png

Needs a headless Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURE: Final = ROOT / "docs" / "_static" / "report.png"
GROUP: Final = "failing_groups/lost_order"
#: Width and height in pixels.
SIZE: Final = (1100, 735)


def main(picture: Path) -> None:
    """Run the group in an empty folder, and photograph its page."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("screenshot: install chromium")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / GROUP, folder / GROUP)
        page = folder / "report.html"
        command = (sys.executable, "-m", "testrium", "run", "--html", page)
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        code = subprocess.call(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        if code != 1:
            sys.exit(f"screenshot: {GROUP} must fail, but the exit code is {code}")
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
        size = f"--window-size={SIZE[0]},{SIZE[1]}"
        taken = folder / "taken.png"
        subprocess.run(
            [chromium, *options, size, f"--screenshot={taken}", page.as_uri()],
            check=True,
            capture_output=True,
        )
        shutil.copyfile(taken, picture)
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main(PICTURE)
