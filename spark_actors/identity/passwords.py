"""Passwords and their argon2 hashes: made here, and compared off the event loop, few at a time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = 2
"""Each comparison takes 64 MiB and some tens of milliseconds of all cores."""
NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdCBvZiBub2JvZHkncw$dGhlcmUgaXMgbm8gcGFzc3dvcmQgdG8gZml0IHRoaXM"
"""Costs what a hash of `hash_password` costs, and nothing fits it."""


def hash_password(password: str) -> str:
    """An argon2id hash in PHC form, with the parameters that the library recommends. Takes some tens of ms."""
    return PasswordHasher().hash(password)


class PasswordCheck:
    """Compares passwords with hashes, `AT_ONCE` at a time; the rest waits."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
        self._hasher = PasswordHasher()

    async def fits(self, password_hash: str | None, password: str) -> bool:
        """Whether the password fits. None (there is no such user) takes as long, and nothing fits it."""
        found = password_hash or NOBODYS_HASH
        verified = await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, found, password)
        return verified and password_hash is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
