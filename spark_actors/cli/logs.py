"""`spark-actors logs`: what the daemon and all nodes have logged, in one place."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.errors import CliError, NoDaemonError, UsageMistakeError
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption, LimitOption
from spark_actors.cli.token import lifetime
from spark_actors.kernel.errors import SparkError

if TYPE_CHECKING:
    from spark_actors.cli.log_sources import LogSource, Sources
    from spark_actors.telemetry.log_files import LogQuery

EXAMPLES = """
Examples:

[bold]spark-actors logs --since 10m[/]

[bold]spark-actors logs --correlation 0197c1a2 --json[/]

[bold]spark-actors logs --node 10.0.0.3 --process spark/pool --follow[/]

Lines are in the order of their time. Each node keeps its own (logs/node.jsonl in its data dir, logs/daemon.jsonl on the
head), where a log shipper finds them. --follow ends with Ctrl-C.
"""
LOOK_SECONDS = 5.0
"""How often who follows looks which nodes there are, and turns to those again that did not answer."""
LINES_IN_HAND = 1_000
"""Lines that wait to be shown while the terminal is slow; then the nodes wait."""


class Said(NamedTuple):
    """A line, and who has said it; without one, that this is all for now."""

    source: LogSource
    line: str
    has_ended: bool = False


def logs(
    node: Annotated[
        str, typer.Option("--node", help="Only of this one: name, address, or the beginning of its id.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show what comes, too.")] = False,
    correlation: Annotated[
        str, typer.Option("--correlation", help="Only of the story with this correlation id.", metavar="ID")
    ] = "",
    process: Annotated[
        str, typer.Option("--process", help="Only of processes whose name begins so.", metavar="PROCESS")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", help="Only since this moment (RFC 3339), or so long ago (90s, 15m, 12h, 3d).")
    ] = "",
    limit: LimitOption = 1_000,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Show what the daemon and the nodes have logged: the newest lines, the newest last."""
    from spark_actors.cli.log_sources import sources
    from spark_actors.telemetry.log_files import LogQuery

    target = Target(data_dir, config)
    query = LogQuery(_moment(since), correlation, process, limit)
    printer = Printer(as_json=as_json)
    try:
        found = sources(target, node)
        if follow:
            Following(target, node, query, printer).run(found)
        else:
            show(found, query, printer)
    except (KeyboardInterrupt, BrokenPipeError):  # whoever reads it has seen enough, and may not read on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(found: Sources, query: LogQuery, printer: Printer) -> None:
    """The lines that are there. Raises NoDaemonError if no node answers."""
    from spark_actors.telemetry.log_files import heading_of

    lines: list[tuple[str, str, str]] = []
    failures, has_answer = list(found.missing), False
    for source in found.found:
        try:
            lines += [(heading_of(line).timestamp, source.name, line) for line in source.there(query)]
            has_answer = True
        except CliError as error:
            failures.append(str(error))
    if not has_answer:
        raise NoDaemonError("; ".join(failures))
    lines.sort(key=lambda each: each[0])
    if len(lines) >= query.limit:
        printer.remark(f"the newest {query.limit} lines; --limit and --since say how many")
    for _, name, line in lines[-query.limit :]:
        printer.line(name, line)
    for failure in failures:
        printer.remark(failure)


class Following:
    """Shows what all nodes log, in the order in which it comes; takes in those that join."""

    def __init__(self, target: Target, wanted: str, query: LogQuery, printer: Printer) -> None:
        self._target, self._wanted, self._query, self._printer = target, wanted, query, printer
        self._queue: Queue[Said] = Queue(LINES_IN_HAND)
        self._is_ending = Event()
        self._reading: set[str] = set()
        self._seen: dict[str, str] = {}
        """By node: of what moment its last line was."""
        self._told: set[str] = set()

    def run(self, found: Sources) -> None:
        """Until Ctrl-C. Raises KeyboardInterrupt then."""
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            while not self._is_ending.is_set():
                self._turn_to(found)
                self._show_for(LOOK_SECONDS)
                found = self._look_again(found)
        finally:
            self._is_ending.set()
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, *_: object) -> None:
        """What is raised gets lost if somebody else's code is interrupted that raises nothing; the flag does not."""
        self._is_ending.set()
        raise KeyboardInterrupt

    def _turn_to(self, found: Sources) -> None:
        from dataclasses import replace

        for source in found.found:
            if source.name not in self._reading:
                self._reading.add(source.name)
                seen = self._seen.get(source.name)
                query = replace(self._query, after=seen) if seen else self._query
                Thread(target=self._read, args=(source, query), daemon=True).start()
        self._remark(found.missing)

    def _look_again(self, found: Sources) -> Sources:
        from spark_actors.cli.log_sources import sources

        try:
            return sources(self._target, self._wanted)
        except SparkError as error:
            self._remark([str(error)])
            return found

    def _read(self, source: LogSource, query: LogQuery) -> None:
        """In a thread of its own."""
        reason = f"{source.name} has ended"
        try:
            for line in source.followed(query, self._is_ending):
                if line:
                    self._queue.put(Said(source, line))
        except CliError as error:
            reason = str(error)
        self._queue.put(Said(source, reason, has_ended=True))

    def _show_for(self, seconds: float) -> None:
        from spark_actors.telemetry.log_files import heading_of

        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            try:
                source, line, has_ended = self._queue.get(timeout=left)
            except Empty:
                return
            if has_ended:
                self._reading.discard(source.name)
                self._remark([line])
            else:
                self._told.clear()
                self._seen[source.name] = heading_of(line).timestamp or self._seen.get(source.name, "")
                self._printer.line(source.name, line)

    def _remark(self, remarks: Iterable[str]) -> None:
        """Once, until something else has been said."""
        for remark in remarks:
            if remark not in self._told:
                self._told.add(remark)
                self._printer.remark(remark)


class Printer:
    """Writes lines as they were logged, with the node they are from: for people on a terminal, else as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        from spark_actors.telemetry.logs import renderer_for

        as_json = as_json or not sys.stdout.isatty()
        self._render = None if as_json else renderer_for("console", sys.stdout)

    def line(self, node: str, line: str) -> None:
        print(self._text(node, line), flush=True)

    def remark(self, text: str) -> None:
        """Beside the lines."""
        print(text, file=sys.stderr, flush=True)

    def _text(self, node: str, line: str) -> str:
        try:
            event = json.loads(line)
            named = {**event, "from": node}
        except (ValueError, TypeError):  # none of ours: shown as it is
            return line
        if self._render is None:
            return json.dumps(named, ensure_ascii=False)
        return str(self._render(None, "", named))


def _moment(since: str) -> str:
    """As lines have it; empty stays empty. Raises UsageMistakeError."""
    if not since:
        return ""
    if since[-1] in "smhd" and since[:-1].isdecimal():
        moment = datetime.now(UTC) - _span(since)
    else:
        try:
            moment = datetime.fromisoformat(since)
        except ValueError:
            detail = f"--since: expected a moment such as 2026-05-01T00:00:00Z, or 15m, got {since!r}"
            raise UsageMistakeError(detail) from None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _span(text: str) -> timedelta:
    try:
        return lifetime(text)
    except UsageMistakeError:
        raise UsageMistakeError(f"--since: expected a number and s, m, h or d, such as 15m, got {text!r}") from None
