"""The shape of a message, inside as between processes: its envelope; and the short answers to it. Packed as msgpack.

A message has this one shape from the door to the outbox and on to its subscribers. What else there is, and why:

- at the edges, what comes from outside and may be no message at all: the CloudEvents JSON that a producer writes
  (`cloudevents.py`); an `Arrival` as the broker delivered it, which is what can be acknowledged; `Admitted` (with its
  source) until the guard has made its id; a `DeadLetter`, which may be of bytes that nobody could read
- in rows, columns named like the fields: `persistence/rows.py` alone writes and reads them
- an envelope with what one place knows of it besides: `Taken` (the arrival to answer), `PendingMessage` (its position
  in the outbox), `Received` (what it says, decoded), `Failure` (why it cannot be handled)
- what is left of it once it was handled, for idempotency: `InboxMark` (id, digest, outcome) and, looked up, `Handled`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cache
from hashlib import blake2b
from typing import Any

import msgspec

from spark_actors.kernel.decisions import Outcome, Verdict
from spark_actors.kernel.errors import MalformedMessageError
from spark_actors.kernel.messages import Message, MessageRegistry, Upcast


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message with all that is known about it besides its content."""

    message_id: str
    """Deduplication key; of a command from outside with who sent it and from which source (see `identity.py`)."""
    name: str
    """Wire name, `<context>.<kebab-name>`."""
    version: int
    key: str
    """The aggregate instance it is for (a command) or from (an event)."""
    data: bytes
    """The message itself, as JSON that has been validated at the door."""
    correlation_id: str
    """The whole story: the id of the first message of it, or `<sender> <what they chose>`."""
    causation_id: str
    """The message that directly brought this one about; empty for the first."""
    occurred_at: datetime
    sequence: int = 0
    """For an event: the version of its aggregate afterwards, which orders the events of one instance."""
    sender: str = ""
    """Who sent it from outside: `operator root`, `user ada`, `nobody`. Empty for what is made inside."""
    why: str = ""
    """Of a command sent by hand: the reason that its sender has given."""

    @property
    def context(self) -> str:
        return self.name.partition(".")[0]


DIGEST_BYTES = 16


def content_digest(command: Envelope) -> bytes | None:
    """Tells what was asked under an id from anything else that may be asked under it.

    None for what is made inside: its id is derived, so nobody chooses what stands under it, and what a step sends may
    look different after a release.
    """
    if not command.sender:
        return None
    head = f"{command.name} {len(command.key)} {command.key} ".encode("utf-8", "surrogatepass")
    return blake2b(head + command.data, digest_size=DIGEST_BYTES).digest()


class Reply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How one command ended."""

    message_id: str
    verdict: Verdict
    reason: str = ""
    data: dict[str, object] = {}

    @classmethod
    def of(cls, message_id: str, outcome: Outcome) -> Reply:
        return cls(message_id, outcome.verdict, outcome.reason, dict(outcome.data))

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.verdict, self.reason, self.data)


class Receipt(StrEnum):
    """What a subscriber says of one event handed to it."""

    TAKEN = "taken"  # its part is durable
    RETRY = "retry"  # not now: hand it over again later
    LATER = "later"  # nothing is wrong with it, but somebody else holds what it needs: again later, however often
    POISON = "poison"  # it cannot be handled; trying again as it is will not help


class Delivery(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A subscriber's answer for one event."""

    message_id: str
    receipt: Receipt
    reason: str = ""


def decode_data(registry: MessageRegistry, envelope: Envelope) -> Message:
    """The message inside an envelope that passed the door, in its current version.

    Raises UnknownMessageError, MalformedMessageError (an upcaster cannot read it), or msgspec.ValidationError.
    """
    cls = registry.find(envelope.name, envelope.version)
    upcasts = registry.upcasts(envelope.name, envelope.version)
    if not upcasts:
        return _decoder(cls).decode(envelope.data)  # type: ignore[arg-type]  # classes can be hashed
    data = upcasted(upcasts, msgspec.json.decode(envelope.data, type=dict[str, Any]), envelope.name)
    return msgspec.convert(data, type=cls)


@cache
def _decoder(cls: type[Message]) -> msgspec.json.Decoder[Message]:
    """Made once for a class: to look at its fields takes as long as to read a message."""
    return msgspec.json.Decoder(cls)


def upcasted(upcasts: Sequence[Upcast], data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The data of an older version as that of the current one. Raises MalformedMessageError."""
    try:
        for upcast in upcasts:
            data = upcast(data)
    except Exception as error:
        raise MalformedMessageError(name, f"an older version that cannot be read: {type(error).__name__}") from error
    return data


def encode_data(message: Message) -> bytes:
    """A message as JSON."""
    return _encode(message)


_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_unpack_envelopes = msgspec.msgpack.Decoder(list[Envelope]).decode
_unpack_replies = msgspec.msgpack.Decoder(list[Reply]).decode
_unpack_deliveries = msgspec.msgpack.Decoder(list[Delivery]).decode


def pack(items: Sequence[Envelope] | Sequence[Reply] | Sequence[Delivery]) -> bytes:
    return _pack(items)


def unpack_envelopes(payload: bytes) -> list[Envelope]:
    return _unpack_envelopes(payload)


def unpack_replies(payload: bytes) -> list[Reply]:
    return _unpack_replies(payload)


def unpack_deliveries(payload: bytes) -> list[Delivery]:
    return _unpack_deliveries(payload)
