"""The schema's history, and the function that brings databases up to it.

A migration is a file `NNNN_words.sql`, written without schema names: it runs with the context's schema as the search
path. Each context has a folder of its own, `adapters/migrations`; tables that several contexts have live here.
Each schema remembers what was applied to it, with a checksum, in `schema_migrations`.

Two releases may have to live on one schema: while one takes over from the other, and after a way back. So a migration
first only expands what is there, and says so in its first line, `-- expands`; a release later, when nobody needs what
is superseded, another one contracts. A program goes by what it knows, and stands beside what only expands it.
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

from spark_actors.application import Application
from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.connections import Limits, connect
from spark_actors.persistence.errors import translated
from spark_actors.persistence.tables import document_indexes

ENCODING = "UTF8"
"""What a database must be made with: others lose letters, or take any bytes for text."""
_LIMITS = Limits(lock=10, statement=0, idle=60)
"""While a migration waits for a table's lock all turns wait behind it; an index may take as long as it takes."""
_EXPANDS = b"-- expands\n"
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
    def is_expanding(self) -> bool:
        """Whether programs that do not know it work on all the same."""
        return self.text.startswith(_EXPANDS)

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text).hexdigest()

    def __str__(self) -> str:
        return f"{self.context}: {self.name}"


def migrate(application: Application, dsn_by_schema: Mapping[str, str]) -> list[Migration]:
    """Bring the schemas that *dsn_by_schema* names up to date and give the migrations that were applied, in order.

    Each schema changes in one transaction, under an advisory lock: concurrent callers wait and then find nothing to do.
    Raises MigrationError if an applied file was changed, or is unknown here and does not only expand the schema, or if
    a database has another encoding than UTF8 (then nothing is made in any of them); StorageError if the database
    refuses or others hold a lock for too long.
    """
    _refuse_encodings(dsn_by_schema)
    applied: list[Migration] = []
    for schema, dsn in dsn_by_schema.items():
        with translated(), connect(dsn, _LIMITS, autocommit=False) as connection:
            applied += migrate_schema(connection, schema, migrations_of(application, schema))
    return applied


def _refuse_encodings(dsn_by_schema: Mapping[str, str]) -> None:
    for dsn, context in {dsn: schema for schema, dsn in dsn_by_schema.items()}.items():
        with translated(), connect(dsn) as connection:
            encoding = connection.info.parameter_status("server_encoding")
        if encoding != ENCODING:
            remedy = f"make one with CREATE DATABASE … ENCODING '{ENCODING}' TEMPLATE template0"
            raise MigrationError(context, "", f"the database's encoding is {encoding}, expected {ENCODING}: {remedy}")


def migrate_schema(connection: psycopg.Connection, context: str, migrations: list[Migration]) -> list[Migration]:
    """Apply what is missing of *migrations* within the caller's transaction."""
    _open_schema(connection, context)
    done: dict[str, str] = dict(connection.execute("SELECT name, checksum FROM schema_migrations").fetchall())
    _refuse_unknown(connection, context, migrations)
    missing = [migration for migration in migrations if not _is_applied(migration, done)]
    for migration in missing:
        connection.execute(migration.text)
        connection.execute(
            "INSERT INTO schema_migrations (name, checksum, is_expanding) VALUES (%s, %s, %s)",
            (migration.name, migration.checksum, migration.is_expanding),
        )
    return missing


def migrations_of(application: Application, schema: str) -> list[Migration]:
    """Every migration of a schema, in the order of application: those that all of its kind have, then its own."""
    ours = resources.files(__package__)
    indexes: Mapping[str, str] = {}
    if schema == INGRESS:
        folders = [("dead_letters", ours), ("cluster", ours)]
    else:
        installed = application.installed(schema)
        folders = [(shared, ours) for shared in ("dead_letters", "messaging") if installed.is_writing]
        if installed.stored and installed.stored.is_document:
            folders.append(("documents", ours))
            indexes = document_indexes(installed.stored)
        if installed.migrations:
            folders.append((schema, resources.files(installed.migrations).joinpath("migrations")))
    from_files = [
        Migration(schema, f"{name}/{file.name}", file.read_bytes().replace(b"\r\n", b"\n"))
        for name, place in folders
        for file in sorted(_sql_files(place if name == schema else place.joinpath(name)), key=lambda file: file.name)
    ]
    return [*from_files, *(Migration(schema, f"rules/{name}", text.encode()) for name, text in indexes.items())]


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
    connection.execute(
        "ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS is_expanding boolean NOT NULL DEFAULT false"
    )


def _take_turns(connection: psycopg.Connection, context: str) -> None:
    """Wait for whoever migrates this schema just now, however long that takes."""
    limit = "SELECT set_config('lock_timeout', %s, true)"
    connection.execute(limit, ("0",))
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('spark migrations of ' || %s, 0))", (context,))
    connection.execute(limit, (str(_LIMITS.settings["lock_timeout"]),))


def _refuse_unknown(connection: psycopg.Connection, context: str, migrations: list[Migration]) -> None:
    found = connection.execute("SELECT name FROM schema_migrations WHERE NOT is_expanding").fetchall()
    unknown = sorted({name for (name,) in found} - {migration.name for migration in migrations})
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
