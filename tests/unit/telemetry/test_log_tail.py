"""The driver shows the log as it grows, and keeps the files small."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from spark_actors.telemetry.logs import WholeLineHandler
from spark_actors.telemetry.tail import LogTail


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Screen(io.StringIO):
    """Tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed = Event()

    def flush(self) -> None:
        super().flush()
        if self.getvalue():
            self.flushed.set()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "daemon.jsonl"


@pytest.fixture
def writer(file: Path) -> Iterator[WholeLineHandler]:
    handler = WholeLineHandler(file)
    yield handler
    handler.close()


def write(writer: WholeLineHandler, event: str, **fields: object) -> None:
    line = json.dumps({"event": event, "level": "info", "timestamp": "2030-01-01T00:00:00Z", **fields})
    writer.emit(logging.LogRecord("x", logging.INFO, "", 0, line, (), None))


def events(stream: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


def test_lines_from_now_on_are_shown(file: Path, writer: WholeLineHandler) -> None:
    stream = io.StringIO()
    tail = LogTail(file, stream)
    write(writer, "yesterday")
    tail.open()
    write(writer, "one")
    write(writer, "two")
    assert tail.step() == 2
    assert tail.step() == 0
    assert events(stream) == ["one", "two"]
    tail.stop()


def test_a_terminal_gets_text_for_people(file: Path, writer: WholeLineHandler) -> None:
    terminal = Terminal()
    tail = LogTail(file, terminal)
    tail.open()
    write(writer, "campaign_created", process="spark/crowdfunding", exception="Traceback\n  boom")
    tail.stop()
    assert "campaign_created" in terminal.getvalue()
    assert "boom" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


@pytest.mark.parametrize(("format", "as_json"), [("json", True), ("console", False)])
def test_a_format_may_be_chosen(file: Path, writer: WholeLineHandler, format: str, as_json: bool) -> None:
    stream = Terminal() if as_json else io.StringIO()
    tail = LogTail(file, stream, format="json" if format == "json" else "console")
    tail.open()
    write(writer, "one")
    tail.stop()
    assert stream.getvalue().startswith("{") == as_json
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("line", ["no json", "[1]", '"text"', "{}", '{"event": 5}'])
def test_a_strange_line_is_shown_as_well_as_can_be(file: Path, line: str) -> None:
    terminal = Terminal()
    tail = LogTail(file, terminal)
    tail.open()
    file.write_text(f'{line}\n{{"event": "next"}}\n')
    assert tail.step() == 2
    assert "next" in terminal.getvalue()
    tail.stop()


def test_half_a_line_waits_for_its_end(file: Path) -> None:
    stream = io.StringIO()
    tail = LogTail(file, stream)
    tail.open()
    with file.open("a") as half:
        half.write('{"event": ')
        half.flush()
        assert tail.step() == 0
        half.write('"one"}\n')
        half.flush()
        assert tail.step() == 1
    assert events(stream) == ["one"]
    tail.stop()


def test_a_full_file_is_renamed_and_the_last_three_are_kept(file: Path, writer: WholeLineHandler) -> None:
    stream = io.StringIO()
    tail = LogTail(file, stream, max_bytes=200, kept=3)
    tail.open()
    for number in range(30):
        write(writer, f"line_{number}")
        tail.step()
    tail.stop()
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "daemon.jsonl",
        "daemon.jsonl.1",
        "daemon.jsonl.2",
        "daemon.jsonl.3",
    ]
    assert all(path.stat().st_size < 400 for path in file.parent.iterdir())
    assert events(stream) == [f"line_{number}" for number in range(30)]


def test_what_is_written_to_a_renamed_file_is_shown(file: Path, writer: WholeLineHandler) -> None:
    stream = io.StringIO()
    tail = LogTail(file, stream)
    tail.open()
    with file.open("a") as late:
        file.rename(f"{file}.1")
        write(writer, "new")
        tail.step()
        late.write('{"event": "late"}\n')
        late.flush()
        tail.step()
    assert events(stream) == ["new", "late"]
    tail.stop()


def test_a_removed_file_is_made_anew(file: Path, writer: WholeLineHandler) -> None:
    stream = io.StringIO()
    tail = LogTail(file, stream)
    tail.open()
    file.unlink()
    tail.step()
    write(writer, "one")
    tail.step()
    assert events(stream) == ["one"]
    assert file.stat().st_mode & 0o777 == 0o600
    tail.stop()


def test_a_broken_stream_does_not_stop_the_rotation(file: Path, writer: WholeLineHandler) -> None:
    stream = io.StringIO()
    tail = LogTail(file, stream, max_bytes=1)
    tail.open()
    stream.close()
    write(writer, "one")
    tail.step()
    assert Path(f"{file}.1").exists()
    tail.stop()


def test_it_runs_by_itself(file: Path, writer: WholeLineHandler) -> None:
    screen = Screen()
    tail = LogTail(file, screen)
    tail.start(interval_seconds=0.01)
    tail.start(interval_seconds=0.01)
    write(writer, "one")
    assert screen.flushed.wait(5)
    tail.stop()
    tail.stop()
    assert events(screen) == ["one"]


def test_the_last_lines_are_shown_before_it_stops(file: Path, writer: WholeLineHandler) -> None:
    stream = io.StringIO()
    tail = LogTail(file, stream)
    tail.start(interval_seconds=60)
    write(writer, "stopped")
    tail.stop()
    assert events(stream) == ["stopped"]


def test_stopping_before_the_start_is_safe(file: Path) -> None:
    LogTail(file, io.StringIO()).stop()
    assert not file.exists()
