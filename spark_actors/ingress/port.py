"""The port to a message broker: commands come in durably, outcomes and views go out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import msgspec

from spark_actors.kernel.errors import DetailedError


class BrokerUnavailableError(DetailedError):
    """The broker is away; what is not acknowledged comes again."""


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A command message as the broker delivered it."""

    subject: str
    body: bytes
    reply_to: str
    """Where the outcome is wanted; empty if nowhere."""
    receipt: str
    """What the broker needs to acknowledge it."""
    authorization: str = ""
    """What the sender showed of who it is; empty if nothing."""
    stored_at: float = 0.0
    """When the broker took it, in Unix seconds; the same however often it is delivered."""
    headers: dict[str, str] = {}
    """What `cloudevents.event_headers` finds of the event itself; nothing in structured mode."""
    oversize: str = ""
    """Size and hash of a body that was too big to be held; `body` is then only its beginning."""

    def __repr__(self) -> str:
        """Without body and token, which belong in no log."""
        return f"Arrival({self.subject!r}, receipt={self.receipt!r})"


@dataclass(frozen=True)
class BrokerLag:
    """How far this consumer is behind."""

    waiting: int
    """Messages not delivered yet."""
    in_flight: int
    """Messages delivered and not acknowledged yet."""
    clock_ahead: float = 0.0
    """By how many seconds at least the broker's clock is ahead of ours; below zero, behind."""


Responder = Callable[[str, bytes, str, int], Awaitable[bytes]]
"""(subject, body, what the sender showed of who it is, bytes that a reply may have) -> the body of the reply."""


class Broker(Protocol):
    """A durable command queue with replies. Calls raise BrokerUnavailableError while the broker is away."""

    async def open(self) -> None:
        """Connect, answer queries, make the queue if there is none, and become its consumer.

        What is unacknowledged comes (again) and in order, also what a predecessor has in hand that still lives. Queries
        are answered before it is the consumer, and also if it raises because another has become that.
        """

    async def pull(self, limit: int, timeout: timedelta) -> Sequence[Arrival]:
        """At most *limit* messages in the queue's order, as soon as there is one; after *timeout* none."""

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """These are durable: the broker may forget them."""

    async def erase(self, arrivals: Sequence[Arrival]) -> None:
        """Overwrite what is stored of these, before they are acknowledged: they hold what must rest nowhere."""

    def release(self, arrivals: Sequence[Arrival]) -> None:
        """These will not be acknowledged: the broker is to deliver them again, in its own time."""

    def answer_bytes(self) -> int:
        """How many bytes the broker takes in one piece. Raises BrokerUnavailableError."""

    async def reply(self, replies: Sequence[tuple[str, bytes]]) -> None:
        """Publish bodies of at most `answer_bytes` to reply subjects; nobody may be listening any more."""

    def answer_queries(self, answer: Responder) -> None:
        """From the next `open` on, answer each request on the query subjects."""

    async def lag(self) -> BrokerLag:
        """Raises BrokerUnavailableError, too, when only `open` makes the broker deliver everything again."""

    async def close(self) -> None:
        """Answer the queries that have come, send what is buffered, then disconnect. Closing twice is harmless."""
