"""Readers that are fuzzed as their coverage leads; only where atheris is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Seconds for each reader; TESTRIUM_GUIDED_S says others.
USUAL_S = 60

#: An input to begin with, so that the fuzzer knows what the reader is about.
BEGINNINGS = {
    "groups": """
[Configs]
units = ["a", "b"]
timeout = 5
[verify]
settle = "5ms"
[[circuits]]
name = "c"
route = ["a:sent{1,2}", ["b:x", "b:y?"]]
within = "5ms"
same = ["x"]
[[faults]]
at = "a:x"
do = "kill"
[[checks]]
name = "n"
log = "a"
contains = "x"
count = "== 3"
[matrix]
x = [1, 2]
[env]
A = "${param.x}"
""",
    "routes": "a:sent{1,3}|b:x",
    "lines": '{"step": "s", "type": "Send", "key": "k", "cause": ["x"], "meta": {"n": 3}}',
}


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("reader", BEGINNINGS)
def test_a_fuzzer_that_sees_coverage_finds_nothing(reader: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed")
    corpus, folder = tmp_path / "corpus", tmp_path / "folder"
    for made in (corpus, folder):
        made.mkdir()
    (corpus / "beginning").write_text(BEGINNINGS[reader])
    limit_s = os.environ.get("TESTRIUM_GUIDED_S", USUAL_S)
    done = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).with_name("guided.py")), reader, str(folder)),
            *(f"-max_total_time={limit_s}", "-timeout=20", "-max_len=4096", str(corpus)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stderr[-3000:]
