"""Break the program in one place after another, and see whether the tests notice.

    python tests/mutants.py [--number 120] [--seed 1] [--minutes 18] [--only verify,record]

Draws so many mutants from the rooms below, each room by its size: a comparison that is turned, a
condition that is negated, a number that is one more, a statement that is left out. Each is put into
a copy of the project, and the tests of its room are run until one fails; what these let through has
to pass some whole runs too. Prints the survivors, and how many of a hundred were noticed.

The known tools do not fit: mutmut replaces functions in one process and forks it for each mutant,
so that the processes that our tests start would never see one; cosmic-ray has no sample with a
seed, and needs a day for all of them.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
ROOMS = ("verify", "record", "run", "load", "report")
#: What has to pass where the tests of a room have not noticed anything.
WHOLE_RUNS = (
    "tests/end_to_end/test_life.py",
    "tests/end_to_end/test_runs.py",
    "tests/verify/test_histories.py",
)
LIMIT_S = 240.0

TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


class Mutant(NamedTuple):
    """A change of one file: which one of the file's changes, and how it reads."""

    room: str
    file: Path
    number: int
    line: int
    text: str


class Changer(ast.NodeTransformer):
    """Counts the places that can be changed, and changes the one with this number."""

    def __init__(self, wanted: int = -1) -> None:
        self.wanted = wanted
        self.found: list[tuple[int, str]] = []

    def _is_wanted(self, node: ast.AST, text: str) -> bool:
        self.found.append((getattr(node, "lineno", 0), text))
        return len(self.found) - 1 == self.wanted

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        for place, operator in enumerate(node.ops):
            other = TURNED[type(operator)]
            what = f"{type(operator).__name__} is {other.__name__} in {ast.unparse(node)}"
            if self._is_wanted(node, what):
                node.ops[place] = other()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self._is_wanted(node, f"and/or in {ast.unparse(node)}"):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        condition = ast.unparse(node.test)
        if "TYPE_CHECKING" not in condition and self._is_wanted(node, f"not in if {condition}"):
            node.test = ast.UnaryOp(ast.Not(), node.test)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is int and self._is_wanted(node, f"{node.value} is one more"):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        if type(node.value) is bool and self._is_wanted(node, f"{node.value} is the other"):
            return ast.copy_location(ast.Constant(not node.value), node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        is_call = isinstance(node.value, ast.Call | ast.Await)
        if is_call and self._is_wanted(node, f"without {ast.unparse(node)}"):
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_Continue(self, node: ast.Continue) -> ast.AST:
        return ast.Break() if self._is_wanted(node, "break for continue") else node


def mutants() -> dict[str, list[Mutant]]:
    """All that can be drawn, by room."""
    found: dict[str, list[Mutant]] = {}
    for room in ROOMS:
        for file in sorted((ROOT / "testrium" / room).rglob("*.py")):
            changer = Changer()
            changer.visit(ast.parse(file.read_text(encoding="utf-8")))
            for number, (line, text) in enumerate(changer.found):
                found.setdefault(room, []).append(
                    Mutant(room, file.relative_to(ROOT), number, line, text)
                )
    return found


def drawn(number: int, seed: int, rooms: tuple[str, ...]) -> list[Mutant]:
    """A sample, each room by its size, in random order: it may be cut at any place."""
    everything = [mutant for room, some in mutants().items() if room in rooms for mutant in some]
    chance = random.Random(seed)
    return chance.sample(everything, min(number, len(everything)))


class Place:
    """A copy of the project that mutants are put into, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        wanted = ("testrium", "tests", "docs", "example_groups", "failing_groups", "benchmarks")
        for name in (*wanted, "templates", "news"):
            if (ROOT / name).is_dir():
                skipped = shutil.ignore_patterns("__pycache__", ".testrium")
                shutil.copytree(ROOT / name, folder / name, ignore=skipped)
        for file in ROOT.glob("*.*"):
            if file.is_file():
                shutil.copy(file, folder)
        compileall.compile_dir(folder / "testrium", quiet=1)  # what no mutant changes

    def is_sound(self, room: str) -> bool:
        """Whether the tests of a room pass as long as nothing is changed."""
        return not self._fails(f"tests/{room}", "--ignore", "tests/verify/test_histories.py")

    def notices(self, mutant: Mutant) -> bool:
        """Whether a test fails with this change."""
        file = self.folder / mutant.file
        original = file.read_text(encoding="utf-8")
        tree = Changer(mutant.number).visit(copy.deepcopy(ast.parse(original)))
        file.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")
        try:
            beside = ("--ignore", "tests/verify/test_histories.py")
            return self._fails(f"tests/{mutant.room}", *beside) or self._fails(*WHOLE_RUNS)
        finally:
            file.write_text(original, encoding="utf-8")

    def _fails(self, *arguments: str) -> bool:
        options = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments)
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TESTRIUM_SEED": "1",
        }
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *options],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as tests:
            try:
                return tests.wait(LIMIT_S) != 0
            except subprocess.TimeoutExpired:
                os.killpg(tests.pid, 9)
                return True


def judged(sample: list[Mutant], end: float, jobs: int) -> Iterator[tuple[Mutant, bool]]:
    """Each mutant, and whether it was noticed, until the time is over."""
    with tempfile.TemporaryDirectory() as folder:
        places = [Place(Path(folder, str(number))) for number in range(jobs)]
        rooms = sorted({mutant.room for mutant in sample})
        with ThreadPoolExecutor(jobs) as threads:
            sound = list(
                threads.map(
                    lambda each: places[each % jobs].is_sound(rooms[each]), range(len(rooms))
                )
            )
        for room in [room for room, passes in zip(rooms, sound, strict=True) if not passes]:
            print(f"left out: tests/{room} fails unchanged, or takes over {LIMIT_S:g} s")
            sample[:] = [mutant for mutant in sample if mutant.room != room]

        def work(place: Place) -> list[tuple[Mutant, bool]]:
            done = []
            while sample and time.monotonic() < end:
                mutant = sample.pop()
                done.append((mutant, place.notices(mutant)))
                sign = "noticed " if done[-1][1] else "SURVIVED"
                print(f"{sign} {mutant.file}:{mutant.line}: {mutant.text}", flush=True)
            return done

        with ThreadPoolExecutor(jobs) as threads:
            for done in threads.map(work, places):
                yield from done


def main() -> None:
    """Draw, judge, print."""
    parser = argparse.ArgumentParser(description="See how many small defects the tests notice.")
    parser.add_argument("--number", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=18.0)
    parser.add_argument("--only", default=",".join(ROOMS))
    options = parser.parse_args()
    sample = drawn(options.number, options.seed, tuple(options.only.split(",")))
    end = time.monotonic() + options.minutes * 60
    results = list(judged(sample, end, os.cpu_count() or 1))
    noticed = sum(was for _, was in results)
    for mutant, was in results:
        if not was:
            print(f"not noticed: {mutant.file}:{mutant.line}: {mutant.text}")
    if results:
        share = noticed / len(results)
        print(
            f"{noticed} of {len(results)} mutants were noticed ({share:.0%}), seed {options.seed}"
        )


if __name__ == "__main__":
    main()
