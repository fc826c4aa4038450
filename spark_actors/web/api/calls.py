"""Commands, views and actions for whoever has a token, as JSON: what HTTP and the pages that describe it both use.

What is malformed is refused here, by the daemon's own door, so that nothing of it waits in a queue. All else the daemon
judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import quote
from uuid import uuid4

from spark_actors.ingress.client import (
    Answer,
    ClientError,
    OutcomeUnknownError,
    ViewRefusedError,
    ViewTimeoutError,
)
from spark_actors.kernel.decisions import ID_REUSED, Verdict
from spark_actors.kernel.errors import UnknownMessageError
from spark_actors.kernel.messages import Action, Message, MessageRegistry, Query, Sender
from spark_actors.messaging.cloudevents import (
    ATTRIBUTE_PREFIX,
    CONTENT_TYPE_HEADER,
    EVENT_CONTENT_TYPE,
    SPEC_VERSION,
    command_subject,
    event_type,
    query_subject,
    whole_event,
)
from spark_actors.messaging.door import Door, RefusedError
from spark_actors.messaging.scrubbing import is_secret_name
from spark_actors.web import tuning
from spark_actors.web.api.problems import AGAIN_SECONDS, Problem, ProblemError, refused
from spark_actors.web.pages import AwayError

SOURCE = "spark-actors/http"
"""Of commands that name none."""
UNDER_WAY = "under_way"
_KINDS = {"commands": "command", "views": "query", "actions": "action"}


class Client(Protocol):
    """Somebody's way to the daemon's broker, as `SparkClient` is."""

    async def send_raw(self, subject: str, body: bytes, *, message_id: str = "", timeout: float = 0) -> Answer: ...
    async def view(self, query: Query, *, timeout: float = 0) -> dict[str, Any]: ...


class Broker(Protocol):
    """The way to the daemon's broker."""

    def acting_as(self, token: str) -> Client:
        """A client of whoever has this token; of nobody if it is empty. Raises AwayError."""


@dataclass(frozen=True)
class Answered:
    """What somebody is told: the status and the body of HTTP."""

    status: HTTPStatus
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class Calls:
    """Sends and asks. All methods raise ProblemError, and only that."""

    def __init__(self, registry: MessageRegistry, broker: Broker, on_sent: Callable[[], None] = lambda: None) -> None:
        """*on_sent* is called after each command and action."""
        self._registry = registry
        self._door = Door(registry, tuning.API_BODY_BYTES)
        self._broker = broker
        self._on_sent = on_sent
        self._in_hand = 0

    def message(self, folder: str, name: str) -> type[Message]:
        """The message of this wire name, under one of the folders `commands`, `views` and `actions`."""
        unknown = refused("not_found", f"{folder} have no {name!r}: expected one of those that /docs lists")
        try:
            cls = self._registry.current(name)
        except UnknownMessageError:
            raise unknown from None
        if cls.TYPE.kind != _KINDS[folder]:
            raise unknown
        return cls

    async def command(
        self, cls: type[Message], body: bytes, headers: Mapping[str, str], *, key: str, token: str, wait: float
    ) -> Answered:
        """Send a command: the event that *body* and *headers* (content type and attributes) are, or its data alone.

        *key* is the id under which it takes effect once; empty for that of the event, or a new one. *wait*: at most
        so many seconds for how it ends.
        """
        _check_token(cls, token)
        event = _with_attributes(cls, headers, key)
        subject = command_subject(cls.TYPE)
        try:
            message_id = self._door.command(subject, body, datetime.now(UTC), event).envelope.message_id
        except RefusedError as error:
            raise refused(error.code, error.detail) from None
        if key and message_id != key:
            raise refused("malformed_envelope", f"Idempotency-Key = {key!r}: expected the event's id, or none")
        whole = whole_event(body, event)
        with self._at_work(), _told_of(message_id):
            try:
                answer = await self._broker.acting_as(token).send_raw(
                    subject, whole, message_id=message_id, timeout=wait
                )
            except OutcomeUnknownError:
                return _accepted(message_id, UNDER_WAY, "", {})
            finally:
                self._on_sent()
        return _of_command(answer, message_id)

    async def view(self, cls: type[Message], body: bytes, *, token: str) -> Answered:
        """What a view answers to the question *body*."""
        return await self._asked(cls, body, token, tuning.VIEW_SECONDS)

    async def action(self, cls: type[Message], body: bytes, *, token: str) -> Answered:
        """What an action answers. Where nothing comes back, it may have been done or not."""
        try:
            return await self._asked(cls, body, token, tuning.ACTION_SECONDS)
        finally:
            self._on_sent()

    async def _asked(self, cls: type[Message], body: bytes, token: str, seconds: float) -> Answered:
        _check_token(cls, token)
        with self._at_work():
            try:
                query = self._door.query(query_subject(cls.TYPE), body)
                answer = await self._broker.acting_as(token).view(query, timeout=seconds)
            except RefusedError as error:
                raise refused(error.code, error.detail) from None
            except ViewRefusedError as error:
                raise refused(error.code, error.detail, error.retry_after_seconds) from error
            except (AwayError, ClientError) as error:
                raise refused("away", _away(error, is_action=issubclass(cls, Action))) from error
        return Answered(HTTPStatus.OK, answer)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        if self._in_hand >= tuning.API_IN_HAND:
            raise refused("busy", f"{self._in_hand} others wait for answers; ask again")
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1


