"""Where the log lines of each node are had from: files of this machine, or the node's own endpoint."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Protocol

from spark_actors.cli.daemon import Target, known_dsns, operator_token
from spark_actors.cli.errors import CliError
from spark_actors.kernel.errors import SparkError

if TYPE_CHECKING:
    from spark_actors.persistence.cluster_desk import KnownNode
    from spark_actors.telemetry.log_files import LogQuery

SILENT_SECONDS = 15.0
"""A node that says nothing for so long is not waited for."""


class LogSource(Protocol):
    """The log of one node. Calls raise CliError if it cannot be had."""

    @property
    def name(self) -> str:
        """Of the node."""

    def there(self, query: LogQuery) -> list[str]:
        """The wanted lines that are there, the newest last."""

    def followed(self, query: LogQuery, is_ending: Event) -> Iterator[str]:
        """These, and those that come; an empty one now and then."""


@dataclass(frozen=True)
class OwnFiles:
    """Files in the data dir of this machine; whoever writes them may have ended."""

    name: str
    file: Path

    def there(self, query: LogQuery) -> list[str]:
        from spark_actors.telemetry.log_door import there

        return there(self.file, query)

    def followed(self, query: LogQuery, is_ending: Event) -> Iterator[str]:
        from spark_actors.telemetry.log_door import followed

        return followed(self.file, query, is_ending)


@dataclass(frozen=True)
class OtherNode:
    """A node that is asked over HTTP."""

    name: str
    url: str
    token: str = field(repr=False)
    """Of an operator."""

    def there(self, query: LogQuery) -> list[str]:
        return list(self._lines(query, {}))

    def followed(self, query: LogQuery, is_ending: Event) -> Iterator[str]:
        return self._lines(query, {"follow": "1"})

    def _lines(self, query: LogQuery, further: dict[str, str]) -> Iterator[str]:
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.parse import urlencode
        from urllib.request import Request, urlopen

        wanted = {name: str(value) for name, value in vars(query).items() if value}
        request = Request(f"{self.url}/logs?{urlencode(wanted | further)}")
        request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urlopen(request, timeout=SILENT_SECONDS) as response:
                for line in response:
                    yield line.decode("utf-8", "replace").rstrip("\n")
        except HTTPError as refusal:
            raise CliError(f"{self.name} refuses: {_reason(refusal.read())}") from None
        except (OSError, HTTPException) as error:
            raise CliError(f"{self.name} does not answer: {getattr(error, 'reason', error)}") from None


@dataclass
class Sources:
    """Whose log can be had, and of whom it cannot."""

    found: list[LogSource] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Why, of each."""


def sources(target: Target, wanted: str) -> Sources:
    """All nodes, or the one that is called *wanted* (name, address, beginning of its id).

    What this machine's data dir holds is read there, whether anybody runs on it or not. Raises NoDaemonError if nothing
    is known here; UnknownNodeError.
    """
    from spark_actors.embedded.data_dir import DAEMON_LOG, NODE_LOG, DataDir
    from spark_actors.persistence.cluster_desk import the_one_called

    data_dir, here = DataDir(target.settings().data_dir), socket.gethostname()
    files = [file for name in (DAEMON_LOG, NODE_LOG) if (file := data_dir.logs / name).is_file()]
    missing: list[str] = []
    try:
        rows = _living(target)
    except SparkError as error:
        if wanted or not files:
            raise
        rows, missing = [], [f"other nodes are not known: {error}"]
    own = next((row for row in rows if (row.name, row.pid) == (here, data_dir.holder())), None)
    if wanted:
        rows = [the_one_called(wanted, rows)]
        files = files if own in rows else []
    found: list[LogSource] = [OwnFiles(_label(own) if own else here, file) for file in files]
    token = operator_token(target)
    for row in rows:
        if row.metrics_url and not (files and row == own):
            found.append(OtherNode(_label(row), row.metrics_url, token))
        elif row != own:
            missing.append(f"{_label(row)} does not say where its log is to be had")
    return Sources(found, missing)


def _living(target: Target) -> list[KnownNode]:
    from spark_actors.messaging.ports import INGRESS
    from spark_actors.persistence.cluster_desk import ClusterDesk

    return [row for row in ClusterDesk(known_dsns(target)[INGRESS]).nodes() if row.state != "gone"]


def _label(row: KnownNode) -> str:
    return f"{row.name} {row.address}"


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return "what answers there is no node of ours"
