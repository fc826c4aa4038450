"""The one seam where the driver's errors become ours, by SQLSTATE and by the name of the constraint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from spark_actors.kernel.errors import (
    ConstraintError,
    DuplicateMessageError,
    KeyParkedError,
    RowLockedError,
    StaleVersionError,
    StorageError,
    StorageUnavailableError,
)

STALE_VERSION = "SP001"
"""SQLSTATE that the function `expect_rows` raises."""
DUPLICATE_MESSAGE = "SP002"
"""SQLSTATE that the function `expect_unseen` raises."""
KEY_PARKED = "SP003"
"""SQLSTATE that the function `expect_not_parked` raises."""
LOCK_NOT_AVAILABLE = "55P03"
"""SQLSTATE of a lock that was not to be had in time."""
UNSTORABLE_VALUE = "unstorable_value"
"""The constraint we name when a value itself cannot be stored (text with NUL, a number out of range)."""

_INBOX = re.compile(r"inbox(_\d+)?_pkey")
_UNSTORABLE = ("22", "54")
"""Classes: data exception, program limit."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise what psycopg raises inside the block as one of our StorageErrors, with the cause kept."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from error


def translate(error: psycopg.Error) -> StorageError:
    """Our error for one of the driver's."""
    state, constraint, detail = error.sqlstate or "", error.diag.constraint_name, _detail(error)
    if state == STALE_VERSION:
        return StaleVersionError(detail)
    if state == DUPLICATE_MESSAGE or _INBOX.fullmatch(constraint or ""):
        return DuplicateMessageError(detail)
    if state == KEY_PARKED:
        return KeyParkedError(detail)
    if state == LOCK_NOT_AVAILABLE:
        return RowLockedError(detail)
    if state.startswith("23"):
        return _refused(constraint or error.diag.column_name, detail)
    if state.startswith(_UNSTORABLE) or (not state and isinstance(error, psycopg.DataError)):
        return ConstraintError(UNSTORABLE_VALUE, detail)
    # Everything else is about the server, the connection or the deployment (a missing grant, a database that is not
    # migrated), never about this row: nothing may be given up because of it.
    return StorageUnavailableError(detail)


def _refused(constraint: str | None, detail: str) -> StorageError:
    # A row without a partition is an integrity error that names nothing: maintenance is late, the row is fine.
    return ConstraintError(constraint, detail) if constraint else StorageUnavailableError(detail)


def _detail(error: psycopg.Error) -> str:
    # The server's DETAIL is left out: it quotes the row, which may hold a password hash.
    return f"{error.sqlstate or type(error).__name__}: {error.diag.message_primary or error}"
