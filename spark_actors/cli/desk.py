"""The desk of operators as commands use it: on the tables where these are known, or else over the broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spark_actors.cli.daemon import Target, known_dsns
from spark_actors.cli.errors import CliError, NoDaemonError, UsageMistakeError
from spark_actors.cli.vocabulary import application

if TYPE_CHECKING:
    from spark_actors.cli.acting import Acting
    from spark_actors.kernel.messages import Query
    from spark_actors.operations import messages as of
    from spark_actors.operations.acts import ActOnKey, ActOnLetters
    from spark_actors.operations.desk import Desk as TablesDesk
    from spark_actors.persistence.operator_desk import Operator


IF_OLD = "once you have looked whether it has, add --even-if-old"
"""The way out for what is refused because it is old."""
ANSWER_SECONDS = 20.0
"""So long the desk at the broker may take: it sends letters to the door again, and waits for how they end."""


class Desk(Protocol):
    """What operators look at and do. Raises SparkError: a refusal, or that nobody can be asked."""

    def ask(self, question: Query) -> Any:
        """The answer to a query of `operations`; None: there is no such thing."""

    def act(self, action: ActOnLetters) -> Iterator[of.LetterResult]:
        """Act on letters, all that match, and tell of each how it went."""

    def act_on_key(self, action: ActOnKey) -> of.KeyActed:
        """Act on one key."""


@dataclass(frozen=True)
class DeskAtTables:
    """The desk where the databases are known; the daemon need not run."""

    target: Target
    dsn: Mapping[str, str]
    who: str
    """Who acts."""
    outcome_seconds: float
    """How long is waited for how a letter ended that was sent to the door again."""

    @cached_property
    def _desk(self) -> TablesDesk:
        from spark_actors.operations.desk import Desk as TablesDesk

        return TablesDesk(self.target.application(), self.dsn)

    def ask(self, question: Query) -> Any:
        return self._desk.answer(question)

    def act(self, action: ActOnLetters) -> Iterator[of.LetterResult]:
        return self._desk.acts.each(action, self._actor)

    def act_on_key(self, action: ActOnKey) -> of.KeyActed:
        return self._desk.acts.on_key(action, self._actor)

    @property
    def _actor(self) -> Any:
        from spark_actors.operations.acts import Actor

        return Actor(self.who, self._resend)

    def _resend(self, subject: str, body: bytes) -> str:
        """With the token of whoever acts here, not of whoever sent it first. No bucket goes with it: the one that it
        came with may be why it was refused."""
        from spark_actors.messaging.cloudevents import parted
        from spark_actors.operations.acts import told

        short, _ = parted(subject)
        return told(self.target.talk(lambda client: client.send_raw(short, body, timeout=self.outcome_seconds)))


@dataclass(frozen=True)
class DeskAtBroker:
    """The desk that a running daemon has at its broker; who acts is what the token says."""

    target: Target
    acting: Acting

    def ask(self, question: Query) -> Any:
        import msgspec

        from spark_actors.ingress.client import ViewRefusedError

        try:
            view = self.target.talk(lambda client: client.view(question, timeout=ANSWER_SECONDS), self.acting)
        except ViewRefusedError as error:
            if error.code == "not_found":
                return None
            raise
        return msgspec.convert(view, type=type(question).RESULT)

    def act(self, action: ActOnLetters) -> Iterator[of.LetterResult]:
        """Request by request, until nothing is left."""
        left: ActOnLetters | None = action
        while left is not None:
            answer: of.LettersActed = self.ask(left)
            yield from answer.results
            if answer.stopped and not answer.results:
                raise CliError(answer.stopped)
            left = _left(left, answer)

    def act_on_key(self, action: ActOnKey) -> of.KeyActed:
        acted: of.KeyActed = self.ask(action)
        return acted


def desk_of(target: Target, token_file: Path | None = None, *, by: str | None = None, timeout: float = 10.0) -> Desk:
    """The desk on the tables of the daemon or of the settings; over the broker with a token, or without the tables.

    *by* is who acts on the tables; *timeout* as `outcome_seconds`. Raises NoDaemonError if neither the tables nor a
    broker is known.
    """
    from getpass import getuser

    from spark_actors.cli.acting import who_acts

    missing = None
    if token_file is None:
        try:
            return DeskAtTables(target, _all_dsns(target), (by or getuser()).strip(), timeout)
        except NoDaemonError as error:
            missing = error
    if missing and not target.settings().nats.url:
        raise missing
    if by:
        raise UsageMistakeError("--by: over the broker who acts is what the token says")
    return DeskAtBroker(target, who_acts(target.place, token_file))


def listed(desk: Desk, question: Any, lines: str, limit: int, *, at_once: int = 200) -> list[Any]:
    """At most *limit* lines of a list, page by page; *lines* is their field in the answer."""
    found: list[Any] = []
    while True:
        answer = desk.ask(replace(question, limit=min(at_once, limit - len(found))))
        found += getattr(answer, lines)
        if not answer.next or len(found) >= limit:
            return found
        question = replace(question, after=answer.next)


def check_context(context: str | None, *, has_keys: bool = False) -> None:
    """Raises UsageMistakeError for a context without dead letters, or without keys that could wait."""
    from spark_actors.messaging.ports import INGRESS

    writing = [each.name for each in application().writing]
    known = writing if has_keys else [*writing, INGRESS]
    if context is not None and context not in known:
        raise UsageMistakeError(f"expected a context of {', '.join(known)}, got {context!r}")


def looked_at(dsns: Mapping[str, str]) -> dict[str, str]:
    """Those in which something may wait for an operator: the contexts with aggregates, and the ingress."""
    from spark_actors.messaging.ports import INGRESS

    names = (*(each.name for each in application().writing), INGRESS)
    return {name: dsns[name] for name in names if name in dsns}


def operator_of(by: str | None, why: str) -> Operator:
    """Who acts on the tables: who is logged in, unless another name is given. Raises UsageMistakeError."""
    from getpass import getuser

    from spark_actors.persistence.operator_desk import Operator

    return Operator((by or getuser()).strip(), reason_of(why))


def reason_of(why: str) -> str:
    """Why somebody acts. Raises UsageMistakeError without a word."""
    if not why.strip():
        raise UsageMistakeError("--why must say something: it is what the next one on call will read")
    return why.strip()


def _all_dsns(target: Target) -> Mapping[str, str]:
    """Raises NoDaemonError if the database of one context is not known."""
    dsns = known_dsns(target)
    if unknown := [name for name in target.application().schemas if name not in dsns]:
        raise NoDaemonError(f"the database of {unknown[0]} is not known here: set postgres.dsn")
    return dsns


def _left(action: ActOnLetters, answer: of.LettersActed) -> ActOnLetters | None:
    """What of *action* is still to be done; None if nothing is."""
    from spark_actors.operations.messages import DiscardLetters, EditLetter, RetryLetters

    if isinstance(action, EditLetter):
        return None
    if isinstance(action, (RetryLetters, DiscardLetters)):
        done = {result.letter_id for result in answer.results}
        left = tuple(number for number in action.letter_ids if number not in done)
        return replace(action, letter_ids=left) if left else None
    return replace(action, after=answer.next) if answer.next else None
