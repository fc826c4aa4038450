"""What operators do about dead letters and parked keys. Every action is audited in its own transaction.

Whether a message takes effect a second time depends on what the inbox still knows: it forgets by whole weeks, after
`retention.inbox_days`, while letters are kept for a year and parked messages for as long as it takes. So what is older
than the inbox's memory is released only by who says that he knows better (*even_if_old*):

- A **command** that waits for its key has never been handled: it was looked up in the inbox before it was parked, its
  copies wait for the same key and are kept once, and the transaction that handles it takes it out. So it may be
  released at any age. `retry` keeps this true: it does not put back what the inbox knows.
- The letter of a command that does not wait any more may have been handled at any time since it died (each further
  death is later). It may be sent again while the inbox knows all that was handled since then.
- An **event** may have been handed over before it was parked, its row not yet settled; then the inboxes of the contexts
  that its commands went to know them. It may be released while they know all that was handled since it happened.
- What the door **refused** may have come again, well formed and under the same id, at any time since. It goes by the
  memory of the context it is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import class_row, dict_row

from spark_actors.kernel.errors import DetailedError
from spark_actors.messaging.cloudevents import context_of
from spark_actors.messaging.ports import INGRESS
from spark_actors.messaging.unit_of_work import COMMANDS
from spark_actors.persistence import tuning
from spark_actors.persistence.connections import SqlText
from spark_actors.persistence.desk_sessions import Sessions, session_of_its_own
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load_for

RETRIED = "retried"
STATES = ("waiting", RETRIED, "edited", "discarded")
"""Of a letter: what was done about it last."""


class DeskError(DetailedError):
    """An operator's wish cannot be fulfilled as things are."""

    code = "refused"
    """What programs tell it by."""


class DoneBeforeError(DeskError):
    """The same request has done it already; *message_id* is of the message that it was about."""

    code = "done_before"

    def __init__(self, request_id: str, message_id: str) -> None:
        Exception.__init__(self, request_id, message_id)
        self.request_id, self.message_id = request_id, message_id
        self.detail = f"the request {request_id} has done it before"

    def __str__(self) -> str:
        return self.detail


class ForgottenError(DeskError):
    """Nobody knows any more whether a message has been handled: it might take effect twice.

    *since* is from when on the inbox knows.
    """

    code = "forgotten"

    def __init__(self, what: str, at: datetime, since: datetime | None) -> None:
        Exception.__init__(self, what, at, since)
        self.what, self.at, self.since = what, at, since

    def __str__(self) -> str:
        known = f"only since {self.since:%Y-%m-%d}" if self.since else "nothing"
        return (
            f"{self.what} is of {self.at.astimezone(UTC):%Y-%m-%d}, and the inbox knows {known} what was handled: it"
            " might take effect twice"
        )


@dataclass(frozen=True)
class Operator:
    """Who acts, and why."""

    who: str
    why: str
    request_id: str = ""
    """Under which it takes effect once, however often it is asked for; empty: each time."""


@dataclass(frozen=True)
class LetterFilter:
    """Which dead letters are asked for; None lets everything through."""

    letter_id: int | None = None
    state: str | None = None
    """One of STATES."""
    reason: str | None = None
    """What the reason begins with."""
    name: str | None = None
    key: str | None = None
    subscriber: str | None = None
    since: datetime | None = None
    letter_ids: Sequence[int] | None = None
    cause: str | None = None
    """The first word of the reason."""
    up_to: int | None = None
    """The highest number, and the last moment of dying, of what somebody has looked at."""
    died_until: datetime | None = None


@dataclass(frozen=True)
class KeyFilter:
    """Which keys that wait are asked for; None lets everything through."""

    subscriber: str | None = None
    key: str | None = None
    state: str | None = None
    reason: str | None = None
    """What the reason begins with."""


@dataclass(frozen=True)
class LetterCount:
    """Letters that wait and have these in common."""

    cause: str
    name: str
    subscriber: str
    letters: int
    first_died_at: datetime
    last_died_at: datetime
    up_to: int


@dataclass(frozen=True)
class Letter:
    """A dead letter as operators see it."""

    context: str
    """Whose outbox or aggregates it is from, or `ingress`."""
    letter_id: int
    message_id: str
    name: str
    version: int
    key: str
    subscriber: str
    reason: str
    attempts: int
    state: str
    died_at: datetime
    occurred_at: datetime | None
    """When it happened; None if it could not be read."""
    handled_at: datetime | None
    edited_into: str
    correlation_id: str
    causation_id: str
    body: bytes

    @property
    def address(self) -> str:
        """Names it on the command line."""
        return f"{self.context}/{self.letter_id}"


