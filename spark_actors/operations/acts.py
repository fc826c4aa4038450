"""What the desk does: to letters and to keys, each in a transaction of its own that remembers who did it, and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias
from uuid import uuid4

from spark_actors.application import Application
from spark_actors.ingress.client import Answer, ClientError, OutcomeUnknownError
from spark_actors.messaging.identity import FORBIDDEN, UNAUTHENTICATED
from spark_actors.messaging.ports import INGRESS, KEPT_IN_PART
from spark_actors.messaging.unit_of_work import COMMANDS
from spark_actors.operations import messages as of
from spark_actors.operations.editing import edited, edited_event
from spark_actors.operations.paging import Line, line_of
from spark_actors.persistence.operator_desk import (
    RETRIED,
    DeskError,
    DoneBeforeError,
    Letter,
    LetterFilter,
    Operator,
    OperatorDesk,
)

ActOnLetters: TypeAlias = (
    of.RetryLetters | of.RetryMatchingLetters | of.DiscardLetters | of.DiscardMatchingLetters | of.EditLetter
)
ActOnKey: TypeAlias = of.PauseKey | of.ResumeKey | of.SkipKey
Matching: TypeAlias = of.RetryMatchingLetters | of.DiscardMatchingLetters
Resend: TypeAlias = Callable[[str, bytes], str]
"""Sends a message on a subject to the door again; how it ended.

