"""How many sessions a Postgres server lets a deployment have."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from spark_actors.kernel.errors import SparkError
from spark_actors.persistence.connections import conninfo
from spark_actors.persistence.errors import translated
from spark_actors.persistence.ownership import place_of

_ROOM = """
    SELECT least(
        current_setting('max_connections')::int
            - CASE WHEN rolsuper THEN 0 ELSE current_setting('superuser_reserved_connections')::int END,
        nullif(rolconnlimit, -1),
        nullif(datconnlimit, -1)
    )
    FROM pg_roles, pg_database
    WHERE rolname = current_user AND datname = current_database()
"""


class TooFewConnectionsError(SparkError):
    """A server allows fewer sessions than the deployment opens when all of it is at work."""

    def __init__(self, database: str, allowed: int, needed: int) -> None:
        super().__init__(database, allowed, needed)
        self.database, self.allowed, self.needed = database, allowed, needed

    def __str__(self) -> str:
        return (
            f"this deployment needs up to {self.needed} connections to {self.database}, which allows {self.allowed}: "
            f"raise max_connections there, or set placement for fewer actors (or postgres.listen_dsn, if postgres.dsn "
            "goes through a pooler)"
        )


def refuse_too_few_connections(needed: Mapping[str, int]) -> None:
    """Raises TooFewConnectionsError for the first DSN whose server allows less than is *needed* of it.

    DSNs that lead to one server count together. StorageUnavailableError if one cannot be asked.
    """
    servers: dict[str, list[str]] = {}
    for dsn in needed:
        servers.setdefault(place_of(dsn).rpartition("/")[0], []).append(dsn)
    for dsns in servers.values():
        allowed, total = min(map(_allowed, dsns)), sum(needed[dsn] for dsn in dsns)
        if allowed < total:
            raise TooFewConnectionsError(place_of(dsns[0]), allowed, total)


def _allowed(dsn: str) -> int:
    with translated(), psycopg.connect(conninfo(dsn), autocommit=True) as connection:
        row = connection.execute(_ROOM).fetchone()
    return int(row[0]) if row else 0
