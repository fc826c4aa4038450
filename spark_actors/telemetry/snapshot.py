"""The numbers of one actor at one moment, small enough to ride along with a heartbeat."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class SampleKey(NamedTuple):
    """Names one number."""

    family: str
    suffix: str
    """What follows the family's name: nothing, `_total`, `_bucket`, `_count` or `_sum`."""
    labels: tuple[str, ...]
    """Values in the order of the catalogue; a bucket's bound comes last."""


class MetricsSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """All numbers of one actor."""

    taken: int
    """Grows with each snapshot of one actor process, so that an overtaken one is not believed."""
    samples: list[tuple[SampleKey, float]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(MetricsSnapshot).decode


def pack(snapshot: MetricsSnapshot) -> bytes:
    return _encode(snapshot)


def unpack(payload: bytes) -> MetricsSnapshot:
    """Raises msgspec.DecodeError for anything that `pack` did not make."""
    return _decode(payload)
