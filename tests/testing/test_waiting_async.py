"""Async twins of the waits: the same answers and errors, and the loop goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from testrium import testing


def test_a_twin_answers_as_the_wait_does_and_blocks_nothing(tmp_path: Path) -> None:
    async def main() -> str:
        path = tmp_path / "log"
        waits = [
            asyncio.create_task(testing.wait_for_log_async(path, r"port (\d+)", timeout=20))
            for _ in range(40)  # more than the threads that a loop has
        ]
        await asyncio.sleep(0)
        path.write_text("port 80\n")  # it could not be written if one of them held the loop
        return (await asyncio.gather(*waits))[-1][1]

    assert asyncio.run(main()) == "80"


def test_a_twin_raises_what_the_wait_raises(tmp_path: Path) -> None:
    with pytest.raises(testing.WaitTimeoutError):
        asyncio.run(testing.wait_for_file_async(tmp_path / "none", timeout=0.01))


def test_a_cancelled_wait_disturbs_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await testing.wait_for_file_async(tmp_path / "none", timeout=0.1)
        await asyncio.sleep(0.2)  # its thread ends, and has nobody to tell

    asyncio.run(main(), debug=True)


def test_each_wait_has_its_twin() -> None:
    waits = [name for name in testing.__all__ if name.startswith("wait_") and "async" not in name]
    for name in waits:
        assert getattr(testing, f"{name}_async").__doc__.startswith(f"As `{name}`")
