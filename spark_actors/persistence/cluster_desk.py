"""What operators look at and wish about nodes, places and pools. Every wish is audited in its own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.desk_sessions import Sessions, session_of_its_own
from spark_actors.persistence.errors import translated
from spark_actors.persistence.operator_desk import Operator
from spark_actors.persistence.statements import load_for


class UnknownNodeError(SparkError):
    """No node, or more than one, is called so."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(name, known)
        self.name, self.known = name, known

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return (
            f"expected one node by its name, address or the beginning of its id, got {self.name!r}: there are {known}"
        )


class UnknownPlaceError(SparkError):
    """No actor has this place."""

    def __init__(self, place: str, known: tuple[str, ...]) -> None:
        super().__init__(place, known)
        self.place, self.known = place, known

    def __str__(self) -> str:
        return f"expected a place of {', '.join(self.known)}, got {self.place!r}"


@dataclass(frozen=True)
class KnownNode:
    """A node as operators see it."""

    node_id: str
    name: str
    address: str
    release: str
    python: str
    state: str
    reason: str
    since: datetime
    joined_at: datetime
    silent_seconds: float | None
    """Since its last heartbeat; None: it sends none."""
    pid: int | None
    metrics_url: str
    """Where its metrics and its log are to be had; empty if they are not."""
    cpu_percent: float | None
    memory_bytes: int | None
    slots: int
    actors: int


def the_one_called(name: str, nodes: Iterable[KnownNode]) -> KnownNode:
    """The living one of that name, address, or beginning of an id. Raises UnknownNodeError."""
    living = [node for node in nodes if node.state != "gone"]
    found = [node for node in living if name in (node.name, node.address) or (name and node.node_id.startswith(name))]
    if len(found) != 1:
        raise UnknownNodeError(name, tuple(f"{node.name} ({node.address}, {node.node_id[:8]})" for node in living))
    return found[0]


@dataclass(frozen=True)
class KnownPlace:
    """Where an actor lives."""

    place: str
    incarnation: int
    node_id: str
    since: datetime
    wanted_node: str


class ClusterDesk:
    """Reads and acts on the deployment's tables at *dsn*, that of the ingress. The daemon does what is wished.

    Calls raise StorageError.
    """

    def __init__(self, dsn: str, sessions: Sessions = session_of_its_own) -> None:
        self._dsn = dsn
        self._sessions = sessions
        self._sql = load_for("cluster_desk", INGRESS)
        self._audit = load_for("operator_desk", INGRESS)["audit"]

    def nodes(self) -> list[KnownNode]:
        """All that live, and those that have gone within the last day; the one that joined first in front."""
        with (
            self._sessions(self._dsn) as connection,
            translated(),
            connection.cursor(row_factory=class_row(KnownNode)) as cursor,
        ):
            return cursor.execute(self._sql["nodes"]).fetchall()

    def places(self) -> list[KnownPlace]:
        with (
            self._sessions(self._dsn) as connection,
            translated(),
            connection.cursor(row_factory=class_row(KnownPlace)) as cursor,
        ):
            return cursor.execute(self._sql["places"]).fetchall()

    def node(self, name: str) -> KnownNode:
        """The living node that is called so, by name, address or the beginning of its id. Raises UnknownNodeError."""
        return the_one_called(name, self.nodes())

    def drain(self, node: KnownNode, operator: Operator) -> None:
        """Wish that everything moves away from a node, which then ends."""
        self._act("drain", {"node_id": node.node_id}, operator, "drain node", node.node_id, node.name)

    def move(self, place: str, node: KnownNode, operator: Operator) -> None:
        """Wish that a place is filled on that node, as long as it is there. Raises UnknownPlaceError."""
        about = {"place": place, "node_id": node.node_id}
        if not self._act("move", about, operator, "move place", place, f"to {node.name}"):
            raise UnknownPlaceError(place, tuple(each.place for each in self.places()))

    def scale(self, pool: str, slots: int, operator: Operator) -> None:
        """Wish that a pool has so many slots (1 to 4096), whatever the settings say."""
        self._act("scale", {"pool": pool, "slots": slots}, operator, "scale pool", pool, f"to {slots}")

    def _act(
        self, statement: str, about: Mapping[str, object], operator: Operator, action: str, key: str, detail: str
    ) -> int:
        """How many rows it changed; none: then nothing is audited either."""
        audit = {**vars(operator), "action": action, "subscriber": "", "key": key, "message_id": "", "detail": detail}
        with self._sessions(self._dsn) as connection, translated():
            changed = connection.execute(self._sql[statement], about).rowcount
            if changed:
                connection.execute(self._audit, audit)
        return changed
