from __future__ import annotations

import errno
import hashlib
import os
import sys
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from asyncflow.cli import main
from asyncflow.errors import ArchiveBusyError, ArchiveDamagedError, OptionError
from asyncflow.scheduler.archive.archive_file import ArchiveFile, seal_left
from asyncflow.scheduler.archive.members import members
from asyncflow.scheduler.archive.reader import check, files_of, rows_of
from asyncflow.scheduler.archive.row_lines import line_of


def lines(*numbers: int) -> list[bytes]:
    return [orjson.dumps({"id": str(number), "text": "x" * number}) for number in numbers]


def ids(path: Path) -> list[str]:
    return [row["id"] for row in rows_of(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t-1.jsonl.gz"


def test_a_sealed_file_is_gzip_with_its_checksum_beside_it(path: Path) -> None:
    file = ArchiveFile(path)
    file.append(lines(1, 2))
    file.append(lines(3))
    file.seal()
    assert [one.name for one in sorted(path.parent.iterdir())] == ["t-1.jsonl.gz", "t-1.jsonl.gz.sha256"]
    told = path.with_name("t-1.jsonl.gz.sha256").read_text()
    assert told == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  t-1.jsonl.gz\n"
    assert ids(path) == ["1", "2", "3"]
    assert check(path) == (path, 3, True, None)


@pytest.mark.parametrize("torn", [b"\x1f\x8b\x08\x00torn", b"\0" * 4096, None])
def test_what_was_torn_is_cut_off_and_the_rest_goes_on(torn: bytes | None, path: Path) -> None:
    first = ArchiveFile(path)
    first.append(lines(1, 2))
    first.append(lines(3))
    first.close()
    if torn is None:
        first.part.write_bytes(first.part.read_bytes()[:-3])
    else:
        first.part.write_bytes(first.part.read_bytes() + torn)
    left = ["1", "2"] if torn is None else ["1", "2", "3"]
    assert ids(first.part) == left
    assert check(first.part).fault is None
    again = ArchiveFile(path)
    assert again.last_line == lines(int(left[-1]))[0]
    again.append(lines(9))
    again.seal()
    assert ids(path) == [*left, "9"]
    assert check(path).fault is None


def test_a_disk_that_is_full_leaves_nothing_of_what_did_not_fit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ArchiveFile(path)
    file.append(lines(1))
    real = file._file

    class Full:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def write(self, data: bytes) -> int:
            real.write(data[: len(data) // 2])
            real.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file, "_file", Full())
    with pytest.raises(OSError, match="No space left"):
        file.append(lines(2, 3))
    monkeypatch.setattr(file, "_file", real)
    file.append(lines(4))
    file.seal()
    assert ids(path) == ["1", "4"]
    assert check(path).fault is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_one_process_writes_a_file_and_who_is_gone_leaves_it_to_another(path: Path) -> None:
    file = ArchiveFile(path)
    file.append(lines(1))
    with pytest.raises(ArchiveBusyError, match="written by another process"):
        ArchiveFile(path)
    seal_left(path.parent, "t-")
    assert not path.exists()
    file.close()
    seal_left(path.parent, "other-")
    assert not path.exists()
    seal_left(path.parent, "t-")
    assert ids(path) == ["1"]


@pytest.mark.parametrize("change", [lambda raw: raw[:-20] + b"?" * 20, lambda raw: raw[: len(raw) // 2], lambda _: b""])
def test_a_sealed_file_that_was_damaged_is_told(change: Any, path: Path) -> None:
    file = ArchiveFile(path)
    file.append(lines(*range(100)))
    file.seal()
    path.write_bytes(change(path.read_bytes()))
    assert str(path) in (check(path).fault or "")


def test_a_sealed_file_without_its_checksum_is_told_and_one_of_nothing_can_be_read(path: Path) -> None:
    ArchiveFile(path).seal()
    assert list(members(path)) == []
    path.with_name(path.name + ".sha256").unlink()
    assert "is missing" in (check(path).fault or "")


def test_what_can_be_read_of_a_damaged_file_is_read(path: Path) -> None:
    file = ArchiveFile(path)
    file.append(lines(1))
    file.append(lines(2))
    file.seal()
    path.write_bytes(path.read_bytes()[:-1])
    found = rows_of(path)
    assert next(found)["id"] == "1"
    with pytest.raises(ArchiveDamagedError, match="in the middle"):
        next(found)


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="neither a file nor a directory"):
        files_of([str(tmp_path / "nothing")])


def test_a_line_keeps_all_of_a_row() -> None:
    row = {
        "id": UUID(int=7),
        "status": 2,
        "payload": b'{"n": 1}',
        "raw": b"\xff\x00",
        "created_at": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone.utc),
        "task_key": None,
        "price": Decimal("1.10"),
        "large": 2**70,
    }
    assert orjson.loads(line_of(row)) == {
        "id": str(UUID(int=7)),
        "status": "SUCCESS",
        "payload": '{"n": 1}',
        "raw": {"base64": "/wA="},
        "created_at": "2026-01-02T03:04:05.000006+00:00",
        "task_key": None,
        "price": "1.10",
        "large": str(2**70),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere take UTF-8 alone")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["plain", "json"])
def test_a_directory_whose_name_is_no_utf8_is_checked_and_told(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    directory.mkdir()
    file = ArchiveFile(directory / "t-1.jsonl.gz")
    file.append(lines(1))
    file.seal()
    (directory / "t-1.jsonl.gz.sha256").unlink()
    assert main(["archive", "check", str(directory), *options]) == 1
    told = capsys.readouterr().out
    assert "t-1.jsonl.gz.sha256 is missing" in told
    assert "ff/t-1.jsonl.gz" in told
    assert not options or len(orjson.loads(told)) == 1
