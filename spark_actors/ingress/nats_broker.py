"""The broker port on NATS JetStream: a work-queue stream, delivered to one consumer per ingress group.

The consumer is a pull consumer, asked for what has gathered or else for the next message that comes: what comes in one
piece costs both sides a fifth less than message by message. Opening deletes the group's consumer and makes another:
whatever a predecessor left unacknowledged comes again at once and in order, rather than after the acknowledgement wait
and behind newer messages. The consumer's name is new each time, so that a predecessor that still lives finds its own
gone and another there, and leaves the queue to that for a while (it should have been ended by then).

Two live at once when an Ingress moves to another machine: the new one first, then the old one ends. What the old one
has in hand comes to the new one as well; each posts it in the stream's order, and the inbox knows what took effect: so
each command takes effect once, in order, and is answered the same by both. What is acknowledged to a consumer that is
gone counts for nothing.

Queries are no work queue: each goes to everybody who answers them. (In a queue group the server would go on giving half
of them to a member whose machine has lost power, for minutes.) A group answers those of its own contexts, so in normal
times each is answered once; while two of a group live, twice, and the asker takes the first. The subscription comes
before the consumer is taken over and stays while another has the consumer, so at each moment somebody answers.

The server may pass over messages of a consumer that has a filter: NATS 2.14.0 does it once in millions, when its note
of where a subject begins is corrected just as a new message arrives (`numFilteredPendingWithLast` in its
`filestore.go`, the same in 2.15). So the consumer of a group that takes all has none, and `lag` finds what was passed
over.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import msgspec
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    DiscardPolicy,
    Header,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from spark_actors.ingress import tuning
from spark_actors.ingress.nats_client import ONE_TRY, OnError, SturdyClient, connected_to_any, shown
from spark_actors.ingress.port import Arrival, BrokerLag, BrokerUnavailableError, Responder
from spark_actors.messaging import cloudevents
from spark_actors.messaging.bursts import BurstLog

log = structlog.get_logger(__name__)

STREAM = "SPARK_COMMANDS"
GONE_ALREADY = (10037, 10043)
"""What the server says to the deletion of a message that there is not (any more)."""
NOTHING_MORE = ("404", "408")
"""The status of a request that is over without fault: there is no more than came; nothing came in time."""


class UnfitStreamError(BrokerUnavailableError):
    """The command stream was made with settings under which what it has confirmed may be lost."""

    def __init__(self, reasons: Sequence[str]) -> None:
        Exception.__init__(self, reasons)
        self.reasons = reasons
        self.detail = str(self)

    def __str__(self) -> str:
        return (
            f"the stream {STREAM} is refused: {'; '.join(self.reasons)}. Change it with `nats stream edit`, "
            "or remove it when it is empty: the daemon makes its own"
        )


@dataclass(frozen=True)
class BrokerSettings:
    """How to reach the server and what to ask of it."""

    url: str
    """Of one server or, with commas between them, of several of one cluster: one that is up will do."""
    token: str
    replicas: int
    """Copies of each message in the broker."""
    stream_max_bytes: int
    """So much the stream may hold before it refuses more; 0: as the server has it."""
    ack_wait: timedelta
    """After this a delivered message that was not acknowledged comes again."""
    max_in_flight: int
    """Messages delivered and not acknowledged."""
    group: str
    """Whose the consumer is: one live ingress per group. Its name goes on after an underscore."""
    all_groups: tuple[str, ...]
    """Names of all groups of the deployment; consumers of others are leftovers."""
    max_body_bytes: int
    """Of a bigger body only the beginning is held: this bounds what the messages in flight take in memory."""
    subjects: tuple[str, ...]
    """Which commands this group takes; no two groups may share any."""
    stream_subjects: tuple[str, ...]
    """Which commands the stream takes: those of all groups, for what no group takes would stay in it for ever."""
    query_subjects: tuple[str, ...]
    """Which queries this group answers; no two groups may share any, or both answer."""

    @property
    def takes_all(self) -> bool:
        """Whether there is no other group."""
        return self.subjects == self.stream_subjects


@dataclass
class _Request:
    """Messages that the server was asked for and that may still come."""

    answer_to: str
    """Where the server says that it is over; messages keep their own subjects."""
    left: int
    given_up_at: float
    """Time of the event loop from which on a server that has said nothing is taken for gone."""


class _StreamState(msgspec.Struct):
    first_seq: int
    messages: int


class _StreamInfo(msgspec.Struct):
    """As much of the server's answer as is needed here."""

    state: _StreamState | None = None
    ts: datetime | None = None
    """The server's time; of servers before 2.10, nothing."""


