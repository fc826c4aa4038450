"""Signatures of the curve secp256k1, as Bitcoin uses them: to sign, to verify, to find out who has signed.

Not in constant time: who can measure it learns about the secret key. Keys that guard money belong to the node.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

from spark_actors.kernel.errors import BrokenRuleError

P = 2**256 - 2**32 - 977
"""Coordinates are numbers modulo this."""
N = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""How many points there are: secret keys and both parts of a signature are below it."""

Point: TypeAlias = tuple[int, int, int]
"""Jacobian: x is the first by the third squared, y the second by the third cubed; the third is 0 at infinity."""
_INFINITY: Point = (1, 1, 0)
_G: Point = (
    0x79BE667E_F9DCBBAC_55A06295_CE870B07_029BFCDB_2DCE28D9_59F2815B_16F81798,
    0x483ADA77_26A3C465_5DA4FBFC_0E1108A8_FD17B448_A6855419_9C47D08F_FB10D4B8,
    1,
)
_BYTES = 32


@dataclass(frozen=True)
class Signature:
    """Of a digest of 32 bytes. Any numbers may stand here: what cannot be a signature verifies nothing."""

    r: int
    s: int
    recovery_id: int = 0
    """0 to 3: which of the points that r may stand for."""

    @property
    def is_low(self) -> bool:
        """Whether s is the smaller one of the two that are valid."""
        return self.s <= N // 2


def public_key(secret_key: int) -> bytes:
    """The compressed key, 33 bytes. Raises BrokenRuleError if the secret key is not 1 to N - 1."""
    return _compressed(_sum(_checked(secret_key), _G, 0, _G))


def sign(digest: bytes, secret_key: int) -> Signature:
    """The signature of RFC 6979, always the same one, with a low s. Raises BrokenRuleError as `public_key` does."""
    z = int.from_bytes(digest)
    for k in _nonces(digest, _checked(secret_key)):
        x, y = _affine(_sum(k, _G, 0, _G))
        r = x % N
        s = pow(k, -1, N) * (z + r * secret_key) % N
        if r and s:
            break
    recovery_id = y & 1 | (x >= N) << 1
    return Signature(r, s, recovery_id) if s <= N // 2 else Signature(r, N - s, recovery_id ^ 1)


def is_signed(digest: bytes, signature: Signature, by: bytes) -> bool:
    """Whether the owner of a compressed public key has signed. False, too, if that is no key."""
    if len(by) != _BYTES + 1 or by[0] not in (2, 3) or not _is_possible(signature):
        return False
    key = _with_x(int.from_bytes(by[1:]), by[0] & 1)
    if key is None:
        return False
    inverse = pow(signature.s, -1, N)
    point = _sum(int.from_bytes(digest) * inverse % N, _G, signature.r * inverse % N, key)
    return point[2] != 0 and _affine(point)[0] % N == signature.r


def signer(digest: bytes, signature: Signature) -> bytes | None:
    """The compressed public key of whoever has signed; None if nobody can have made this signature."""
    x = signature.r + (N if signature.recovery_id & 2 else 0)
    if not _is_possible(signature) or not 0 <= signature.recovery_id <= 3:
        return None
    point = _with_x(x, signature.recovery_id & 1)
    if point is None:
        return None
    inverse = pow(signature.r, -1, N)
    key = _sum(-int.from_bytes(digest) * inverse % N, _G, signature.s * inverse % N, point)
    return _compressed(key) if key[2] else None


def _checked(secret_key: int) -> int:
    if not 0 < secret_key < N:
        raise BrokenRuleError("a secret key", "one that is not told", "1 to the order of the curve - 1")
    return secret_key


def _is_possible(signature: Signature) -> bool:
    return 0 < signature.r < N and 0 < signature.s < N


def _nonces(digest: bytes, secret_key: int) -> Iterator[int]:
    """RFC 6979, section 3.2, with SHA-256."""
    seed = secret_key.to_bytes(_BYTES) + (int.from_bytes(digest) % N).to_bytes(_BYTES)
    v, key = b"\x01" * _BYTES, b"\x00" * _BYTES
    for mark in (b"\x00", b"\x01"):
        key = hmac.digest(key, v + mark + seed, sha256)
        v = hmac.digest(key, v, sha256)
    while True:
        v = hmac.digest(key, v, sha256)
        if 0 < int.from_bytes(v) < N:
            yield int.from_bytes(v)
        key = hmac.digest(key, v + b"\x00", sha256)
        v = hmac.digest(key, v, sha256)


def _with_x(x: int, parity: int) -> Point | None:
    """The point of the curve that has this x and a y that is even or odd."""
    square = (x * x * x + 7) % P
    y = pow(square, (P + 1) // 4, P)
    if x >= P or y * y % P != square:
        return None
    return x, y if y & 1 == parity else P - y, 1


def _compressed(point: Point) -> bytes:
    x, y = _affine(point)
    return bytes([2 + (y & 1)]) + x.to_bytes(_BYTES)


def _affine(point: Point) -> tuple[int, int]:
    """Of a point that is not at infinity."""
    x, y, z = point
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def _sum(a: int, first: Point, b: int, second: Point) -> Point:
    """a times the first point and b times the second: both at once, two bits of each a step (Shamir's trick)."""
    multiples = [_INFINITY, first, _doubled(first), _added(_doubled(first), first)]
    table = [*multiples]
    for _ in range(3):
        table.extend(_added(each, second) for each in table[-4:])
    point = _INFINITY
    for place in range((max(a, b).bit_length() - 1) & ~1, -1, -2):
        point = _doubled(_doubled(point))
        point = _added(point, table[(a >> place & 3) | (b >> place & 3) << 2])
    return point


def _doubled(point: Point) -> Point:
    x, y, z = point
    square = y * y % P
    s = 4 * x * square % P
    m = 3 * x * x
    new = (m * m - 2 * s) % P
    return new, (m * (s - new) - 8 * square * square) % P, 2 * y * z % P


def _added(one: Point, other: Point) -> Point:
    x1, y1, z1 = one
    x2, y2, z2 = other
    if not z1:
        return other
    if not z2:
        return one
    square1, square2 = z1 * z1 % P, z2 * z2 % P
    u, s = x1 * square2 % P, y1 * square2 * z2 % P
    h, r = (x2 * square1 - u) % P, (y2 * square1 * z1 - s) % P
    if not h:
        return _INFINITY if r else _doubled(one)
    square = h * h % P
    cube, v = h * square % P, u * square % P
    new = (r * r - cube - 2 * v) % P
    return new, (r * (v - new) - s * cube) % P, h * z1 * z2 % P