def has_secrets(cls: type[Message]) -> bool:
    """Whether a field of it is not to stand in an address, or on a page."""
    return any(is_secret_name(name) for name in getattr(cls, "__dataclass_fields__", {}))


def _check_token(cls: type[Message], token: str) -> None:
    """Spares the daemon whoever has none where one is needed."""
    if not token and cls.TYPE.sent_by is not Sender.ANYBODY:
        raise refused("unauthenticated", "no token came: expected the header Authorization: Bearer TOKEN")


def _with_attributes(cls: type[Message], headers: Mapping[str, str], key: str) -> dict[str, str]:
    """The headers of the event. Plain data is an event in binary mode, with attributes for those that were not sent."""
    if headers[CONTENT_TYPE_HEADER.lower()].partition(";")[0].strip().lower() == EVENT_CONTENT_TYPE:
        return dict(headers)
    message_id = quote(key or str(uuid4()), safe="")
    plain = {"specversion": SPEC_VERSION, "type": event_type(cls.TYPE), "source": SOURCE, "id": message_id}
    return {**{f"{ATTRIBUTE_PREFIX}{name}": value for name, value in plain.items()}, **headers}


@contextmanager
def _told_of(message_id: str) -> Iterator[None]:
    """Whoever sends again under the same id is safe: a problem on the way says so."""
    try:
        yield
    except (AwayError, ClientError) as error:
        detail = f"{error}. It may have been stored or not: sent again with the same Idempotency-Key it counts once."
        raise refused("away", detail, id=message_id) from error


def _away(error: Exception, *, is_action: bool) -> str:
    if is_action and isinstance(error, ViewTimeoutError):
        return f"{error}. It may have been done or not: sent again with the same request_id it is done once."
    return str(error)


def _of_command(answer: Answer, message_id: str) -> Answered:
    if answer.outcome is Verdict.DONE:
        return Answered(HTTPStatus.OK, _outcome(message_id, Verdict.DONE, "", answer.data))
    if answer.outcome is Verdict.PARKED:
        return _accepted(message_id, Verdict.PARKED, answer.reason, answer.data)
    if answer.outcome is Verdict.REJECTED and answer.reason != ID_REUSED.reason:
        detail = "The business says no; nothing was done."
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        members = {"id": message_id, "data": dict(answer.data)}
        raise ProblemError(Problem(status=status, reason=answer.reason, detail=detail, members=members))
    if answer.outcome is Verdict.REJECTED:
        raise refused(answer.reason, "This id was used for something else: expected a new one.", id=message_id)
    told = str(answer.data.get("detail", ""))
    if answer.reason in _BY_SENDER:
        raise refused(answer.reason, told, id=message_id)
    failed = "It could not be handled, and is kept for the operators of this daemon."
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    raise ProblemError(Problem(status=status, reason=answer.reason, detail=told or failed, members={"id": message_id}))


_BY_SENDER = frozenset(
    ("unauthenticated", "forbidden", "why_required", "unknown_subject", "unknown_type", "subject_type_mismatch")
    + ("oversized", "not_json", "malformed_envelope", "malformed_data", "key_mismatch", "bucket_mismatch")
)
"""Failures that are refusals of what was sent: the daemon's door and guard."""


def _outcome(message_id: str, outcome: str, reason: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": message_id, "outcome": str(outcome), "reason": reason, "data": dict(data)}


def _accepted(message_id: str, outcome: str, reason: str, data: Mapping[str, Any]) -> Answered:
    again = f"It is stored and will be handled. Ask by sending the same again with Idempotency-Key: {message_id}"
    body = {**_outcome(message_id, outcome, reason, data), "again": again}
    return Answered(HTTPStatus.ACCEPTED, body, {"Retry-After": str(AGAIN_SECONDS)})
