"""Logs: one JSON line a fact, from our code and from libraries, whole even when many processes write."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from spark_actors.embedded.processes import wait_until
from spark_actors.telemetry.logs import WholeLineHandler, configure_logging
from spark_actors.telemetry.tail import LogTail

pytestmark = pytest.mark.usefixtures("restored_logging")

WRITER = """
import sys, structlog
from pathlib import Path
from structlog.contextvars import bound_contextvars

from spark_actors.telemetry.logs import configure_logging
configure_logging(sys.argv[1], Path(sys.argv[2]), "info")
logger = structlog.get_logger("writer")
print("ready", flush=True)
for number in range(100):
    if number % 25 == 0:
        sys.stdin.read(1)
    logger.info("line_written", number=number, padding="x" * (number * 997 % 20_000))
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "daemon.jsonl"


def lines(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def test_a_line_says_what_happened_when_where_and_in_which_story(file: Path) -> None:
    configure_logging("spark/auth/supervisor/0", file, "info")
    with bound_contextvars(correlation_id="story-1", causation_id="cause-1"):
        structlog.get_logger("spark_actors.actors").info("turn_taken", commands=3)
    (line,) = lines(file)
    written = datetime.fromisoformat(line.pop("timestamp"))
    assert abs((datetime.now(UTC) - written).total_seconds()) < 60
    assert line == {
        "event": "turn_taken",
        "level": "info",
        "logger": "spark_actors.actors",
        "process": "spark/auth/supervisor/0",
        "correlation_id": "story-1",
        "causation_id": "cause-1",
        "commands": 3,
    }


def test_a_line_outside_a_story_has_no_correlation_id(file: Path) -> None:
    configure_logging("driver", file, "info")
    with bound_contextvars(correlation_id="story-1"):
        pass
    structlog.get_logger().info("ready")
    assert "correlation_id" not in lines(file)[0]


def test_libraries_log_the_same_way(file: Path) -> None:
    configure_logging("driver", file, "info")
    logging.getLogger("psycopg.pool").warning("cannot reach %s", "postgresql://u:s3cret@h/d")
    (line,) = lines(file)
    assert (line["event"], line["logger"], line["level"]) == ("library_message", "psycopg.pool", "warning")
    assert (line["message"], line["process"]) == ("cannot reach postgresql://u:***@h/d", "driver")


def test_a_handler_that_a_library_brought_is_taken_off(file: Path) -> None:
    ray, own = logging.getLogger("ray"), io.StringIO()
    ray.addHandler(logging.StreamHandler(own))
    ray.propagate = False
    configure_logging("driver", file, "info")
    ray.warning("hello")
    assert (own.getvalue(), lines(file)[0]["message"]) == ("", "hello")


def test_chatter_of_libraries_is_left_out(file: Path) -> None:
    configure_logging("driver", file, "debug")
    logging.getLogger("nats.aio").info("ping")
    structlog.get_logger().debug("seen")
    assert [line["event"] for line in lines(file)] == ["seen"]


def test_what_is_below_the_level_is_left_out(file: Path) -> None:
    configure_logging("driver", file, "warning")
    structlog.get_logger().info("unseen")
    logging.getLogger("somebody").info("unseen")
    structlog.get_logger().warning("seen")
    assert [line["event"] for line in lines(file)] == ["seen"]


@pytest.mark.parametrize("own", [True, False])
def test_an_exception_is_one_line_without_secrets(file: Path, own: bool) -> None:
    configure_logging("driver", file, "info")
    logger = structlog.get_logger() if own else logging.getLogger("library")
    try:
        raise ValueError("postgresql://u:s3cret@h/d")
    except ValueError:
        logger.exception("it_failed")
    (line,) = lines(file)
    assert "Traceback" in line["exception"]
    assert "postgresql://u:***@h/d" in line["exception"]
    assert "s3cret" not in file.read_text()


def test_secret_fields_are_masked(file: Path) -> None:
    configure_logging("driver", file, "info")
    structlog.get_logger().info("connected", dsn="dbname=x", deep={"nats_token": "s3cret"})
    (line,) = lines(file)
    assert (line["dsn"], line["deep"]) == ("***", {"nats_token": "***"})


def test_text_that_no_encoding_knows_is_logged_all_the_same(file: Path) -> None:
    configure_logging("driver", file, "info")
    structlog.get_logger().info("odd", text="\udc80 ünïcode\nand a new line")
    assert lines(file)[0]["text"] == "\udc80 ünïcode\nand a new line"


def test_without_a_folder_the_log_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("driver", tmp_path / "missing" / "daemon.jsonl", "info")
    structlog.get_logger().info("ready")
    assert json.loads(capsys.readouterr().err)["event"] == "ready"
    assert not (tmp_path / "missing").exists()


def test_people_read_it_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logging("driver", None, "info", format="auto")
    structlog.get_logger().info("ready", token="s3cret")
    assert "ready" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert "s3cret" not in terminal.getvalue()


def test_the_file_is_private(file: Path) -> None:
    configure_logging("driver", file, "info")
    assert file.stat().st_mode & 0o777 == 0o600


def test_configuring_again_does_not_write_twice(file: Path) -> None:
    configure_logging("driver", file, "info")
    configure_logging("driver", file, "info")
    structlog.get_logger().info("ready")
    assert len(lines(file)) == 1
    assert sum(isinstance(handler, WholeLineHandler) for handler in logging.getLogger().handlers) == 1


def test_a_renamed_file_is_left_for_a_new_one(file: Path) -> None:
    configure_logging("driver", file, "info")
    structlog.get_logger().info("before")
    file.rename(f"{file}.1")
    structlog.get_logger().info("after")
    assert [line["event"] for line in lines(Path(f"{file}.1"), file)] == ["before", "after"]


@contextmanager
def writing_process(name: str, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes 100 lines to *file*, 25 for each byte that it gets. It ends with the block."""
    command = [sys.executable, "-c", WRITER, name, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def has_more_than(files: int, folder: Path) -> bool:
    return len(list(folder.iterdir())) > files


def test_lines_of_several_processes_stay_whole_and_none_is_lost_in_rotation(file: Path) -> None:
    tail = LogTail(file, io.StringIO(), max_bytes=30_000, kept=1000)
    with ExitStack() as stack:
        writers = [stack.enter_context(writing_process(f"writer-{number}", file)) for number in range(4)]
        tail.start(interval_seconds=0.01)
        for rotations in range(1, 5):
            for writer in writers:
                assert writer.stdin
                writer.stdin.write(b"x")
                writer.stdin.flush()
            assert wait_until(partial(has_more_than, rotations, file.parent), timeout_seconds=30)
        assert [writer.wait(timeout=30) for writer in writers] == [0, 0, 0, 0]
    tail.stop()
    files = list(file.parent.iterdir())
    written = [(line["process"], line["number"]) for line in lines(*files)]
    assert sorted(written) == [(f"writer-{writer}", number) for writer in range(4) for number in range(100)]
    assert len(files) > 3


def test_a_long_text_is_masked_in_time_proportional_to_its_length(file: Path) -> None:
    configure_logging("driver", file, "info")
    structlog.get_logger().info("long", text="x" * 500_000, other="password" * 50_000, urls="a://" * 50_000)
    assert len(lines(file)) == 1
