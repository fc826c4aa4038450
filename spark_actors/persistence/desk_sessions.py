"""Sessions on which the desk of operators reads and acts: one for each use, or a few that a daemon keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Any, Self, TypeAlias

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.persistence import tuning
from spark_actors.persistence.connections import DESK, connect, connected_within, conninfo
from spark_actors.persistence.errors import translated

Sessions: TypeAlias = Callable[[str], AbstractContextManager[psycopg.Connection[Any]]]
"""A transaction at a DSN, on a session that the server limits. Raises StorageError."""


@contextmanager
def session_of_its_own(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """One that is made for this use: for a command of the command line."""
    with (
        translated(),
        connect(dsn, connect_timeout=tuning.OPERATOR_CONNECT_SECONDS, prepare_threshold=None) as connection,
    ):
        yield connection


class _Session(psycopg.Connection):
    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        return connected_within(DESK, super().connect, conninfo, **options)


class KeptSessions:
    """At most *most* sessions at each DSN, made when they are needed and kept for a while. For any thread.

    Their limits are shorter than those of the work: who looks waits for seconds, and nothing waits for who looks.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pools: dict[str, ConnectionPool[psycopg.Connection[Any]]] = {}
        self._making = Lock()

    @contextmanager
    def __call__(self, dsn: str) -> Iterator[psycopg.Connection[Any]]:
        try:
            with translated(), self._pool(dsn).connection() as connection:
                yield connection
        except PoolTimeout as error:
            raise StorageUnavailableError(f"no session within {tuning.OPERATOR_CONNECT_SECONDS} s") from error

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def _pool(self, dsn: str) -> ConnectionPool[psycopg.Connection[Any]]:
        with self._making:
            if dsn not in self._pools:
                self._pools[dsn] = ConnectionPool(
                    conninfo(dsn),
                    connection_class=_Session,
                    kwargs={"prepare_threshold": None},
                    min_size=0,
                    max_size=self._most,
                    max_idle=tuning.DESK_IDLE_SECONDS,
                    timeout=tuning.OPERATOR_CONNECT_SECONDS,
                    reconnect_timeout=tuning.RECONNECT_SECONDS,
                    check=ConnectionPool.check_connection,
                    num_workers=1,
                    open=True,
                    name="spark desk",
                )
            return self._pools[dsn]