@dataclass(frozen=True)
class WaitingKey:
    """A key that waits, as operators see it."""

    context: str
    subscriber: str
    key: str
    state: str
    reason: str
    since: datetime
    by: str
    messages: int
    """Counting stops at MESSAGES_OF_A_KEY."""
    first_message_id: str


LetterPlace: TypeAlias = tuple[datetime, int]
"""When a letter died, and its number: where a list goes on."""
KeyPlace: TypeAlias = tuple[datetime, str, str]
"""Since when a key waits, for whom, and the key."""
ActionPlace: TypeAlias = tuple[datetime, int, int]
"""When something was done, its number, and its place among commands that are one row."""


class OperatorDesk:
    """Reads and acts on the schemas of the contexts that *dsn* names. Calls raise DeskError or StorageError.

    The daemon need not run: what is released is worked off by the next one that does.
    """

    def __init__(self, dsn: Mapping[str, str], sessions: Sessions = session_of_its_own) -> None:
        self._dsn = dict(dsn)
        self._sessions = sessions

    @property
    def contexts(self) -> Sequence[str]:
        return list(self._dsn)

    def letters(
        self,
        context: str,
        wanted: LetterFilter,
        *,
        limit: int,
        after: LetterPlace | None = None,
        has_bodies: bool = True,
        oldest_first: bool = False,
    ) -> Sequence[Letter]:
        """At most *limit* letters of one context, the newest first unless *oldest_first*, behind *after*."""
        place = dict(zip(("after_at", "after_id"), after or (None, None), strict=True))
        values = {**vars(wanted), **place, "limit": limit, "has_bodies": has_bodies}
        statement = "oldest_letters" if oldest_first else "letters"
        with self._connected(context) as (connection, sql), connection.cursor(row_factory=dict_row) as cursor:
            return [Letter(context=context, **row) for row in cursor.execute(sql[statement], values)]

    def letter_counts(self, context: str, *, most: int, limit: int) -> Sequence[LetterCount]:
        """The letters of one context that wait, in at most *limit* groups; of more than *most* the newest."""
        with self._connected(context) as (connection, sql), connection.cursor(row_factory=class_row(LetterCount)) as at:
            return at.execute(sql["letter_groups"], {"most": most, "limit": limit}).fetchall()

    def letter_bound(self, context: str) -> LetterPlace:
        """When the last letter of one context died, and the highest number: what dies later is beyond them."""
        with self._connected(context) as (connection, sql):
            row = connection.execute(sql["letter_bound"]).fetchone()
        return (row[1], row[0]) if row else (datetime.now(UTC), 0)

    def retry(self, letter: Letter, operator: Operator, *, even_if_old: bool = False) -> bool:
        """Have the message wait as the first of its key, and the key worked off. Safe to repeat: the inbox knows.

        Whether it waits now: one that was handled stays handled. Raises ForgottenError if the inbox does not know (any
        more) whether it was, unless *even_if_old*.
        """
        detail = f"even if old: {letter.reason}" if even_if_old else ""
        if letter.context == INGRESS and not even_if_old:
            self._refuse_forgotten_arrival(letter)
        with self._acting(letter, operator, "retry", detail) as (connection, sql, about):
            is_handled = False
            if letter.context != INGRESS:
                connection.execute(sql["open_key"], about)
                is_handled = letter.subscriber == COMMANDS and _is_there(connection, sql["handled"], about)
                if not is_handled:
                    if not even_if_old:
                        _refuse_forgotten(connection, sql, letter)
                    connection.execute(sql["put_in_front"], about)
            connection.execute(sql["mark_letter"], {**about, "state": RETRIED, "edited_into": ""})
        return not is_handled

    def edit(self, letter: Letter, operator: Operator, *, new_id: str, data: bytes, version: int) -> None:
        """Have another message, under a new id, take the place of this one, and the key worked off.

        *data* is what a schema has validated. The new message names the old one as its cause, the letter the new one.
        Raises DeskError if the letter was retried and its message handled: it would be handled twice.
        """
        with self._acting(letter, operator, "edit", f"into {new_id}") as (connection, sql, about):
            if letter.context != INGRESS:
                connection.execute(sql["open_key"], about)
                if about["state"] != RETRIED:
                    connection.execute(sql["put_in_front"], about)
                new = {**about, "new_id": new_id, "data": data, "version": version}
                _refuse_handled(letter, about, connection.execute(sql["replace"], new).rowcount)
                _refuse_again(connection, sql, about, "edited")
            else:
                _refuse_handled(letter, about, 0)
            connection.execute(sql["mark_letter"], {**about, "state": "edited", "edited_into": new_id})

    def put_back(self, letter: Letter, operator: Operator, detail: str) -> None:
        """Have a letter wait again whose message could not be sent after all; *detail* says why.

        The operator's request has not been done then: the same one may do it yet.
        """
        about = {**vars(letter), **vars(operator)}
        with self._connected(letter.context) as (connection, sql):
            connection.execute(sql["forget_request"], about)
            about["request_id"] = ""
            connection.execute(sql["mark_letter"], {**about, "state": "waiting", "edited_into": ""})
            _audit(connection, sql, about, "put back", detail)

    def discard(self, letter: Letter, operator: Operator) -> None:
        """Give the message up: nobody handles it any more. If its key waited for it alone, it is worked off.

        Raises DeskError if the letter was retried and its message handled.
        """
        with self._acting(letter, operator, "discard") as (connection, sql, about):
            connection.execute(sql["mark_letter"], {**about, "state": "discarded", "edited_into": ""})
            if letter.context != INGRESS:
                _refuse_handled(letter, about, connection.execute(sql["drop_message"], about).rowcount)
                _refuse_again(connection, sql, about, "discarded")
                connection.execute(sql["release_if_mended"], about)
            else:
                _refuse_handled(letter, about, 0)

    def keys(
        self, context: str, wanted: KeyFilter, *, limit: int, after: KeyPlace | None = None
    ) -> Sequence[WaitingKey]:
        """Keys that wait, the longest first, behind *after*."""
        place = dict(zip(("after_at", "after_subscriber", "after_key"), after or (None, None, None), strict=True))
        values = {**vars(wanted), **place, "limit": limit, "most": tuning.MESSAGES_OF_A_KEY}
        with self._connected(context) as (connection, sql), connection.cursor(row_factory=dict_row) as cursor:
            return [WaitingKey(context=context, **row) for row in cursor.execute(sql["keys"], values)]

    def pause(self, context: str, subscriber: str, key: str, operator: Operator) -> None:
        """Have the messages of a key wait from now on; what is in hand just now may still be handled."""
        _refuse_empty(key)
        about = {"subscriber": subscriber, "key": key, **vars(operator), "reason": f"paused: {operator.why}"}
        with self._connected(context) as (connection, sql):
            connection.execute(sql["pause_key"], about)
            _refuse_repeated(connection, sql, about)
            _audit(connection, sql, about, "pause")

    def resume(self, context: str, subscriber: str, key: str, operator: Operator, *, even_if_old: bool = False) -> None:
        """Have what waits for a key worked off in order, the message that failed first of all.

        Raises ForgottenError for events that are older than what the inbox knows, unless *even_if_old*.
        """
        _refuse_empty(key)
        about = {"subscriber": subscriber, "key": key, **vars(operator)}
        with self._connected(context) as (connection, sql):
            _release(connection, sql, about)
            if not even_if_old:
                _refuse_forgotten_events(connection, sql, about)
            connection.execute(sql["mark_letters_of_key"], {**about, "state": RETRIED, "message_id": None})
            _audit(connection, sql, about, "resume", "even if old" if even_if_old else "")

    def skip(
        self,
        context: str,
        subscriber: str,
        key: str,
        operator: Operator,
        *,
        even_if_old: bool = False,
        first_message: str = "",
    ) -> str:
        """Give the first message of a key up and have the rest worked off; the id of the message.

        Raises DeskError if *first_message* is named and another one is first by now, ForgottenError as `resume` does,
        for the rest.
        """
        _refuse_empty(key)
        about = {"subscriber": subscriber, "key": key, **vars(operator)}
        with self._connected(context) as (connection, sql):
            _release(connection, sql, about)
            first = connection.execute(sql["drop_first"], about).fetchone()
            if first is None:
                raise DeskError(f"nothing waits for {subscriber} {key!r} in {context}")
            if first_message and first[0] != first_message:
                raise DeskError(f"{first[0]} is the first that waits for {key!r} by now: nothing was done")
            if not even_if_old:
                _refuse_forgotten_events(connection, sql, about)
            about["message_id"] = first[0]
            _refuse_again(connection, sql, about, "skipped")
            connection.execute(sql["mark_letters_of_key"], {**about, "state": "discarded"})
            _audit(connection, sql, about, "skip", first[1])
        return str(first[0])

    def actions(self, context: str, *, limit: int, after: ActionPlace | None = None) -> Sequence[Mapping[str, Any]]:
        """What operators have done, the newest first, behind *after*."""
        place = dict(zip(("after_at", "after_id", "after_place"), after or (None, None, None), strict=True))
        with self._connected(context) as (connection, sql), connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(sql["actions"], {**place, "limit": limit})
            return [{"context": context, **row} for row in found]

    def _refuse_forgotten_arrival(self, letter: Letter) -> None:
        """Raises ForgottenError for what the door refused before the inbox of the context it is for began to know."""
        context = context_of(letter.name)
        if context in self._dsn and context != INGRESS:
            with self._connected(context) as (connection, sql):
                _refuse_before(connection, sql, f"letter {letter.address}", letter.died_at)

    @contextmanager
    def _acting(
        self, letter: Letter, operator: Operator, action: str, detail: str = ""
    ) -> Iterator[tuple[psycopg.Connection[Any], Mapping[str, SqlText], dict[str, Any]]]:
        """A transaction that has the letter to itself, and audits. Raises DeskError if it was given up already."""
        about = {**vars(letter), **vars(operator)}
        with self._connected(letter.context) as (connection, sql):
            row = connection.execute(sql["lock_letter"], about).fetchone()
            _refuse_repeated(connection, sql, about)
            if row is None or row[0] in ("edited", "discarded"):
                raise DeskError(f"letter {letter.address} is {row[0] if row else 'gone'}: nothing was done")
            about["state"] = row[0]
            yield connection, sql, about
            _audit(connection, sql, about, action, detail or letter.reason)

    @contextmanager
    def _connected(self, context: str) -> Iterator[tuple[psycopg.Connection[Any], Mapping[str, SqlText]]]:
        """A transaction in the database of one context."""
        if context not in self._dsn:
            raise DeskError(f"there is no context {context!r} with dead letters: there are {', '.join(self._dsn)}")
        with self._sessions(self._dsn[context]) as connection, translated():
            yield connection, load_for("operator_desk", context)


