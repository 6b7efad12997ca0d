"""How long logs were when probes came."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from testrium.evidence import Event
from testrium.run import logs
from testrium.run.folder import RunFolder
from testrium.run.logs import OutputMarks


def event(unit: str) -> Event:
    return Event(*(1, unit, "s", "Default", None, (), 1, None, 0, "here", 1, None, 1, 1, unit, {}))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.create(("a", "b"))
    return made


def sizes(marks: OutputMarks) -> list[tuple[str, int, int]]:
    return [(unit, stdout, stderr) for unit, _, stdout, stderr in marks.marks]


def test_only_growth_is_noted(folder: RunFolder) -> None:
    marks = OutputMarks(folder, ("a", "b"))
    marks.see((event("a"),))
    folder.stdout("a").write_text("one\n")
    marks.look()
    marks.look()
    folder.stderr("a").write_text("two")
    marks.see((event("a"), event("nobody's")))
    assert sizes(marks) == [("a", 4, 0), ("a", 4, 3)]
    times = [t_ns for _, t_ns, _, _ in marks.marks]
    assert times == sorted(times)


def test_others_are_looked_at_seldom(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "OTHERS_NS", 10**18)
    marks = OutputMarks(folder, ("a", "b"))
    folder.stdout("b").write_text("one\n")
    marks.see((event("a"),))
    assert sizes(marks) == []
    marks.see((event("b"),))
    assert sizes(marks) == [("b", 4, 0)]
    monkeypatch.setattr(logs, "OTHERS_NS", 0)
    folder.stdout("b").write_text("one\ntwo\n")
    marks.see((event("a"),))
    assert sizes(marks)[1:] == [("b", 8, 0)]


def test_there_is_an_end_to_marks(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_MARKS", 1)
    marks = OutputMarks(folder, ("a",))
    for text in ("x", "xx", "xxx"):
        folder.stdout("a").write_text(text)
        marks.see((event("a"),))
    assert sizes(marks) == [("a", 1, 0)]


def test_a_watched_log_that_was_cut_is_noticed_before_it_has_grown_again(
    folder: RunFolder,
) -> None:
    async def work() -> None:
        log = folder.stdout("a")
        with OutputMarks(folder, ("a", "b")) as marks:
            marks.watch({"a"})
            async with asyncio.timeout(30):
                log.write_text("an error\n")
                while sizes(marks) != [("a", 9, 0)]:  # noqa: ASYNC110 - it is told to nobody
                    await asyncio.sleep(0)
                log.write_text("")
                while not marks.swapped:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            log.write_text("and much more than before\n")
            marks.look()
            assert list(marks.swapped) == [("a", "stdout.log was cut")]

    asyncio.run(work())


def test_a_watched_log_that_begins_anew_was_cut_although_it_is_longer(folder: RunFolder) -> None:
    async def work() -> None:
        log = folder.stdout("a")
        with OutputMarks(folder, ("a",)) as marks:
            marks.watch({"a"})
            for text in ("one\n", "one\ntwo\n"):
                log.write_text(text)
                marks.look()
            assert not marks.swapped
            log.write_text("nothing of this was there before\n")
            marks.look()
            assert list(marks.swapped) == [("a", "stdout.log was cut")]

    asyncio.run(work())


def test_a_line_is_not_older_than_the_last_look_that_saw_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what a unit emits right behind its line seems to be older than the line."""
    monkeypatch.setattr(logs, "_CHUNK", 8)
    path = tmp_path / "stdout.log"
    path.touch()
    found: list[tuple[list[str], int]] = []
    log = logs._Log(path, lambda lines, low_ns: found.append((lines, low_ns)), 7, 0, "utf-8")
    with path.open("a") as file:
        file.write("first\nand the second")
    while log.read():
        pass
    assert log.low_ns == 7, "a part of the next line was there at the last look"
    with path.open("a") as file:
        file.write("\n")
    while log.read():
        pass
    assert found == [(["first"], 7), (["and the second"], 7)]
    assert log.low_ns > 7
