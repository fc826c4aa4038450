"""Which keys sign the tokens: remembered as digests, so that a daemon with others says so and does nothing.

Commands wait in the broker with the tokens of their senders. A daemon that does not know the keys would refuse them
all, and they would be gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

from spark_actors.kernel.errors import SparkError
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.connections import connect
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for


class Key(Protocol):
    """A signing key."""

    @property
    def key_id(self) -> str: ...
    @property
    def line(self) -> str: ...


class ForeignKeysError(SparkError):
    """This daemon has none of the keys that were in use."""

    def __init__(self, known: tuple[str, ...], given: tuple[str, ...]) -> None:
        super().__init__(known, given)
        self.known, self.given = known, given

    def __str__(self) -> str:
        return (
            f"none of the keys that signed this deployment's tokens is here: expected one of {', '.join(self.known)}, "
            f"got {', '.join(self.given)}. What waits would be refused: copy them here (identity.keys, or the file "
            "secrets/token-keys of the data dir that had them), or start once with --new-keys if they are gone"
        )


def refuse_foreign_keys(dsn: str, keys: Sequence[Key]) -> None:
    """Raises ForeignKeysError if other keys were in use last, and none of these; StorageError."""
    with translated(), connect(dsn, autocommit=True) as connection:
        rows = connection.execute(load_for("cluster", INGRESS)["keys"]).fetchall()
    known, given = tuple(row[0] for row in rows), tuple(map(_digest, keys))
    if known and not set(known) & set(given):
        raise ForeignKeysError(known, given)


def remember_keys(dsn: str, keys: Sequence[Key]) -> None:
    """These are in use from now on. Raises StorageError."""
    sql = load_for("cluster", INGRESS)
    with translated(), connect(dsn, autocommit=False) as connection:
        connection.execute(sql["forget_keys"])
        for key in keys:
            connection.execute(sql["use_key"], {"digest": _digest(key)})


def _digest(key: Key) -> str:
    """Tells keys apart, and nothing of the secret."""
    return f"{key.key_id} ({sha256(key.line.encode()).hexdigest()[:8]})"
