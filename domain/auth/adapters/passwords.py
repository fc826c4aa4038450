"""Passwords and their argon2 hashes: made here, and compared off the event loop, one at a time, behind all else."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from domain.auth.messages import HASH_COST, HashCost

AT_ONCE = 1
"""Each comparison takes 64 MiB and some tens of milliseconds of all cores."""
NICENESS = 10
"""How much longer the threads that compare wait for a processor than the actor that they belong to."""
NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdCBvZiBub2JvZHkncw$dGhlcmUgaXMgbm8gcGFzc3dvcmQgdG8gZml0IHRoaXM"
"""Costs what a hash of `hash_password` costs, and nothing fits it."""


def hash_password(password: str) -> str:
    """An argon2id hash in PHC form that costs HASH_COST. Takes some tens of ms."""
    return _hasher().hash(password)


def is_too_dear(password_hash: str) -> bool:
    """Whether comparing with it would cost more than it may, or is no hash at all."""
    try:
        found = extract_parameters(password_hash)
    except InvalidHashError:
        return True
    cost = HashCost(found.memory_cost, found.time_cost, found.parallelism)
    return any(asked > most for asked, most in zip(cost, HASH_COST, strict=True))


class PasswordCheck:
    """Compares passwords with hashes, `AT_ONCE` at a time; the rest waits. Commands and views do not wait for it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password", initializer=_be_nice)
        self._hasher = _hasher()

    async def fits(self, password_hash: str | None, password: str) -> bool:
        """Whether the password fits. None (there is no such user) takes as long, and nothing fits it.

        Users who signed up when other hashes were taken: a cheaper one fits as ever; nothing fits one that is too dear.
        """
        is_comparable = password_hash is not None and not is_too_dear(password_hash)
        found = password_hash if password_hash is not None and is_comparable else NOBODYS_HASH
        verified = await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, found, password)
        return verified and is_comparable

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def _hasher() -> PasswordHasher:
    return PasswordHasher(HASH_COST.passes, HASH_COST.memory_kib, HASH_COST.lanes)


def _be_nice() -> None:
    """This thread, and the lanes that argon2 starts from it. Elsewhere than on Linux it would be the whole actor."""
    if sys.platform == "linux":
        os.nice(NICENESS)
