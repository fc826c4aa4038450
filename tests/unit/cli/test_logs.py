"""`logs` reads this machine's files also when nothing runs, asks other nodes, and says whom it could not ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from spark_actors.cli.app import whole_app
from spark_actors.cli.errors import CliError, ExitCode, NoDaemonError, UsageMistakeError
from spark_actors.cli.log_sources import Sources
from spark_actors.cli.logs import Printer, _moment, show
from spark_actors.telemetry.log_files import LogQuery


def line(second: int, **fields: Any) -> str:
    return json.dumps({"timestamp": f"2030-01-01T00:00:{second:02}.000001Z", "event": "x", **fields})


@dataclass
class FakeNode:
    """Says these lines, or nothing at all."""

    name: str
    lines: list[str] = field(default_factory=list)
    is_away: bool = False

    def there(self, query: LogQuery) -> list[str]:
        if self.is_away:
            raise CliError(f"{self.name} does not answer")
        return self.lines

    def followed(self, query: LogQuery, is_ending: Event) -> Iterator[str]:
        yield from self.there(query)


def shown(capsys: pytest.CaptureFixture[str], found: Sources, query: LogQuery) -> tuple[list[str], str]:
    show(found, query, Printer(as_json=True))
    out, err = capsys.readouterr()
    return [f"{each['from']} {each['timestamp'][17:19]}" for each in map(json.loads, out.splitlines())], err


def test_lines_of_several_nodes_are_merged_by_their_time(capsys: pytest.CaptureFixture[str]) -> None:
    found = Sources([FakeNode("a", [line(1), line(4)]), FakeNode("b", [line(2), line(3)])])
    assert shown(capsys, found, LogQuery()) == (["a 01", "b 02", "b 03", "a 04"], "")


def test_of_all_together_only_the_newest_are_shown_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    found = Sources([FakeNode("a", [line(1), line(4)]), FakeNode("b", [line(2), line(3)])])
    lines, said = shown(capsys, found, LogQuery(limit=2))
    assert lines == ["b 03", "a 04"]
    assert "the newest 2 lines" in said


def test_what_one_node_says_is_shown_although_another_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    found = Sources([FakeNode("a", is_away=True), FakeNode("b", [line(2)])], ["c does not say where"])
    lines, said = shown(capsys, found, LogQuery())
    assert lines == ["b 02"]
    assert "a does not answer" in said
    assert "c does not say where" in said


def test_if_nobody_answers_that_is_an_error() -> None:
    with pytest.raises(NoDaemonError, match="a does not answer; b does not answer"):
        show(Sources([FakeNode("a", is_away=True), FakeNode("b", is_away=True)]), LogQuery(), Printer(as_json=True))


def test_a_field_of_the_line_is_not_lost_to_the_name_of_the_node(capsys: pytest.CaptureFixture[str]) -> None:
    show(Sources([FakeNode("a", [line(1, node="b")])]), LogQuery(), Printer(as_json=True))
    told = json.loads(capsys.readouterr().out)
    assert (told["from"], told["node"]) == ("a", "b")


# --- as it is typed ---


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Of a daemon that has ended."""
    logs = tmp_path / "spark" / "logs"
    logs.mkdir(parents=True)
    (logs / "daemon.jsonl.1").write_text(f"{line(1, process='daemon', correlation_id='a')}\n")
    (logs / "daemon.jsonl").write_text(f"{line(2, process='spark/x', correlation_id='b')}\n")
    return tmp_path / "spark"


def typed(data_dir: Path, *words: str) -> Result:
    return CliRunner().invoke(whole_app(), ["logs", "--data-dir", str(data_dir), *words])


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ([], [1, 2]),
        (["--correlation", "a"], [1]),
        (["--process", "spark"], [2]),
        (["--since", "2030-01-01T00:00:02Z"], [2]),
        (["--since", "2030-01-01T01:00:02+01:00"], [2]),
        (["--limit", "1"], [2]),
    ],
)
def test_the_files_of_a_daemon_that_has_ended_are_read(data_dir: Path, options: list[str], seconds: list[int]) -> None:
    told = typed(data_dir, *options)
    assert told.exit_code == 0
    assert [json.loads(each)["timestamp"][17:19] for each in told.stdout.splitlines()] == [f"{n:02}" for n in seconds]
    assert "other nodes are not known" in told.stderr


def test_where_nothing_is_known_that_is_said(tmp_path: Path) -> None:
    assert typed(tmp_path / "nothing").exit_code == ExitCode.NO_DAEMON


@pytest.mark.parametrize("since", ["yesterday", "15", "0m", "m", "15 m"])
def test_a_moment_that_cannot_be_understood_is_refused(since: str) -> None:
    with pytest.raises(UsageMistakeError, match="--since"):
        _moment(since)


def test_so_long_ago_is_counted_from_now() -> None:
    moment = datetime.fromisoformat(_moment("15m"))
    assert timedelta(minutes=14) < datetime.now(UTC) - moment < timedelta(minutes=16)
