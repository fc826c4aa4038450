"""Where everything is, in Postgres: tables of the schema that keeps what belongs to no context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg.rows import class_row, dict_row

from spark_actors.cluster.nodes import NodeRow, NodeState, Sighting, Verdict
from spark_actors.cluster.ports import ClusterRows, Seat, SupersededError
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.connections import Pool, SqlText, connect
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


class PostgresClusterStore:
    """Port `ClusterStore`, for the tree in one namespace."""

    def __init__(self, pool: Pool, namespace: str) -> None:
        self._pool, self._namespace = pool, namespace
        self._sql = load_for("cluster", INGRESS)

    async def become_root(self) -> int:
        with translated():
            async with self._pool.connection() as connection:
                row = await (
                    await connection.execute(self._sql["become_root"], {"namespace": self._namespace})
                ).fetchone()
        if row is None:
            raise SupersededError(0)
        return int(row[0])

    async def read(self) -> ClusterRows:
        with translated():
            async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
                root = await (await cursor.execute(self._sql["root"])).fetchone()
                seats = await (await cursor.execute(self._sql["seats"])).fetchall()
                nodes = await (await cursor.execute(self._sql["nodes"])).fetchall()
                pools = await (await cursor.execute(self._sql["pools"])).fetchall()
        return ClusterRows(
            root["root"] if root else 0,
            {row.pop("place"): Seat(**row) for row in seats},
            {row["node_id"]: NodeRow(**{**row, "state": NodeState(row["state"])}) for row in nodes},
            {row["pool"]: row["slots"] for row in pools},
        )

    async def seat(self, root: int, place: str, node_id: str) -> int:
        with translated():
            async with self._pool.connection() as connection:
                about = {"root": root, "place": place, "node_id": node_id}
                row = await (await connection.execute(self._sql["seat"], about)).fetchone()
        if row is None:
            raise SupersededError(root)
        return int(row[0])

    async def vacate(self, root: int, place: str) -> None:
        await self._as_root(root, self._sql["vacate"], {"place": place})

    async def note(self, root: int, sightings: Sequence[Sighting], verdicts: Mapping[str, Verdict]) -> None:
        by_id = {each.node_id: each for each in sightings}
        seen = [by_id.get(node_id) for node_id in verdicts]
        about = {
            "node_ids": list(verdicts),
            "names": [each.name if each else "" for each in seen],
            "addresses": [each.address if each else "" for each in seen],
            "states": [verdict.state for verdict in verdicts.values()],
            "reasons": [verdict.reason for verdict in verdicts.values()],
        }
        await self._as_root(root, self._sql["note"], about)

    async def _as_root(self, root: int, statement: SqlText, about: Mapping[str, object]) -> None:
        with translated():
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute(statement, {**about, "root": root})
                row = await (await connection.execute(self._sql["is_root"], {"root": root})).fetchone()
        if row is None or not row[0]:
            raise SupersededError(root)


@dataclass(frozen=True)
class Epoch:
    """The tree of actors that was made last."""

    number: int
    """0: there was none yet."""
    fingerprint: str
    """Of the settings that it was made with."""
    release: str
    namespace: str
    """Of its actors."""


def current_epoch(dsn: str) -> Epoch:
    """The tree that was made last. Raises StorageError."""
    return _epoch(dsn, "epoch", {})


def next_epoch(dsn: str, deployment: str, fingerprint: str, release: str) -> Epoch:
    """Note that a new tree is about to be made; *deployment* is what the namespaces of all its trees begin with.

    Only for who owns the deployment's tables. Raises StorageError.
    """
    return _epoch(dsn, "next_epoch", {"deployment": deployment, "fingerprint": fingerprint, "release": release})


def _epoch(dsn: str, statement: str, about: Mapping[str, object]) -> Epoch:
    with (
        translated(),
        connect(dsn, autocommit=True) as connection,
        connection.cursor(row_factory=class_row(Epoch)) as cursor,
    ):
        found = cursor.execute(load_for("cluster", INGRESS)[statement], about).fetchone()
    return found or Epoch(0, "", "", "")


def newest_incarnation(dsn: str, place: str) -> int:
    """Of the actor that fills a place; 0 if there is no such place (any more). Raises StorageError."""
    with translated(), connect(dsn, autocommit=True) as connection:
        row = connection.execute(load_for("cluster", INGRESS)["incarnation"], {"place": place}).fetchone()
    return int(row[0]) if row else 0


def newest_root(dsn: str) -> int:
    """The number of the root that may write. Raises StorageError."""
    with translated(), connect(dsn, autocommit=True) as connection:
        row = connection.execute(load_for("cluster", INGRESS)["root"]).fetchone()
    return int(row[0]) if row else 0
