"""The schema's history, and the function that brings databases up to it.

A migration is a file `<folder>/NNNN_words.sql`, written without schema names: it runs with the context's schema as the
search path. Each context has a folder of its own; tables that several contexts have live in shared folders.
Each schema remembers what was applied to it, with a checksum, in `schema_migrations`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

import psycopg
from psycopg import sql

from domain.shared.errors import SparkError
from spark_actors.persistence.connections import Limits, connect
from spark_actors.persistence.errors import translated

_SHARED = {
    "auth": ("dead_letters", "messaging"),
    "accounting": ("dead_letters", "messaging"),
    "crowdfunding": ("dead_letters", "messaging"),
    "bitcoin": ("dead_letters", "messaging"),
    "ingress": ("dead_letters",),
}
"""Which shared folders a context's schema gets, before its own."""
ENCODING = "UTF8"
"""What a database must be made with: others lose letters, or take any bytes for text."""
_LIMITS = Limits(lock=10, statement=0, idle=60)
"""While a migration waits for a table's lock all turns wait behind it; an index may take as long as it takes."""
_FILE = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_CONTEXT = re.compile(r"[a-z][a-z0-9_]*")


class MigrationError(SparkError):
    """A schema and the migration files do not fit together."""

    def __init__(self, context: str, migration: str, reason: str) -> None:
        super().__init__(context, migration, reason)
        self.context, self.migration, self.reason = context, migration, reason

    def __str__(self) -> str:
        what = f"migration {self.migration} {self.reason}" if self.migration else self.reason
        return f"schema {self.context}: {what}"


@dataclass(frozen=True)
class Migration:
    """One step of a schema's history."""

    context: str
    name: str
    """`<folder>/NNNN_words.sql`"""
    text: bytes

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text).hexdigest()

    def __str__(self) -> str:
        return f"{self.context}: {self.name}"


def migrate(dsn_by_context: Mapping[str, str]) -> list[Migration]:
    """Bring the schema of each context up to date and give the migrations that were applied, in order.

    Each schema changes in one transaction, under an advisory lock: concurrent callers wait and then find nothing to do.
    Raises MigrationError if an applied file was changed or is unknown here, or if a database has another encoding than
    UTF8 (then nothing is made in any of them); StorageError if the database refuses or others hold a lock for too long.
    """
    _refuse_encodings(dsn_by_context)
    applied: list[Migration] = []
    for context, dsn in dsn_by_context.items():
        with translated(), connect(dsn, _LIMITS, autocommit=False) as connection:
            applied += migrate_schema(connection, context, migrations_of(context))
    return applied


def _refuse_encodings(dsn_by_context: Mapping[str, str]) -> None:
    for dsn, context in {dsn: context for context, dsn in dsn_by_context.items()}.items():
        with translated(), connect(dsn) as connection:
            encoding = connection.info.parameter_status("server_encoding")
        if encoding != ENCODING:
            remedy = f"make one with CREATE DATABASE … ENCODING '{ENCODING}' TEMPLATE template0"
            raise MigrationError(context, "", f"the database's encoding is {encoding}, expected {ENCODING}: {remedy}")


def migrate_schema(connection: psycopg.Connection, context: str, migrations: list[Migration]) -> list[Migration]:
    """Apply what is missing of *migrations* within the caller's transaction."""
    _open_schema(connection, context)
    done: dict[str, str] = dict(connection.execute("SELECT name, checksum FROM schema_migrations").fetchall())
    _refuse_unknown(context, done, migrations)
    missing = [migration for migration in migrations if not _is_applied(migration, done)]
    for migration in missing:
        connection.execute(migration.text)
        connection.execute(
            "INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)", (migration.name, migration.checksum)
        )
    return missing


def migrations_of(context: str) -> list[Migration]:
    """Every migration of a context's schema, in the order of application."""
    folders = (*_SHARED.get(context, ()), context)
    root = resources.files(__package__)
    return [
        Migration(context, f"{folder}/{file.name}", file.read_bytes().replace(b"\r\n", b"\n"))
        for folder in folders
        for file in sorted(_sql_files(root.joinpath(folder)), key=lambda file: file.name)
    ]


def _sql_files(folder: Traversable) -> Iterator[Traversable]:
    if folder.is_dir():
        yield from (file for file in folder.iterdir() if _FILE.fullmatch(file.name))


def _open_schema(connection: psycopg.Connection, context: str) -> None:
    if not _CONTEXT.fullmatch(context):
        raise MigrationError(context, "", "cannot be made: its name is not a plain word")
    schema = sql.Identifier(context)
    _take_turns(connection, context)
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(schema))
    connection.execute("SET LOCAL client_min_messages TO warning")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (name text CONSTRAINT schema_migrations_pkey PRIMARY KEY,"
        " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )


def _take_turns(connection: psycopg.Connection, context: str) -> None:
    """Wait for whoever migrates this schema just now, however long that takes."""
    limit = "SELECT set_config('lock_timeout', %s, true)"
    connection.execute(limit, ("0",))
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('spark migrations of ' || %s, 0))", (context,))
    connection.execute(limit, (str(_LIMITS.settings["lock_timeout"]),))


def _refuse_unknown(context: str, done: Mapping[str, str], migrations: list[Migration]) -> None:
    unknown = sorted(done.keys() - {migration.name for migration in migrations})
    if unknown:
        raise MigrationError(
            context, unknown[0], "is applied but unknown here: the database is newer than this program"
        )


def _is_applied(migration: Migration, done: Mapping[str, str]) -> bool:
    checksum = done.get(migration.name)
    if checksum is not None and checksum != migration.checksum:
        raise MigrationError(
            migration.context, migration.name, "was changed after it was applied: write a new one instead"
        )
    return checksum is not None
