"""`--retries`: each try is kept, and passing at last is told."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Workplace

CODE = """
    from pathlib import Path

    def a():
        unit = testrium.unit()
        unit.probe("begun")
        if not Path("seen").exists():
            Path("seen").touch()
            raise RuntimeError("cold")

    def b():
        raise RuntimeError("broken")
"""


def test_each_try_is_kept_and_passing_at_last_is_told(workplace: Workplace) -> None:
    workplace.group({"a": 'entrypoint = "test_case:a"'}, CODE, name="warm")
    workplace.group({"b": 'entrypoint = "test_case:b"'}, CODE, name="broken")
    workplace.write(
        workplace.folder / "testrium.toml",
        '[[quarantine]]\ngroup = "broken"\ncode = "crash"\nreason = "#7"\n',
    )
    outcome = workplace.run("--retries", "2", "--plain")
    broken, warm = outcome.report["groups"]
    assert (outcome.exit_code, warm["verdict"], broken["verdict"]) == (1, "pass", "fail")
    assert "flaky" in [note["code"] for note in warm["notes"]]
    assert [one["finding"]["where"] for one in broken["tries"]] == ["b:RuntimeError"] * 2
    folders = [broken["run_dir"], *(one["run_dir"] for one in broken["tries"])]
    assert len(set(folders)) == 3
    assert all((Path(folder) / "Data.db").is_file() for folder in folders)
    assert "note: flaky at warm: passed at try 2; the first was fail: exception" in outcome.stdout
    assert "testrium.toml:1: quarantine: crash of broken: unused" in outcome.stdout

    again = workplace.finish(workplace.start("verify", "--json", "report.json"))
    assert again.exit_code == 1
    assert [group["notes"] for group in again.report["groups"]] == [broken["notes"], warm["notes"]]

    (Path(broken["run_dir"]).parent / "report.json").unlink()  # as if the runner had been killed
    again = workplace.finish(workplace.start("verify", "--json", "report.json"))
    found = {group["id"]: group for group in again.report["groups"]}
    assert again.exit_code == 5
    assert {name: len(group["tries"]) for name, group in found.items()} == {"broken": 2, "warm": 1}
    assert found["warm"]["notes"] == warm["notes"]
