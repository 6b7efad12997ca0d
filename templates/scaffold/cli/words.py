"""Counts the words of a text. Any program does: it knows nothing of Testrium."""

import json
import sys
import time
from collections import Counter


def count(source: str, target: str) -> None:
    started = time.monotonic()
    print(f"reading {source}")
    with open(source, encoding="utf-8") as text:
        counts = Counter(text.read().split())
    print(f"{counts.total()} words, {len(counts)} of them different")
    with open(target, "w", encoding="utf-8") as report:
        json.dump(counts, report)
    print(f"wrote {target}")
    print(f"done in {(time.monotonic() - started) * 1000:.0f} ms")


try:
    count(*sys.argv[1:])
except OSError as error:
    print(f"{error.filename}: {error.strerror}", file=sys.stderr)
    sys.exit(2)