Raises OutcomeUnknownError if the queue has it and no more is known yet; whatever else it raises, the queue has it not.
"""


class NoSuchLetterError(DeskError):
    """No letter has this number."""

    code = "not_found"


@dataclass(frozen=True)
class Actor:
    """Who acts, and by whose right the door is asked again."""

    name: str
    resend: Resend = field(repr=False)


class _Found(NamedTuple):
    """Letters to act on, the oldest first."""

    letters: Sequence[Letter]
    has_more: bool = False


class Acts:
    """Does what actions of `operations` ask. Raises DeskError, StorageError, and what a `Resend` does."""

    def __init__(self, application: Application, letters: OperatorDesk) -> None:
        self._application, self._letters = application, letters

    def each(self, action: ActOnLetters, actor: Actor) -> Iterator[of.LetterResult]:
        """Act on all letters that *action* names or matches, and tell of each how it went.

        One that is refused (DeskError) stops none. Anything else, such as a broker or database that is away, would
        befall the others too, and ends it.
        """
        while True:
            found = self._found(action)
            for letter in found.letters:
                yield self._acted(letter, action, actor)
            if not (found.has_more and isinstance(action, Matching)):
                return
            action = replace(action, after=_line(found.letters[-1]).text)

    def some(self, action: ActOnLetters, actor: Actor, seconds: float) -> of.LettersActed:
        """The same for as many as one answer takes and *seconds* allow; what ends it is told."""
        found, results, stopped = self._found(action), list[of.LetterResult](), ""
        deadline = time.monotonic() + seconds
        for letter in found.letters:
            if time.monotonic() > deadline:
                stopped = f"{len(results)} in {seconds:g} s; ask again for the rest"
                break
            try:
                results.append(self._acted(letter, action, actor))
            except OutcomeUnknownError as error:
                results.append(_result(letter, code="unknown_outcome", problem=str(error)))
            except ClientError as error:
                stopped = f"{letter.address}: {error}"
                break
        following = ""
        if isinstance(action, Matching) and (found.has_more or stopped):
            following = _line(found.letters[len(results) - 1]).text if results else action.after
        return of.LettersActed(tuple(results), following, stopped)

    def on_key(self, action: ActOnKey, actor: Actor) -> of.KeyActed:
        """Act on one key. Done before under the same request, it is told as it was."""
        if action.context not in (names := [each.name for each in self._application.writing]):
            raise DeskError(f"context: expected one of {', '.join(names)}, got {action.context!r}")
        skipped = ""
        try:
            skipped = self._done_to_key(action, Operator(actor.name, action.why.strip(), action.request_id))
        except DoneBeforeError as done:
            skipped = done.message_id if isinstance(action, of.SkipKey) else ""
        state = "paused" if isinstance(action, of.PauseKey) else "released"
        return of.KeyActed(action.context, action.subscriber, action.instance, state, skipped)

    def _done_to_key(self, action: ActOnKey, operator: Operator) -> str:
        """The id of the message that was given up; empty if none was."""
        place = (action.context, action.subscriber, action.instance)
        if isinstance(action, of.PauseKey):
            self._refuse_unknown_subscriber(action)
            self._letters.pause(*place, operator)
        elif isinstance(action, of.ResumeKey):
            self._letters.resume(*place, operator, even_if_old=action.is_even_if_old)
        else:
            return self._letters.skip(
                *place, operator, even_if_old=action.is_even_if_old, first_message=action.first_message
            )
        return ""

    def _refuse_unknown_subscriber(self, action: of.PauseKey) -> None:
        """Raises DeskError if nobody would ever ask for the key."""
        known = (COMMANDS, *takers(self._application, action.context))
        if action.subscriber not in known:
            raise DeskError(f"subscriber: expected one of {', '.join(known)}, got {action.subscriber!r}")

    def _found(self, action: ActOnLetters) -> _Found:
        """What *action* is about. Raises NoSuchLetterError, or DeskError for too many."""
        bodies = action.context == INGRESS or isinstance(action, of.EditLetter)
        if isinstance(action, Matching):
            after = line_of(action.after, int)
            letters = self._letters.letters(
                action.context,
                _waiting(action),
                limit=action.limit + 1,
                after=(after.at, after.rest[0]) if after else None,
                has_bodies=bodies,
                oldest_first=True,
            )
            return _Found(letters[: action.limit], has_more=len(letters) > action.limit)
        numbers = [action.letter_id] if isinstance(action, of.EditLetter) else sorted(set(action.letter_ids))
        if len(numbers) > of.LETTERS_AT_ONCE:
            raise DeskError(f"letter_ids: expected at most {of.LETTERS_AT_ONCE}, got {len(numbers)}")
        found = self._letters.letters(
            action.context,
            LetterFilter(letter_ids=numbers),
            limit=len(numbers),
            has_bodies=bodies,
            oldest_first=True,
        )
        if missing := sorted(set(numbers) - {letter.letter_id for letter in found}):
            raise NoSuchLetterError(f"there is no dead letter {action.context}/{missing[0]}")
        return _Found(found)

    def _acted(self, letter: Letter, action: ActOnLetters, actor: Actor) -> of.LetterResult:
        operator = Operator(actor.name, action.why.strip(), action.request_id)
        try:
            if isinstance(action, of.EditLetter):
                return _result(letter, self._edited(letter, action, operator, actor.resend))
            if isinstance(action, (of.RetryLetters, of.RetryMatchingLetters)):
                return _result(letter, self._retried(letter, action, operator, actor.resend))
            self._letters.discard(letter, operator)
            return _result(letter, "discarded")
        except DoneBeforeError:
            return _result(letter, "done before")
        except DeskError as error:
            return _result(letter, code=error.code, problem=str(error))

    def _retried(
        self,
        letter: Letter,
        action: of.RetryLetters | of.RetryMatchingLetters,
        operator: Operator,
        resend: Resend,
    ) -> str:
        is_at_door = letter.context == INGRESS
        if is_at_door and KEPT_IN_PART in letter.reason:
            raise DeskError(
                f"{letter.address} was kept only in part: whoever has it whole can send it, or edit all of its content"
            )
        is_open = False
        try:
            is_open = self._letters.retry(letter, operator, even_if_old=action.is_even_if_old)
        except DoneBeforeError:  # whether it was sent is not known; sent once more it ends as it did
            if not is_at_door or letter.state != RETRIED:
                raise
        if is_at_door:
            return self._sent_again(letter, operator, letter.body, resend)
        return "released" if is_open else "handled before"

    def _edited(self, letter: Letter, action: of.EditLetter, operator: Operator, resend: Resend) -> str:
        registry, changes = self._application.registry, action.changes or {}
        if letter.context == INGRESS:
            new_id, body = edited_event(registry, letter, changes, action.content, operator.why)
            try:
                self._letters.edit(letter, operator, new_id=new_id, data=body, version=letter.version)
            except DoneBeforeError:
                if letter.edited_into != new_id:
                    raise
            return self._sent_again(letter, operator, body, resend)
        new_id = str(uuid4())
        version, content = edited(registry, letter, changes, action.content)
        self._letters.edit(letter, operator, new_id=new_id, data=content, version=version)
        return f"edited into {new_id}"

    def _sent_again(self, letter: Letter, operator: Operator, body: bytes, resend: Resend) -> str:
        """How the message ended that was sent to the door again; if it could not be sent, its letter waits on."""
        try:
            return resend(letter.name, body)
        except OutcomeUnknownError:
            raise  # the queue keeps it
        except BaseException as error:  # also when somebody interrupts it
            self._letters.put_back(letter, operator, str(error) or "interrupted")
            raise


def told(answer: Answer) -> str:
    """How a message ended that was sent to the door again. Raises DeskError if its sender may not send it."""
    if answer.reason in (UNAUTHENTICATED, FORBIDDEN):  # the door keeps no letter of that
        raise DeskError(f"{answer.reason}: {answer.data.get('detail', '')}")
    return f"{answer.outcome.value} {answer.reason}".strip()


def takers(application: Application, context: str) -> list[str]:
    """Who takes events of a context."""
    return [
        each.name
        for each in application.bounded_contexts
        if any(event.TYPE.context == context for event in each.subscriptions)
    ]


def _waiting(action: Matching) -> LetterFilter:
    return LetterFilter(
        state="waiting",
        cause=action.cause or None,
        reason=action.reason or None,
        name=action.name or None,
        key=action.instance or None,
        subscriber=action.subscriber or None,
        since=action.since,
        up_to=action.up_to,
        died_until=action.died_until,
    )


def _line(letter: Letter) -> Line:
    return Line(letter.died_at, letter.context, (letter.letter_id,))


def _result(letter: Letter, result: str = "", *, code: str = "", problem: str = "") -> of.LetterResult:
    return of.LetterResult(letter.context, letter.letter_id, letter.message_id, result, code, problem)
