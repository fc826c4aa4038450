"""How often, and how, a turn is attempted: the retry policy of an AggregateActor. Pure; the actor carries it out.

What the store says when an attempt is to be committed, and what comes next (`after_refusal`):

    it says            | of commands as they come                        | of a released key's, which wait already
    -------------------+-------------------------------------------------+----------------------------------------
    DuplicateMessage   | ASK_INBOX which were handled, decide the others | the same
    StaleVersion       | ASK_PARKING which keys still wait, decide anew  | the same
    KeyParked          | ASK_BOTH, decide anew                           | STAY_PARKED: an operator has stopped it
    RowLocked          | LEAVE_OUT the locked keys: time-out of a lock   | HAND_BACK
    StorageUnavailable | HAND_BACK: the caller backs off and retries     | the same
    Constraint         | REFUSE those who break a rule, by the domain's  | the same
                       | answer to it; ISOLATE if none is found          |
    anything else      | ISOLATE                                         | the same

There is no back-off between attempts: each begins with what the store has answered meanwhile. After the last one the
commands are handed back (OUT_OF_ATTEMPTS). Whatever else goes wrong, in a look-up or a decision, isolates too.

To isolate is to find the one command that something is wrong with (`isolation`): HALVE the commands until it is alone;
then the inbox is asked whether it was done after all, since the answer to a commit may be lost (idempotency). If not,
REFUSE_ALONE, if the domain has an answer to the rule that it breaks, else GIVE_UP: it becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple

from spark_actors.actors import tuning
from spark_actors.actors.turn import LOCKED
from spark_actors.kernel.decisions import Outcome
from spark_actors.kernel.errors import (
    ConstraintError,
    DuplicateMessageError,
    KeyParkedError,
    RowLockedError,
    StaleVersionError,
    StorageUnavailableError,
)
from spark_actors.messaging.envelope import Envelope, content_digest


class Next(Enum):
    """What comes after an attempt that has failed."""

    HAND_BACK = auto()
    OUT_OF_ATTEMPTS = auto()
    ASK_INBOX = auto()
    ASK_PARKING = auto()
    ASK_BOTH = auto()
    STAY_PARKED = auto()
    LEAVE_OUT = auto()
    REFUSE = auto()
    ISOLATE = auto()
    HALVE = auto()
    REFUSE_ALONE = auto()
    GIVE_UP = auto()


class _Said(NamedTuple):
    """What the store has said."""

    reason: str
    """As metrics name it."""
    of_coming: Next
    of_released: Next


_SAID: Mapping[type[Exception], _Said] = MappingProxyType(
    {
        DuplicateMessageError: _Said("duplicate_message", Next.ASK_INBOX, Next.ASK_INBOX),
        StaleVersionError: _Said("stale_version", Next.ASK_PARKING, Next.ASK_PARKING),
        KeyParkedError: _Said("key_parked", Next.ASK_BOTH, Next.STAY_PARKED),
        RowLockedError: _Said("row_locked", Next.LEAVE_OUT, Next.HAND_BACK),
        StorageUnavailableError: _Said("unavailable", Next.HAND_BACK, Next.HAND_BACK),
        ConstraintError: _Said("constraint", Next.REFUSE, Next.REFUSE),
        Exception: _Said("raised", Next.ISOLATE, Next.ISOLATE),
    }
)
_RETRIES = (Next.ASK_INBOX, Next.ASK_PARKING, Next.ASK_BOTH)


class Attempt(NamedTuple):
    """Commands that are to be committed together, of which no two have the same id, and what is known of them."""

    commands: Sequence[Envelope]
    number: int = 0
    """How many attempts at these same commands there were before."""
    known: Mapping[str, Outcome] = MappingProxyType({})
    """How those ended that had been handled before, by message id."""
    parked: frozenset[str] = frozenset()
    """Keys that must wait."""
    refused: Mapping[str, str] = MappingProxyType({})
    """The rule by which the store has refused a command, by message id: the domain's answer to it decides."""
    is_last: bool = False
    """Whether this is one command alone, to be refused by the domain, behind which there is only giving up."""

    @property
    def pending(self) -> list[Envelope]:
        """What is to be decided."""
        return [command for command in self.commands if command.message_id not in self.known]

    def again(
        self,
        *,
        known: Mapping[str, Outcome] = MappingProxyType({}),
        parked: frozenset[str] | None = None,
        refused: Mapping[str, str] = MappingProxyType({}),
    ) -> Attempt:
        """The next attempt at the same commands, with what was found out since."""
        return self._replace(
            number=self.number + 1,
            known={**self.known, **known},
            parked=self.parked if parked is None else parked,
            refused={**self.refused, **refused},
        )

    def halves(self) -> list[Attempt]:
        """The first and the second half, each to be attempted as if there had been nothing before."""
        middle = len(self.commands) // 2
        return [Attempt(self.commands[:middle]), Attempt(self.commands[middle:])]

    def halves_of_keys(self) -> list[Attempt]:
        """What is pending, parted so that the commands of each key stay together."""
        keys = keys_of(self.pending)
        second, first = parted(self.pending, frozenset(keys[: len(keys) // 2]))
        return [Attempt(first), Attempt(second)]

    def alone(self, rule: str) -> Attempt:
        """The last attempt: the command is refused by the domain's answer to *rule*."""
        return Attempt(self.commands, refused={each.message_id: rule for each in self.commands}, is_last=True)


@dataclass
class Ended:
    """How commands ended, by message id, once that is committed."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    """Those that had been handled before, or wait since."""
    locked: set[str] = field(default_factory=set)
    """Keys on which somebody else holds a lock: their commands are answered LOCKED, whatever attempt they are in."""

    def add(self, outcomes: Mapping[str, Outcome], known: Collection[str] = ()) -> None:
        self.outcomes.update(outcomes)
        self.known.update(known)

    def without_locked(self, attempt: Attempt) -> Attempt:
        """The attempt without the commands of locked keys, which end here."""
        if not self.locked:
            return attempt
        others, left_out = parted(attempt.commands, self.locked)
        self.add({command.message_id: LOCKED for command in left_out})
        return attempt._replace(commands=others)


def after_refusal(
    error: Exception, attempt: Attempt, offenders: Collection[str], most: int, *, is_released: bool
) -> Next:
    """What comes next when the store has refused to commit *attempt*, of *most* that there may be (see above).

    *offenders* are the commands of it that break a rule to which the domain has an answer it has not given yet.
    """
    said = _said(error)
    step = said.of_released if is_released else said.of_coming
    if step is Next.REFUSE:
        return step if offenders and attempt.number < min(tuning.REFUSAL_PASSES, most - 1) else Next.ISOLATE
    return Next.OUT_OF_ATTEMPTS if step in _RETRIES and attempt.number >= most - 1 else step


def isolation(error: Exception, attempt: Attempt, answered: Collection[str]) -> Next:
    """How to find, and end, the command that something is wrong with; *answered* are the rules that the domain knows.

    Gives HAND_BACK, HALVE, REFUSE_ALONE or GIVE_UP.
    """
    if isinstance(error, StorageUnavailableError):
        return Next.HAND_BACK
    if len(attempt.commands) > 1:
        return Next.HALVE
    is_answered = isinstance(error, ConstraintError) and error.constraint in answered
    return Next.REFUSE_ALONE if is_answered and not attempt.is_last else Next.GIVE_UP


def retry_reason(error: Exception) -> str:
    """Why a turn is attempted again, as metrics name it."""
    return _said(error).reason


def failure_reason(error: Exception) -> str:
    """Why a command is given up, as its dead letter says it."""
    if isinstance(error, ConstraintError):
        return f"store_refused_{error.constraint}"
    return f"turn_raised_{type(error).__name__}"


def _said(error: Exception) -> _Said:
    return next(_SAID[cls] for cls in type(error).__mro__ if cls in _SAID)


def keys_of(commands: Iterable[Envelope]) -> list[str]:
    """Each once, in the order in which they come."""
    return list(dict.fromkeys(command.key for command in commands))


def parted(commands: Sequence[Envelope], keys: Collection[str]) -> tuple[Sequence[Envelope], Sequence[Envelope]]:
    """Those of other keys, and those of *keys*; both in order."""
    if not keys:
        return commands, ()
    mine = [command for command in commands if command.key in keys]
    return [command for command in commands if command.key not in keys], mine


def distinct(commands: Sequence[Envelope]) -> tuple[list[Envelope], dict[int, Envelope]]:
    """The first of each message id, in order; and by place those that ask for something else under an id of these.

    What stands twice in a batch is handled once.
    """
    first: dict[str, Envelope] = {}
    others: dict[int, Envelope] = {}
    for place, command in enumerate(commands):
        known = first.setdefault(command.message_id, command)
        if known is not command and content_digest(known) != content_digest(command):
            others[place] = command
    return list(first.values()), others
