"""A log that is rotated is read from its oldest line to the newest, and what somebody wants of it is found in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from spark_actors.telemetry import tuning
from spark_actors.telemetry.log_files import LogFiles, LogQuery, newest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "node.jsonl"


@pytest.fixture
def files(file: Path) -> Iterator[LogFiles]:
    """Of a file that is empty yet."""
    file.touch()
    files = LogFiles(file)
    yield files
    files.close()


def write(file: Path, *lines: str, end: str = "\n") -> None:
    with file.open("a") as open_file:
        open_file.write("".join(f"{line}\n" for line in lines[:-1]) + lines[-1] + end)


def rotate(file: Path) -> None:
    for age in (2, 1):
        if Path(f"{file}.{age}").exists():
            os.replace(f"{file}.{age}", f"{file}.{age + 1}")
    os.replace(file, f"{file}.1")


def line(second: int, **fields: str) -> str:
    return json.dumps({"timestamp": f"2030-01-01T00:00:{second:02}.000001Z", "event": "x", **fields})


def test_files_that_rotation_has_left_come_first_the_oldest_in_front(file: Path) -> None:
    for number in range(4):
        write(file, f"line {number}")
        if number < 3:
            rotate(file)
    files = LogFiles(file)
    assert list(files.lines()) == ["line 0", "line 1", "line 2", "line 3"]
    assert list(files.lines()) == []
    files.close()


def test_rotations_between_two_looks_lose_and_repeat_nothing(file: Path, files: LogFiles) -> None:
    write(file, "one")
    assert list(files.lines()) == ["one"]
    write(file, "two")
    rotate(file)
    write(file, "three")
    rotate(file)
    write(file, "four")
    assert list(files.lines()) == ["two", "three", "four"]
    write(Path(f"{file}.1"), "late")  # by a writer who has not seen the rotation yet
    write(file, "five")
    assert list(files.lines()) == ["late", "five"]


def test_a_line_that_is_half_written_waits_for_its_end(file: Path, files: LogFiles) -> None:
    write(file, "one", "tw", end="")
    assert list(files.lines()) == ["one"]
    write(file, "o")
    assert list(files.lines()) == ["two"]


def test_a_log_that_is_not_there_yet_is_empty_until_it_is(file: Path) -> None:
    files = LogFiles(file)
    assert list(files.lines()) == []
    assert not file.exists()
    write(file, "one")
    assert list(files.lines()) == ["one"]
    files.close()


def test_a_file_larger_than_a_chunk_is_read_whole(file: Path) -> None:
    lines = [f"{number:0100}" for number in range(tuning.LOG_CHUNK_BYTES // 50)]
    write(file, *lines)
    files = LogFiles(file)
    assert list(files.lines()) == lines
    files.close()


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (LogQuery(), [0, 1, 2, 3]),
        (LogQuery(after="2030-01-01T00:00:01.000001Z"), [2, 3]),
        (LogQuery(correlation_id="a"), [0, 2]),
        (LogQuery(process="spark/pool"), [2, 3]),
        (LogQuery(process="spark/pool", correlation_id="a"), [2]),
        (LogQuery(limit=2), [2, 3]),
        (LogQuery(process="spark/p", limit=1), [3]),
    ],
)
def test_what_is_wanted_is_found_and_of_that_the_newest(query: LogQuery, wanted: list[int]) -> None:
    lines = [
        line(0, process="daemon", correlation_id="a"),
        line(1, process="daemon", correlation_id="b"),
        line(2, process="spark/pool/aggregate/shared-0", correlation_id="a"),
        line(3, process="spark/pool/aggregate/shared-1"),
    ]
    assert newest(lines, query) == [lines[each] for each in wanted]


def test_what_is_no_line_of_ours_is_told_to_who_wants_everything_only() -> None:
    lines = ["not JSON", '{"timestamp": 3}', '["a list"]']
    assert newest(lines, LogQuery()) == lines
    assert newest(lines, LogQuery(process="d")) == []


def test_no_more_is_kept_in_memory_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "LOG_KEPT_CHARACTERS", 25)
    assert newest([str(number) * 10 for number in range(9)], LogQuery()) == ["7" * 10, "8" * 10]
    assert newest(["x" * 100], LogQuery()) == ["x" * 100]
