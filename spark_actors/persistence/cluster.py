"""Where everything is, in Postgres: tables of the schema that keeps what belongs to no context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import class_row, dict_row
from psycopg.types.json import Json

from spark_actors.cluster.nodes import Common, Judgement, NodeRow, NodeState, Sighting
from spark_actors.cluster.ports import ClusterRows, Seat, SupersededError
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.connections import Pool, SqlText, connect
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


class PostgresClusterStore:
    """Port `ClusterStore` for one tree."""

    def __init__(self, pool: Pool, epoch: int) -> None:
        self._pool, self._epoch = pool, {"epoch": epoch}
        self._sql = load_for("cluster", INGRESS)

    async def become_root(self) -> int:
        with translated():
            async with self._pool.connection() as connection:
                row = await (await connection.execute(self._sql["become_root"], self._epoch)).fetchone()
        if row is None:
            raise SupersededError(0)
        return int(row[0])

    async def read(self) -> ClusterRows:
        with translated():
            async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
                tree = await (await cursor.execute(self._sql["tree"], self._epoch)).fetchone()
                seats = await (await cursor.execute(self._sql["seats"], self._epoch)).fetchall()
                nodes = await (await cursor.execute(self._sql["nodes"])).fetchall()
                pools = await (await cursor.execute(self._sql["pools"])).fetchall()
        return ClusterRows(
            tree["root"] if tree else 0,
            bool(tree and tree["is_open"]),
            {row.pop("place"): Seat(**row) for row in seats},
            {row["node_id"]: NodeRow(**{**row, "state": NodeState(row["state"])}) for row in nodes},
            {row["pool"]: row["slots"] for row in pools},
            tree["fenced"] if tree else 0,
        )

    async def seat(self, root: int, place: str, node_id: str) -> int:
        with translated():
            async with self._pool.connection() as connection:
                about = {**self._epoch, "root": root, "place": place, "node_id": node_id}
                row = await (await connection.execute(self._sql["seat"], about)).fetchone()
        if row is None:
            raise SupersededError(root)
        return int(row[0])

    async def seat_again(self, root: int, place: str, seat: Seat) -> None:
        about = {"place": place, "incarnation": seat.incarnation, "node_id": seat.node_id}
        await self._as_root(root, self._sql["seat_again"], about)

    async def vacate(self, root: int, place: str) -> None:
        await self._as_root(root, self._sql["vacate"], {"place": place})

    async def note(self, root: int, sightings: Sequence[Sighting], judgements: Mapping[str, Judgement]) -> None:
        by_id = {each.node_id: each for each in sightings}
        seen = [by_id.get(node_id) for node_id in judgements]
        about = {
            "node_ids": list(judgements),
            "names": [each.name if each else "" for each in seen],
            "addresses": [each.address if each else "" for each in seen],
            "states": [judgement.state for judgement in judgements.values()],
            "reasons": [judgement.reason for judgement in judgements.values()],
        }
        await self._as_root(root, self._sql["note"], about)

    async def introduce(self, root: int, node_id: str, found: Common) -> None:
        await self._as_root(root, self._sql["introduce"], {"node_id": node_id, **vars(found)})

    async def _as_root(self, root: int, statement: SqlText, about: Mapping[str, object]) -> None:
        with translated():
            async with self._pool.connection() as connection, connection.transaction():
                await connection.execute(statement, {**about, **self._epoch, "root": root})
                row = await (await connection.execute(self._sql["is_root"], {**self._epoch, "root": root})).fetchone()
        if row is None or not row[0]:
            raise SupersededError(root)


@dataclass(frozen=True)
class Tree:
    """A tree of actors: one root and all that it keeps."""

    epoch: int
    namespace: str
    """Of its actors."""
    release: str
    fingerprint: str
    """Of the settings that it was made with."""
    settings: Mapping[str, Any]
    """Those that all machines have in common, without secrets."""


def current_tree(dsn: str) -> Tree | None:
    """The one that works. Raises StorageError."""
    return _tree(dsn, "current_tree")


def newest_tree(dsn: str) -> Tree | None:
    """The one that was made last; it may still be warming up, or have ended. Raises StorageError."""
    return _tree(dsn, "newest_tree")


def new_tree(dsn: str, deployment: str, release: str, fingerprint: str, settings: Mapping[str, Any]) -> Tree:
    """Note that one is about to be made; *deployment* is what the namespaces of all its trees begin with.

    Only for who owns the deployment's tables. Raises StorageError.
    """
    sql = load_for("cluster", INGRESS)
    with (
        translated(),
        connect(dsn, autocommit=False) as connection,
        connection.cursor(row_factory=class_row(Tree)) as cursor,
    ):
        about = {"release": release, "fingerprint": fingerprint, "settings": Json(settings)}
        row = connection.execute(sql["new_tree"], about).fetchone()
        epoch = int(row[0]) if row else 0
        found = cursor.execute(sql["name_tree"], {"epoch": epoch, "deployment": deployment}).fetchone()
    return found or Tree(epoch, "", release, fingerprint, settings)


def open_tree(dsn: str, epoch: int) -> None:
    """Note that this tree works from now on, and all others have ended. Raises StorageError."""
    sql = load_for("cluster", INGRESS)
    with translated(), connect(dsn, autocommit=False) as connection:
        connection.execute(sql["open_tree"], {"epoch": epoch})
        connection.execute(sql["end_places"])


def end_tree(dsn: str, epoch: int) -> None:
    """Note that this tree has ended. Raises StorageError."""
    sql = load_for("cluster", INGRESS)
    with translated(), connect(dsn, autocommit=False) as connection:
        connection.execute(sql["end_tree"], {"epoch": epoch})
        connection.execute(sql["end_places"])


def _tree(dsn: str, statement: str) -> Tree | None:
    with (
        translated(),
        connect(dsn, autocommit=True) as connection,
        connection.cursor(row_factory=class_row(Tree)) as cursor,
    ):
        return cursor.execute(load_for("cluster", INGRESS)[statement]).fetchone()


def newest_incarnation(dsn: str, epoch: int, place: str) -> int:
    """Of the actor that has a right to a place; 0 if there is no such place (any more). Raises StorageError."""
    return _number(dsn, "incarnation", {"epoch": epoch, "place": place})


def newest_root(dsn: str, epoch: int) -> int:
    """The number of the root that may write; 0 if the tree has ended. Raises StorageError."""
    return _number(dsn, "root", {"epoch": epoch})


def count_fenced(dsn: str, epoch: int) -> None:
    """Note that an actor of this tree ends itself, because it has a successor. Raises StorageError."""
    with translated(), connect(dsn, autocommit=True) as connection:
        connection.execute(load_for("cluster", INGRESS)["count_fenced"], {"epoch": epoch})


def _number(dsn: str, statement: str, about: Mapping[str, object]) -> int:
    with translated(), connect(dsn, autocommit=True) as connection:
        row = connection.execute(load_for("cluster", INGRESS)[statement], about).fetchone()
    return int(row[0]) if row else 0