def _refuse_handled(letter: Letter, about: Mapping[str, Any], waiting: int) -> None:
    """Refuse what comes too late: the letter was retried, and its message is none of those *waiting* any more."""
    if about["state"] == RETRIED and not waiting:
        raise DeskError(f"letter {letter.address} was retried, and its message sent or handled: nothing was done")


def _refuse_empty(key: str) -> None:
    if not key:
        raise DeskError("an empty key is nobody's: expected the key of an aggregate instance")


def _refuse_forgotten(connection: psycopg.Connection[Any], sql: Mapping[str, SqlText], letter: Letter) -> None:
    """Raises ForgottenError if a letter's message may have been handled, and the inbox would not know."""
    what = f"letter {letter.address}"
    if letter.subscriber != COMMANDS:
        _refuse_before(connection, sql, what, letter.occurred_at or letter.died_at)
        _refuse_forgotten_events(connection, sql, vars(letter))
    elif not _is_there(connection, sql["waits"], vars(letter)):
        _refuse_before(connection, sql, what, letter.died_at)


def _refuse_forgotten_events(
    connection: psycopg.Connection[Any], sql: Mapping[str, SqlText], about: Mapping[str, Any]
) -> None:
    """Raises ForgottenError if events that wait for a key are older than what the inbox knows."""
    if about["subscriber"] != COMMANDS:
        oldest = _one(connection, sql["oldest_waiting"], about)
        if oldest is not None:
            _refuse_before(connection, sql, f"an event that waits for {about['key']!r}", oldest)