class NatsBroker:
    """One ingress group's connection. `pull` is for one caller at a time."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._nats: Client | None = None
        self._name = f"{settings.group}_{uuid4().hex}"
        self._consumer = ""
        """What the consumer is called: our name and a number. Empty until it has been made."""
        self._inbox = ""
        self._openings = self._requests_sent = 0
        self._request: _Request | None = None
        self._refusal = ""
        """Why the server would not take the last request; empty if it did."""
        self._arrived: deque[Arrival] = deque()
        self._something = asyncio.Event()
        self._in_hand: set[str] = set()
        """Stream sequences delivered and not acknowledged: what is delivered again meanwhile is not taken twice."""
        self._left_behind = 0
        """The stream's first message if it is ours and behind every consumer, by the last look; 0 if it is not."""
        self._brought_back = 0
        """The message for which delivery began anew last: should it be left behind again, that does not help."""
        self._gives_way_until: float | None = None
        self._answer: Responder | None = None
        self._query_subscriptions: list[Subscription] = []
        self._answering = asyncio.Semaphore(tuning.QUERIES_AT_ONCE)
        self._requests: set[asyncio.Task[None]] = set()
        self._refused_replies = BurstLog("reply_subjects_refused", log.warning)

    async def open(self) -> None:
        """Connect (again), answer queries, make the stream if there is none, become the group's only consumer."""
        await self.close()
        with translated():
            self._nats = await connected_to_any(self._settings.url, self._connect)
            await self._listen_for_queries(self._nats)
            await self._make_stream(self._nats)
            await self._become_consumer(self._nats)

    async def pull(self, limit: int, timeout: timedelta) -> Sequence[Arrival]:
        """At most *limit* messages, as soon as there is one; none after *timeout*."""
        room = self._settings.max_in_flight - len(self._in_hand)
        if room > 0 and not (self._arrived or self._request):
            await self._ask(room, timeout)
        await self._until(lambda: bool(self._arrived) or self._request is None, timeout.total_seconds())
        if self._arrived:
            await self._until(lambda: len(self._arrived) >= limit or self._request is None, tuning.GATHER_SECONDS)
        elif self._request and asyncio.get_running_loop().time() > self._request.given_up_at:
            raise BrokerUnavailableError(f"no answer from {shown(self._settings.url)} to a request for messages")
        return self._taken(limit)

    def _taken(self, limit: int) -> list[Arrival]:
        arrivals: list[Arrival] = []
        room = tuning.BATCH_BYTES
        while self._arrived and len(arrivals) < limit and room > 0:
            arrivals.append(self._arrived.popleft())
            room -= len(arrivals[-1].body)
        return arrivals

    async def _ask(self, count: int, timeout: timedelta) -> None:
        """Ask for what there is or, if there is nothing, for the next message (`processNextMsgReq`, consumer.go)."""
        self._requests_sent += 1
        seconds = timeout.total_seconds()
        given_up_at = asyncio.get_running_loop().time() + seconds + tuning.BROKER_ANSWER_SECONDS
        self._request = _Request(f"{self._inbox}.{self._requests_sent}", count, given_up_at)
        wanted = {"batch": count, "no_wait": True, "expires": round(seconds * 1e9)}
        with translated():
            await self._connected().publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._consumer}",
                msgspec.json.encode(wanted),
                reply=self._request.answer_to,
            )

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Wait so long for what the server sends. Raises BrokerUnavailableError if it refuses."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (is_so() or self._refusal):
                    self._connected()
                    self._something.clear()
                    await self._something.wait()
        if self._refusal:
            raise BrokerUnavailableError(f"the server has no messages for {self._consumer}: {self._refusal}")

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        with translated():
            connection = self._connected()
            for arrival in arrivals:
                await connection.publish(arrival.receipt, b"+ACK")
                self._in_hand.discard(_stream_sequence(arrival.receipt))

    async def erase(self, arrivals: Sequence[Arrival]) -> None:
        """The server overwrites what is deleted; what is acknowledged it only takes out of its index at first."""
        with translated():
            for arrival in arrivals:
                try:
                    await self._connected().jsm().delete_msg(STREAM, int(_stream_sequence(arrival.receipt)))
                except nats.js.errors.APIError as error:
                    if error.err_code not in GONE_ALREADY:
                        raise

    def release(self, arrivals: Sequence[Arrival]) -> None:
        self._in_hand.difference_update(_stream_sequence(arrival.receipt) for arrival in arrivals)

    def answer_bytes(self) -> int:
        return self._connected().max_payload

    async def reply(self, replies: Sequence[tuple[str, bytes]]) -> None:
        with translated():
            connection = self._connected()
            for subject, body in replies:
                await connection.publish(subject, body)

    def answer_queries(self, answer: Responder) -> None:
        self._answer = answer

    async def _listen_for_queries(self, connection: Client) -> None:
        if self._answer is None:
            return
        answer = self._answer

        async def respond(message: Msg) -> None:
            authorization = _authorization(message.headers or {})
            body = await answer(message.subject, message.data, authorization, connection.max_payload)
            with suppress(nats.errors.Error):  # the asker asks again if the connection broke meanwhile
                await message.respond(body)

        def answered(task: asyncio.Task[None]) -> None:
            self._requests.discard(task)
            self._answering.release()

        async def on_request(message: Msg) -> None:
            if self._answerable(message.reply):
                await self._answering.acquire()
                task = asyncio.create_task(respond(message))
                self._requests.add(task)
                task.add_done_callback(answered)

        self._query_subscriptions = [
            await connection.subscribe(
                subject,
                cb=on_request,
                pending_msgs_limit=tuning.QUERIES_WAITING,  # what comes beyond is dropped: whoever asked asks again
                pending_bytes_limit=tuning.QUERIES_WAITING_BYTES,
            )
            for subject in self._settings.query_subjects
        ]
        await connection.flush()  # the server knows: from here on a predecessor may leave

    async def _answer_what_came(self) -> None:
        """Take no more queries, and let those that have come be answered."""
        for subscription in self._query_subscriptions:
            await subscription.drain()  # type: ignore[no-untyped-call]  # of nats-py
        if self._requests:
            await asyncio.wait(self._requests)

    async def lag(self) -> BrokerLag:
        """Raises BrokerUnavailableError too if the consumer is gone or has passed over messages: `open` mends both."""
        self._refused_replies.settle()
        with translated():
            manager = self._connected().jsm()
            consumers = await manager.consumers_info(STREAM)
            stored, clock_ahead = await self._stored()
        mine = next((consumer for consumer in consumers if consumer.name == self._consumer), None)
        if mine is None:
            raise BrokerUnavailableError(f"the stream has no consumer {self._consumer}")
        await self._see_left_behind(stored.first_seq if stored.messages else 0, consumers)
        return BrokerLag(mine.num_pending or 0, mine.num_ack_pending or 0, clock_ahead)

    async def _stored(self) -> tuple[_StreamState, float]:
        """What the stream holds, and how far at least the clock of its server is ahead of ours.

        Asked for by hand, because nats-py leaves out the server's time.
        """
        sent_at = time.time()
        answer = await self._connected().request(f"$JS.API.STREAM.INFO.{STREAM}", timeout=tuning.BROKER_ANSWER_SECONDS)
        seconds = time.time() - sent_at
        info = msgspec.json.decode(answer.data, type=_StreamInfo)
        if info.state is None:
            raise BrokerUnavailableError(f"the server knows no stream {STREAM}")
        if info.ts is None:
            return info.state, 0.0
        return info.state, beyond(info.ts.timestamp() - (sent_at + seconds / 2), abs(seconds) / 2)

    async def _see_left_behind(self, first: int, consumers: Sequence[ConsumerInfo]) -> None:
        """Raises if the stream's first message, ours, is behind every consumer at two looks: one may see it leave."""
        left_before, self._left_behind = self._left_behind, 0
        is_complete = {group_of(consumer) for consumer in consumers}.issuperset(self._settings.all_groups)
        if first in (0, self._brought_back) or not is_complete:
            return
        if all(_is_through(consumer, first) for consumer in consumers) and await self._is_ours(first):
            self._left_behind = first
            if first == left_before:
                self._brought_back = first
                raise BrokerUnavailableError(
                    f"the server passed over message {first} of {STREAM}: delivery begins anew"
                )

    async def _is_ours(self, sequence: int) -> bool:
        """Whether this group takes the message. What was stored for other groups than there are now may be nobody's."""
        if self._settings.takes_all:
            return True
        with translated():
            try:
                subject = (await self._connected().jsm().get_msg(STREAM, sequence)).subject or ""
            except nats.js.errors.NotFoundError:
                return False
        return any(subject.startswith(taken.removesuffix(">")) for taken in self._settings.subjects)

    async def close(self) -> None:
        """Answer the queries that have come, send what is buffered, then disconnect."""
        connection, self._nats = self._nats, None
        if connection is not None and not connection.is_closed:
            try:
                async with asyncio.timeout(tuning.BROKER_CLOSE_SECONDS):
                    await self._answer_what_came()
                    await connection.flush()
            except (nats.errors.Error, TimeoutError) as error:
                log.warning("broker_flush_failed", error=str(error))
            await connection.close()
        self._query_subscriptions = []
        self._arrived.clear()  # not before: messages come until the connection is closed
        self._in_hand.clear()
        self._request, self._refusal = None, ""
        self._refused_replies.close()

    def _connected(self) -> Client:
        if self._nats is None or not self._nats.is_connected:
            raise BrokerUnavailableError(f"not connected to {shown(self._settings.url)}")
        return self._nats

    async def _connect(self, server: str, note: OnError) -> Client:
        async def on_error(error: Exception) -> None:
            if connection.is_connected:  # otherwise `open` raises it, again and again
                log.warning("broker_error", error=f"{type(error).__name__}: {error}")
            else:
                await note(error)

        connection = SturdyClient()
        try:
            await connection.connect(
                server,
                token=self._settings.token or None,
                name=f"spark {self._settings.group}",
                connect_timeout=tuning.BROKER_CONNECT_SECONDS,
                skip_subject_validation=True,  # receipts are the server's own; where answers go is checked on arrival
                error_cb=on_error,
                **ONE_TRY,  # whoever pulls opens anew: that also brings back what was unacknowledged
            )
        except BaseException:
            await connection.close()  # a refused login leaves its socket open
            raise
        return connection

    async def _make_stream(self, connection: Client) -> None:
        config = StreamConfig(
            name=STREAM,
            subjects=list(self._settings.stream_subjects),
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            num_replicas=self._settings.replicas,
            discard=DiscardPolicy.NEW,  # a full stream refuses, rather than forget what it has confirmed
            max_bytes=self._settings.stream_max_bytes or None,
        )
        manager = connection.jsm()
        try:
            found = (await manager.stream_info(STREAM)).config
        except nats.js.errors.NotFoundError:
            await manager.add_stream(config)
            return
        if losses := what_loses(found):
            raise UnfitStreamError(losses)
        if found.num_replicas != config.num_replicas:
            # Not changed here: a server without a cluster takes any number, and starts without the stream next time.
            log.warning("stream_replicas_differ", found=found.num_replicas, wanted=config.num_replicas)
        changes: dict[str, Any] = {} if found.subjects == config.subjects else {"subjects": config.subjects}
        if config.max_bytes and found.max_bytes != config.max_bytes:
            changes["max_bytes"] = config.max_bytes
        if changes:
            await manager.update_stream(found, **changes)

    async def _become_consumer(self, connection: Client) -> None:
        manager = connection.jsm()
        consumers = await manager.consumers_info(STREAM)
        self._give_way(consumers)
        for consumer in consumers:
            # Our predecessor's, and those of groups that there are no more: the server refuses consumers that overlap.
            if group_of(consumer) == self._settings.group or group_of(consumer) not in self._settings.all_groups:
                with suppress(nats.js.errors.NotFoundError):
                    await manager.delete_consumer(STREAM, consumer.name)
        self._openings += 1
        name = f"{self._name}_{self._openings}"
        self._inbox = connection.new_inbox()
        await connection.subscribe(f"{self._inbox}.*", cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=0)
        await manager.add_consumer(
            STREAM,
            ConsumerConfig(
                durable_name=name,
                deliver_policy=DeliverPolicy.ALL,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self._settings.ack_wait.total_seconds(),
                max_ack_pending=self._settings.max_in_flight,
                filter_subjects=None if self._settings.takes_all else list(self._settings.subjects),
            ),
        )
        self._consumer = name

    def _give_way(self, consumers: Sequence[ConsumerInfo]) -> None:
        """Raises if another has taken our place, but not for ever: it may be gone, and its consumer still there."""
        ours = [consumer.name for consumer in consumers if group_of(consumer) == self._settings.group]
        if not self._consumer or all(name.startswith(self._name) for name in ours):
            self._gives_way_until = None
            return
        now = asyncio.get_running_loop().time()
        if self._gives_way_until is None:
            self._gives_way_until = now + tuning.GIVE_WAY_SECONDS
        if now < self._gives_way_until:
            raise BrokerUnavailableError(f"another ingress has taken the place of {self._consumer}")
        self._gives_way_until = None

    async def _on_message(self, message: Msg) -> None:
        if message.subject.startswith(self._inbox):
            self._on_status(message)
            return
        if self._request:
            self._request.left -= 1
            if not self._request.left:
                self._request = None
        sequence = _stream_sequence(message.reply)
        if sequence not in self._in_hand:
            self._in_hand.add(sequence)
            self._arrived.append(self._arrival(message))
        self._something.set()

    def _on_status(self, message: Msg) -> None:
        """The server says that a request is over: there is no more now, nothing has come, or it cannot serve it."""
        if self._request and self._request.answer_to == message.subject:
            headers = message.headers or {}
            if headers.get(Header.STATUS) not in NOTHING_MORE:
                self._refusal = f"{headers.get(Header.STATUS)} {headers.get(Header.DESCRIPTION)}"
            self._request = None
            self._something.set()

    def _answerable(self, reply_to: str) -> bool:
        """Whether an answer is wanted, and may go there."""
        if reply_to and not cloudevents.is_reply_subject(reply_to):
            self._refused_replies.note("not_allowed", subject=reply_to[:200])
            return False
        return bool(reply_to)

    def _arrival(self, message: Msg) -> Arrival:
        headers = message.headers or {}
        reply_to = headers.get(cloudevents.REPLY_TO_HEADER, "")
        body, limit = message.data, self._settings.max_body_bytes
        return Arrival(
            message.subject,
            body[:limit],
            reply_to if self._answerable(reply_to) else "",
            message.reply,
            _authorization(headers),
            _stored_at(message.reply),
            cloudevents.event_headers(headers),
            oversize="" if len(body) <= limit else f"{len(body)} bytes, SHA-256 {sha256(body).hexdigest()}",
        )


