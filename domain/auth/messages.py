"""The published language of the auth context."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

from spark_actors.kernel.bounds import Characters
from spark_actors.kernel.messages import Command, Event, Query, Sender, command, event, query

MAX_HASH_LENGTH = 512  # characters
PasswordHash = Annotated[
    str, Characters(MAX_HASH_LENGTH, pattern=r"^\$argon2(id|i|d)\$[\x21-\x7e]+$", told_as="an argon2 hash")
]
"""In PHC form, or nearly: a password that stands in its place by mistake comes no further than the door."""


class HashCost(NamedTuple):
    """What it takes to make an argon2 hash, and again to compare a password with it."""

    memory_kib: int
    passes: int
    lanes: int


HASH_COST = HashCost(65_536, 3, 4)
"""Of every new hash, no more and no less: the daemon pays it for whoever tries to log in, and whoever has stolen a hash
for each guess. It is the second of the two that RFC 9106 recommends."""


class Reason(StrEnum):
    """Why auth refuses."""

    INVALID_ACCOUNT_ID = "invalid_account_id"
    INVALID_USERNAME = "invalid_username"
    INVALID_PASSWORD_HASH = "invalid_password_hash"
    USERNAME_TAKEN = "username_taken"
    DUPLICATE_ACCOUNT = "duplicate_account"  # somebody has signed up under this id before


@command(
    "auth.register-account",
    key="account_id",
    sent_by=Sender.ANYBODY,
    reasons=(
        Reason.INVALID_ACCOUNT_ID,
        Reason.INVALID_USERNAME,
        Reason.INVALID_PASSWORD_HASH,
        Reason.USERNAME_TAKEN,
        Reason.DUPLICATE_ACCOUNT,
    ),
)
@dataclass(frozen=True, kw_only=True)
class RegisterAccount(Command):
    """Sign up: *password_hash* is an argon2id hash (v=19, m=65536, t=3, p=4) in PHC form, never the password itself."""

    account_id: str
    username: str
    password_hash: PasswordHash


@event("auth.account-registered", key="account_id")
@dataclass(frozen=True, kw_only=True)
class AccountRegistered(Event):
    """A user has signed up under a name that nobody else has."""

    account_id: str
    username: str


@event("auth.registration-rejected", key="account_id", is_former=True)
@dataclass(frozen=True, kw_only=True)
class RegistrationRejected(Event):
    """A sign-up was refused. Who asked for it, perhaps a stranger, is told so in the answer, and nobody else."""

    account_id: str
    username: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Session:
    """What one who has logged in gets: the token to send along, in the header `Spark-Authorization: Bearer …`."""

    account_id: str
    token: str = field(repr=False)
    expires_at: datetime


@query("auth.login", result=Session, sent_by=Sender.ANYBODY)
@dataclass(frozen=True, kw_only=True)
class LogIn(Query):
    """Username and password for a token. A query and no command, because a queue keeps what is put on it."""

    username: str
    password: str = field(repr=False)


MESSAGES = (RegisterAccount, AccountRegistered, RegistrationRejected, LogIn)
