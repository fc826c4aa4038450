"""The keys that sign tokens, as people write them down: `id:secret`, the newest first.

The first signs, all verify. To rotate: put a new one first, and take the old one away once no token of its is good any
more.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from spark_actors.kernel.errors import DetailedError

SECRET_BYTES = 32
_KEY = re.compile(r"(?P<id>[A-Za-z0-9._-]{1,64}):(?P<secret>\S{32,})")


class TokenKeysError(DetailedError):
    """The keys that sign tokens cannot be used; the text quotes no secret."""


@dataclass(frozen=True)
class SigningKey:
    """A secret for HS256, and the id by which tokens name it."""

    key_id: str
    secret: str = field(repr=False)

    @property
    def line(self) -> str:
        """As people write it down. It is a secret."""
        return f"{self.key_id}:{self.secret}"


def new_key(key_id: str) -> SigningKey:
    """A key that nobody has seen."""
    return SigningKey(key_id, secrets.token_hex(SECRET_BYTES))


def parse_keys(lines: Iterable[str], source: str) -> tuple[SigningKey, ...]:
    """The keys, one a line; empty lines and `#` comments do not count. *source* names them in errors.

    Raises TokenKeysError if there is none, one has not the form, or two have one id.
    """
    keys: list[SigningKey] = []
    for number, line in enumerate((line.strip() for line in lines), 1):
        if not line or line.startswith("#"):
            continue
        found = _KEY.fullmatch(line)
        if found is None:
            raise TokenKeysError(f"{source}: key {number} is refused: expected id:secret, the secret 32 or more long")
        keys.append(SigningKey(found["id"], found["secret"]))
    if not keys or len({key.key_id for key in keys}) < len(keys):
        raise TokenKeysError(f"{source}: " + ("two keys have one id" if keys else "there is no key in it"))
    return tuple(keys)
