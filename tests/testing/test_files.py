"""Files, templates, archives, ports."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from testrium.run.ports import is_free
from testrium.testing import (
    UnpackError,
    copy,
    fill_template,
    free_port,
    free_ports,
    unpack,
    work_folder,
    write_file,
)
from testrium.variables import VariableError


def test_write_and_copy(tmp_path: Path) -> None:
    script = write_file("a/b/run.sh", "#!/bin/sh\n", executable=True)
    assert script.stat().st_mode & 0o111
    assert copy(script, "c/") == Path("c/run.sh")
    assert copy("a", "d/e") == Path("d/e")
    assert Path("d/e/b/run.sh").read_text() == "#!/bin/sh\n"
    assert Path("c/run.sh").stat().st_mode & 0o111
    assert copy("a", tmp_path / "c") == tmp_path / "c" / "a"


def test_templates() -> None:
    write_file("in", "port = ${port}\ncost = $$5 $x\n")
    assert fill_template("in", "out/f", port=80).read_text() == "port = 80\ncost = $5 $x\n"
    with pytest.raises(VariableError, match="unknown variable 'port'"):
        fill_template("in", "other", prot=80)
    assert not Path("other").exists()


def test_archives() -> None:
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("x/y.txt", "zipped")
    with tarfile.open("b.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("x/z.txt")
        info.size = 6
        tar.addfile(info, io.BytesIO(b"tarred"))
    assert (unpack("a.zip", "out") / "x" / "y.txt").read_text() == "zipped"
    assert (unpack("b.tar.gz", "out") / "x" / "z.txt").read_text() == "tarred"


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.log.gz", gzip.compress), ("a.log.xz", lzma.compress), ("a.log.bz2", bz2.compress)],
)
def test_a_single_packed_file(name: str, pack: Callable[[bytes], bytes]) -> None:
    Path(name).write_bytes(pack(b"line"))
    assert (unpack(name, "out") / "a.log").read_bytes() == b"line"
    Path(name).write_bytes(pack(b"line")[:-5])
    with pytest.raises(UnpackError, match=r"a\.log\.\w+ cannot be unpacked: "):
        unpack(name, "out")


def test_a_file_that_is_not_an_archive_is_refused() -> None:
    Path("a.txt").write_text("text")
    with pytest.raises(UnpackError, match=r"a\.txt cannot be unpacked: expected a \.zip, \.tar"):
        unpack("a.txt", "out")


def test_an_archive_that_would_leave_its_folder() -> None:
    with tarfile.open("evil.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises(UnpackError, match=r"evil\.tar is refused: .*outside the destination"):
        unpack("evil.tar", "out/in")
    assert not Path("out/outside").exists()
    with zipfile.ZipFile("evil.zip", "w") as archive:
        archive.writestr("../outside", "x")
        archive.writestr("inside", "y")
    with pytest.raises(
        UnpackError, match=r"evil\.zip is refused: '\.\./outside' would be extracted"
    ):
        unpack("evil.zip", "out/in")
    assert not Path("out/outside").exists()
    assert list(Path("out/in").iterdir()) == []


def test_a_work_folder_stays_if_something_fails() -> None:
    with work_folder() as first:
        (first / "file").touch()
    assert not first.exists()
    with pytest.raises(ValueError, match="no") as caught, work_folder() as second:
        raise ValueError("no")
    assert second.is_dir()
    assert caught.value.__notes__ == [f"its files are kept in {second}"]
    with work_folder() as third:
        assert third != second


def test_ports() -> None:
    ports = {free_port(), *free_ports(3)}
    assert len(ports) == 4
    assert all(map(is_free, ports))
