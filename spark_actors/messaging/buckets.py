"""Two maps, from a key to its bucket and from a bucket to its slot, of which only the second ever changes.

A key has its bucket for ever. Which of so many slots a bucket falls to is the jump consistent hash of Lamping and Veach
("A Fast, Minimal Memory, Consistent Hash Algorithm", 2014): with one slot more, only those buckets move that the new
slot needs for an even share, and they move to it alone. (The rest of a division would move all but one in ten.)
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from zlib import crc32

BUCKETS = 4096
"""Never changed: who writes a key elsewhere, in a subject or a shard's bounds, goes by its bucket."""
_BITS = 2**64 - 1


def bucket_of(key: str) -> int:
    """The bucket of an aggregate's key, 0 to 4095: the same in every process, release and language (CRC-32)."""
    return crc32(key.encode()) & (BUCKETS - 1)


@cache
def slots_by_bucket(slots: int) -> tuple[int, ...]:
    """For each bucket the number of its slot, of so many (1 or more)."""
    return tuple(_jump(_spread(bucket), slots) for bucket in range(BUCKETS))


def _spread(bucket: int) -> int:
    """64 bits for a small number: neighbours have nothing in common."""
    return int.from_bytes(blake2b(bucket.to_bytes(2), digest_size=8).digest())


def _jump(seed: int, slots: int) -> int:
    slot, following = 0, 0
    while following < slots:
        slot = following
        seed = (seed * 2862933555777941757 + 1) & _BITS
        following = int((slot + 1) * (2**31 / ((seed >> 33) + 1)))
    return slot
