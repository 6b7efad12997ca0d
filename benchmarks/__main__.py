"""All benchmarks, one after the other: `python -m benchmarks`, or `make bench`.

With --short each takes a second or two: its figures mean nothing, but it is seen to work.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run every benchmark of this folder; the exit code is 1 when one of them failed."""
    failed = False
    for script in sorted(Path(__file__).parent.glob("[!_]*.py")):
        print(f"\n{script.stem}", flush=True)
        failed |= (
            subprocess.run([sys.executable, script, *sys.argv[1:]], check=False).returncode != 0
        )
    return int(failed)


sys.exit(main())
