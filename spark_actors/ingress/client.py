"""A client of a running daemon: sends commands, learns their outcomes, and asks for views, many at once.

ClientError
├── UnreachableError          no broker answers at the URL, it refuses the token, or the connection broke
├── NotAcceptedError          the broker did not say that it has stored the command: it may or may not be there
├── OutcomeUnknownError       the command is stored and will be handled, but no outcome came in time
├── ViewTimeoutError          nobody answered a query in time
└── ViewRefusedError          the daemon answered a query with a refusal

After the first three it is safe to send the command again under the same message id: it takes effect once and answers
the same outcome.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from spark_actors.ingress import tuning
from spark_actors.ingress.nats_client import ONE_TRY, NoServerError, OnError, connected_to_any
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.errors import DetailedError
from spark_actors.kernel.messages import Command, Query
from spark_actors.messaging import cloudevents

SOURCE = "spark-actors/client"


class ClientError(DetailedError):
    """The daemon could not be asked."""


class UnreachableError(ClientError):
    """No broker answers, it refuses the token, or the connection broke."""


class NotAcceptedError(ClientError):
    """The broker did not confirm that it has stored the command."""


class OutcomeUnknownError(ClientError):
    """The command is stored, but how it ended is not known yet."""


class ViewTimeoutError(ClientError):
    """Nobody answered a query in time."""


class ViewRefusedError(ClientError):
    """The daemon answered a query with a refusal; *code* is a bounded word, e.g. `not_found`.

    *retry_after_seconds* is 0 where trying again will not help, or the daemon does not say when.
    """

    def __init__(self, view: str, code: str, detail: str, retry_after_seconds: int = 0) -> None:
        Exception.__init__(self, view, code, detail, retry_after_seconds)
        self.view, self.code, self.detail = view, code, detail
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.view}: {self.code}: {self.detail}"


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    message_id: str
    outcome: Verdict
    reason: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return self.outcome is Verdict.DONE


class _Reply(msgspec.Struct):
    """The body of an outcome on the wire."""

    id: str
    outcome: Verdict
    reason: str = ""
    data: dict[str, Any] = {}


class SparkClient:
    """One connection to a daemon's broker; made by `connect`, used by any number of tasks, closed by `close`.

    It does not reconnect: when the connection breaks, everything under way raises UnreachableError.
    """

    def __init__(self, connection: NatsClient, stream: JetStreamContext, authorization: str) -> None:
        self._connection = connection
        self._stream = stream
        self._reply_prefix = ""
        self._identity = cloudevents.authorization(authorization)
        self._waiting: dict[str, asyncio.Future[Answer]] = {}

    @classmethod
    async def connect(cls, url: str, token: str = "", *, identity: str = "") -> SparkClient:
        """Connect within a few seconds. Raises UnreachableError.

        *url* may name several servers, with commas between them: one that is up will do. *token* is the broker's;
        *identity* the JWT that says who sends what (empty: nobody says).
        """

        async def connect_to(server: str, note: OnError) -> SparkClient:
            connection = NatsClient()
            client = cls(connection, connection.jetstream(), identity)
            try:
                await connection.connect(
                    server,
                    token=token or None,
                    name=SOURCE,
                    connect_timeout=tuning.CLIENT_CONNECT_SECONDS,
                    error_cb=note,  # of a connection that stands nobody looks at them: they surface where it is used
                    closed_cb=client._fail_waiting,
                    **ONE_TRY,
                )
                client._reply_prefix = connection.new_inbox()
                await connection.subscribe(f"{client._reply_prefix}.*", cb=client._take_answer)
            except BaseException:
                await connection.close()  # a refused login leaves its socket open
                raise
            return client

        try:
            return await connected_to_any(url, connect_to)
        except NoServerError as error:
            raise UnreachableError(f"no broker answers: {error}") from error

    def acting_as(self, identity: str) -> SparkClient:
        """The same connection for somebody else: *identity* is their JWT. Close the original."""
        other = copy.copy(self)
        other._identity = cloudevents.authorization(identity)
        return other

    async def send(
        self,
        command: Command,
        *,
        message_id: str | None = None,
        correlation_id: str | None = None,
        why: str = "",
        timeout: float = tuning.OUTCOME_SECONDS,
    ) -> Answer:
        """Send a command and wait (at most *timeout* seconds after it was stored) for how it ended.

        Raises UnreachableError, NotAcceptedError or OutcomeUnknownError.
        """
        message_id = message_id or str(uuid4())
        body = _body(command, message_id, correlation_id, why)
        return await self.send_raw(
            cloudevents.command_subject(command.TYPE), body, message_id=message_id, timeout=timeout
        )

    async def post(
        self,
        command: Command,
        *,
        message_id: str | None = None,
        correlation_id: str | None = None,
        why: str = "",
    ) -> str:
        """Send a command without waiting for how it ends; returns its message id once the broker has stored it.

        Raises UnreachableError or NotAcceptedError.
        """
        message_id = message_id or str(uuid4())
        body = _body(command, message_id, correlation_id, why)
        await self._publish(cloudevents.command_subject(command.TYPE), body, {})
        return message_id

    async def send_raw(
        self, subject: str, body: bytes, *, message_id: str = "", timeout: float = tuning.OUTCOME_SECONDS
    ) -> Answer:
        """Send any bytes on any command subject and wait for the answer; the errors are those of `send`."""
        ticket = uuid4().hex
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = answered
        try:
            await self._publish(subject, body, {cloudevents.REPLY_TO_HEADER: f"{self._reply_prefix}.{ticket}"})
            async with asyncio.timeout(timeout):
                return await answered
        except TimeoutError:
            raise OutcomeUnknownError(
                f"no outcome of {message_id or subject} within {timeout:g} s; the queue keeps it"
            ) from None
        finally:
            del self._waiting[ticket]

    async def view(self, query: Query, *, timeout: float = tuning.OUTCOME_SECONDS) -> dict[str, Any]:
        """What a view answers, as plain JSON values. Raises UnreachableError, ViewTimeoutError or ViewRefusedError."""
        name = query.TYPE.name
        try:
            message = await self._connection.request(
                cloudevents.query_subject(query.TYPE),
                msgspec.json.encode(query),
                timeout=timeout,
                headers=self._identity or None,
            )
        except nats.errors.NoRespondersError:
            raise ViewTimeoutError(f"{name}: the broker is up, but no daemon answers queries") from None
        except TimeoutError:
            raise ViewTimeoutError(f"{name}: no answer within {timeout:g} s") from None
        except nats.errors.Error as error:
            raise UnreachableError(f"the connection to the broker broke: {_text(error)}") from error
        return _view_result(name, message.data)

    @property
    def is_closed(self) -> bool:
        """Whether the connection was closed or broke."""
        return self._connection.is_closed or not self._connection.is_connected

    async def close(self) -> None:
        """Close the connection. Closing twice does nothing."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _publish(self, subject: str, body: bytes, headers: dict[str, Any]) -> None:
        headers = {cloudevents.CONTENT_TYPE_HEADER: cloudevents.EVENT_CONTENT_TYPE, **self._identity, **headers}
        try:
            await self._stream.publish(subject, body, timeout=tuning.ACCEPT_SECONDS, headers=headers)
        except nats.errors.ConnectionClosedError as error:
            raise UnreachableError("the connection to the broker is closed") from error
        except (TimeoutError, nats.errors.Error) as error:
            raise NotAcceptedError(f"the broker did not accept a message on {subject}: {_text(error)}") from error

    async def _take_answer(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is None or waiting.done():
            return
        try:
            waiting.set_result(_answer(message.data))
        except msgspec.MsgspecError as error:
            waiting.set_exception(OutcomeUnknownError(f"the daemon's answer cannot be read: {error}"))

    async def _fail_waiting(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(UnreachableError("the connection to the broker broke"))
                waiting.exception()  # marks it as seen: its sender may have given up at the same moment


def _body(command: Command, message_id: str, correlation_id: str | None, why: str) -> bytes:
    return cloudevents.command_body(
        command, message_id=message_id, source=SOURCE, correlation_id=correlation_id or "", why=why
    )


def _answer(body: bytes) -> Answer:
    reply = msgspec.json.decode(body, type=_Reply)
    return Answer(reply.id, reply.outcome, reply.reason, reply.data)


def _view_result(name: str, body: bytes) -> dict[str, Any]:
    try:
        result = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ViewRefusedError(name, "unreadable", f"the answer is no JSON object: {error}") from None
    refusal = result.get("error")
    if isinstance(refusal, dict):
        again = refusal.get("retry_after_seconds")
        code, detail = str(refusal.get("code", "failed")), str(refusal.get("detail", ""))
        raise ViewRefusedError(name, code, detail, again if isinstance(again, int) else 0)
    return result


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
