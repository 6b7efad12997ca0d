"""Tracebacks of several languages; and what only looks like one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from testrium.tracebacks import raised_types

CASES = {
    "python": (
        'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    g()\nValueError: no',
        ["ValueError"],
    ),
    "python, of a module": (
        'Traceback (most recent call last):\n  File "a.py"\nmy.errors.BadOrder: no\n',
        ["BadOrder"],
    ),
    "python, no message": (
        'Traceback (most recent call last):\n  File "a.py"\nKeyboardInterrupt\n',
        ["KeyboardInterrupt"],
    ),
    "python, logged": (
        'ERROR:root:oh\nTraceback (most recent call last):\n  File "a.py"\nKeyError: 1\nmore',
        ["KeyError"],
    ),
    "python, chained": (
        (
            "Traceback (most recent call last):\n  File\nKeyError: 1\n\n"
            "During handling of the above exception, another exception occurred:\n\n"
            "Traceback (most recent call last):\n  File\nOSError: 2"
        ),
        ["KeyError", "OSError"],
    ),
    "python, cut off": ('Traceback (most recent call last):\n  File "a.py"\n', []),
    "java": (
        'Exception in thread "main" java.lang.IllegalStateException: no\n\tat A.main(A.java:3)\n',
        ["IllegalStateException"],
    ),
    "node": (
        "file.js:1\nthrow new TypeError('no')\n^\n\nTypeError: no\n    at Object (a.js)",
        ["TypeError"],
    ),
    "go": ("panic: no\n\ngoroutine 1 [running]:\nmain.main()", ["panic"]),
    "rust": ("thread 'main' panicked at src/main.rs:2:5:\nno", ["panic"]),
    "ruby": ("a.rb:1:in `<main>': no (RuntimeError)", ["RuntimeError"]),
    "words": ("ERROR: crash, fatal\nError: no\npanic: calm down\nValueError: quoted", []),
    "quoted in a line": ("he said: Traceback (most recent call last): ValueError", []),
}


@pytest.mark.parametrize("case", CASES)
def test_types(case: str) -> None:
    text, types = CASES[case]
    assert list(raised_types(text)) == types


@pytest.mark.parametrize(
    ("code", "types"),
    [
        ("{}['x']", ["KeyError"]),
        ("raise ExceptionGroup('two', [ValueError(1), OSError(2)])", ["ExceptionGroup"]),
        ("def f():\n    raise f\nf()", ["TypeError"]),
    ],
)
def test_real_tracebacks(code: str, types: list[str]) -> None:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert list(raised_types(ran.stderr)) == types
