"""The User aggregate: one sign-up, under a name that nobody else has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from domain.auth.messages import (
    HASH_COST,
    MAX_HASH_LENGTH,
    AccountRegistered,
    Reason,
    RegisterAccount,
)
from domain.shared.accounts import is_account_id
from spark_actors.kernel.aggregates import Aggregate
from spark_actors.kernel.decisions import Decision, done, rejected
from spark_actors.kernel.errors import BrokenRuleError

_USERNAME = re.compile(r"[a-z0-9][a-z0-9_.-]{2,31}")
_COST = f"m={HASH_COST.memory_kib},t={HASH_COST.passes},p={HASH_COST.lanes}"
_PASSWORD_HASH = re.compile(rf"\$argon2id\$v=19\${_COST}\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")


@dataclass(frozen=True)
class User(Aggregate):
    """Somebody who has signed up. No two users have the same name.

    Raises BrokenRuleError for the system's own accounts, a name not in lower case, or a password that is not hashed.
    How costly a hash may be is asked at the sign-up alone: who has signed up stays a user when that is decided anew.
    """

    account_id: str
    username: str
    """In lower case."""
    password_hash: str
    """argon2, in PHC form."""
    registered_at: datetime

    def __post_init__(self) -> None:
        if self.account_id[:1] in ("", "@"):
            raise BrokenRuleError("users_account_of_a_user", self.account_id, "the id of a user's account")
        if not self.username or self.username != self.username.lower():
            raise BrokenRuleError("users_username_in_lower_case", self.username, "a name in lower case")
        if not self.password_hash.startswith("$argon2"):
            raise BrokenRuleError("users_password_is_hashed", "", "an argon2 hash in PHC form")  # the value is a secret

    @classmethod
    def register(cls, command: RegisterAccount, now: datetime) -> Decision[User]:
        """Sign up. Whether the name is free is for the store to say.

        A refusal has no event: anybody may ask, under any account's id, and what is asked in vain is nobody's to see.
        """
        username = command.username.lower()
        if objection := _objection(command, username):
            return rejected(objection)
        return done(
            cls(command.account_id, username, command.password_hash, now),
            AccountRegistered(account_id=command.account_id, username=username),
        )

    def registered_again(self, command: RegisterAccount, now: datetime) -> Decision[User]:
        """The same sign-up once more changes nothing; another one under its id is refused."""
        asked = (command.username.lower(), command.password_hash)
        is_repeat = asked == (self.username, self.password_hash)
        return done(None) if is_repeat else rejected(Reason.DUPLICATE_ACCOUNT)


def _objection(command: RegisterAccount, username: str) -> Reason | None:
    if not is_account_id(command.account_id):
        return Reason.INVALID_ACCOUNT_ID
    if not _USERNAME.fullmatch(username):
        return Reason.INVALID_USERNAME
    return None if is_password_hash(command.password_hash) else Reason.INVALID_PASSWORD_HASH


def is_password_hash(text: str) -> bool:
    """Whether *text* is an argon2id hash in PHC form that costs what it should (HASH_COST)."""
    return len(text) <= MAX_HASH_LENGTH and _PASSWORD_HASH.fullmatch(text) is not None
