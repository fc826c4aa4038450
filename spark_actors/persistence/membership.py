"""What a node says of itself to the deployment, and hears: one row in Postgres, over one connection of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import psycopg

from spark_actors.cluster.nodes import Judgement, NodeState
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.connections import connect
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


@dataclass(frozen=True)
class NodeFacts:
    """What does not change while a node lives."""

    node_id: str
    """Ray's, in hex."""
    name: str
    address: str
    release: str
    python: str
    fingerprint: str
    """Of its settings, as far as they must be the same everywhere."""
    pid: int
    epoch: int
    """Of the tree whose settings it has read last."""
    metrics_url: str
    """Where others read its metrics and its log; empty if they cannot."""


class Heard(NamedTuple):
    """What a node hears when it has said that it lives."""

    judgement: Judgement
    """What the root holds of it."""
    epoch: int
    """Of the tree that was made last."""


class Membership:
    """The row of one node. Not safe for threads. Calls raise StorageUnavailableError; the next call connects anew."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._sql = load_for("cluster", INGRESS)
        self._connection: psycopg.Connection | None = None

    def beat(self, facts: NodeFacts, cpu_percent: float, memory_bytes: int) -> Heard:
        """Say that the node lives."""
        about = {**vars(facts), "cpu_percent": cpu_percent, "memory_bytes": memory_bytes}
        row = self._execute("heartbeat", about)
        return Heard(Judgement(NodeState(row[0]), row[1]), row[2]) if row else Heard(Judgement(NodeState.JOINING), 0)

    def leave(self, node_id: str) -> None:
        """Wish that all actors move away."""
        self._execute("leave", {"node_id": node_id})

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _execute(self, statement: str, about: Mapping[str, object]) -> tuple[str, str, int] | None:
        try:
            with translated():
                if self._connection is None or self._connection.closed:
                    self._connection = connect(self._dsn, autocommit=True)
                cursor = self._connection.execute(self._sql[statement], about)
                return cursor.fetchone() if cursor.description else None
        except Exception:
            self.close()
            raise