def _refuse_before(connection: psycopg.Connection[Any], sql: Mapping[str, SqlText], what: str, at: datetime) -> None:
    since = _one(connection, sql["known_since"], {})
    if since is None or at < since:
        raise ForgottenError(what, at, since)


def _is_there(connection: psycopg.Connection[Any], query: SqlText, about: Mapping[str, Any]) -> bool:
    return connection.execute(query, about).fetchone() is not None


def _one(connection: psycopg.Connection[Any], query: SqlText, about: Mapping[str, Any]) -> Any:
    """The one value of a statement; None if there is none."""
    row = connection.execute(query, about).fetchone()
    return row[0] if row else None


def _release(connection: psycopg.Connection[Any], sql: Mapping[str, SqlText], about: Mapping[str, Any]) -> None:
    released = connection.execute(sql["release_key"], about).rowcount
    _refuse_repeated(connection, sql, about)
    if not released:
        raise DeskError(f"{about['subscriber']} {about['key']!r} does not wait")


def _refuse_repeated(connection: psycopg.Connection[Any], sql: Mapping[str, SqlText], about: Mapping[str, Any]) -> None:
    """Raises DoneBeforeError if this request has been here; whoever calls has the letter or key to himself."""
    request_id, wanted = about["request_id"], {**about, "of_message": about.get("message_id")}
    if request_id and (done := _one(connection, sql["done_before"], wanted)) is not None:
        raise DoneBeforeError(request_id, done)


def _refuse_again(
    connection: psycopg.Connection[Any], sql: Mapping[str, SqlText], about: Mapping[str, Any], reason: str
) -> None:
    if about["subscriber"] == COMMANDS:
        connection.execute(sql["refuse_again"], {**about, "reason": reason})


def _audit(
    connection: psycopg.Connection[Any],
    sql: Mapping[str, SqlText],
    about: Mapping[str, Any],
    action: str,
    detail: str = "",
) -> None:
    connection.execute(sql["audit"], {"message_id": "", **about, "action": action, "detail": detail})