def _authorization(headers: Mapping[str, str]) -> str:
    """What the sender shows of who it is; of what is too long for a token, no more than shows that."""
    return headers.get(cloudevents.AUTHORIZATION_HEADER, "")[: cloudevents.AUTHORIZATION_CHARACTERS + 1]


def beyond(difference: float, uncertainty: float) -> float:
    """How much of a *difference* is left when it is told with an *uncertainty*: nothing if it may be zero."""
    return max(0.0, difference - uncertainty) if difference > 0 else min(0.0, difference + uncertainty)


def what_loses(found: StreamConfig) -> list[str]:
    """What of a stream that somebody else has made loses, or keeps for ever, what it has confirmed; each in words."""
    foreign = [subject for subject in found.subjects or [] if not subject.startswith(cloudevents.COMMAND_PREFIX)]
    per_subject = (found.max_msgs_per_subject or 0) > 0 and not found.discard_new_per_subject
    checks = (
        (found.retention != RetentionPolicy.WORK_QUEUE, f"retention is {_word(found.retention)}, not workqueue"),
        (found.discard != DiscardPolicy.NEW, f"discard is {_word(found.discard)}, not new"),
        (found.storage != StorageType.FILE, f"storage is {_word(found.storage)}, not file"),
        (bool(found.max_age), f"max_age is {found.max_age} s, and a command must wait for as long as it takes"),
        (per_subject, f"max_msgs_per_subject is {found.max_msgs_per_subject}, and drops earlier commands"),
        (bool(found.no_ack), "no_ack is set, so no producer learns what is stored"),
        (bool(found.deny_delete), "deny_delete is set, so what holds a secret cannot be erased"),
        (bool(found.sealed), "it is sealed"),
        (bool(foreign), f"it takes {', '.join(foreign)}, which are no commands"),
    )
    return [words for is_so, words in checks if is_so]


def _word(policy: object) -> str:
    return str(getattr(policy, "value", policy))


def group_of(consumer: ConsumerInfo) -> str:
    """The ingress group whose consumer it is."""
    return consumer.name.partition("_")[0]


def _is_through(consumer: ConsumerInfo, sequence: int) -> bool:
    """Whether a consumer will not deliver this message (any more): it is beyond it, or has nothing to do."""
    floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
    return floor >= sequence or not (consumer.num_pending or consumer.num_ack_pending)


def _stream_sequence(receipt: str) -> str:
    """The stream sequence in an acknowledgement subject, `$JS.ACK.<stream>.<consumer>.<tries>.<stream sequence>.…`.

    With a domain and an account hash in it (server to server), two more tokens stand in front.
    """
    tokens = receipt.split(".")
    return tokens[5] if len(tokens) == 9 else tokens[7]


def _stored_at(receipt: str) -> float:
    """When the stream took the message, in Unix seconds: two tokens further, in nanoseconds."""
    tokens = receipt.split(".")
    return int(tokens[7] if len(tokens) == 9 else tokens[9]) / 1e9


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the NATS client become BrokerUnavailableError."""
    try:
        yield
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise BrokerUnavailableError(f"{type(error).__name__}: {error}") from error
