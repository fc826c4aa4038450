"""What happened in a run: a timeline to read, the facts that the checkers ask for, and what was found wrong at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from spark_actors.kernel.decisions import Outcome
from spark_actors.kernel.sagas import SagaProgress
from spark_actors.messaging.envelope import Envelope

if TYPE_CHECKING:
    from tests.simulation.crowd import Message


@dataclass(frozen=True)
class Entry:
    """One line of the timeline."""

    at: float
    actor: str
    what: str
    correlation_id: str = ""

    def __str__(self) -> str:
        return f"{self.at:10.4f}  {self.actor:34}  {self.what}" + (
            f"  [{self.correlation_id}]" if self.correlation_id else ""
        )


@dataclass(frozen=True)
class Committed:
    """A transaction of an AggregateActor: what was handled, how it ended, and what was announced."""

    context: str
    marks: Sequence[tuple[Envelope, Outcome]]
    events: Sequence[Envelope]


class Onlooker:
    """Told of what people can see of a run, as soon as they can; what is wrong with it comes back in words."""

    def committed(self, commit: Committed) -> Iterable[str]:
        """An AggregateActor's transaction."""
        return ()

    def tracked(self, progress: Sequence[SagaProgress]) -> Iterable[str]:
        """Progress of sagas that is in their log now."""
        return ()

    def shown(self, before: Any, now: Any) -> Iterable[str]:
        """A row of a read model as it was (None: it was not there) and as it is."""
        return ()

    def answered(self, label: str, body: bytes) -> Iterable[str]:
        """What the sender of a message was told."""
        return ()


def name_of(envelope: Envelope) -> tuple[str, str]:
    """What a run calls a command: its message id alone may have been used for several."""
    return envelope.message_id, envelope.correlation_id


def label_of(envelope: Envelope) -> str:
    """Of a command that a producer has sent: the label of its message; of one that follows from an event: empty."""
    return "" if envelope.causation_id else envelope.correlation_id


@dataclass
class History:
    """Filled by the stand-ins while a run goes on."""

    time: Callable[[], float]
    timeline: list[Entry] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    onlooker: Onlooker = field(default_factory=lambda: Onlooker())
    sent: dict[str, Message] = field(default_factory=dict)
    """What producers have published, by label."""
    replies: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """What was answered, by label."""
    commands: dict[tuple[str, str], Envelope] = field(default_factory=dict)
    """Every command that an AggregateActor was ever handed, by its message id and its story's."""
    commits: list[Committed] = field(default_factory=list)
    taken: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """Subscriber and key of the source -> ids of its events in the order in which they were first taken."""
    taken_by: set[tuple[str, str]] = field(default_factory=set)
    """Subscriber and message id."""
    posted: dict[tuple[str, str], dict[tuple[str, str], int]] = field(default_factory=lambda: defaultdict(dict))
    """Sender (one life of it) and instance -> the commands (message id and story's) in the order in which it first
    posted them, and how many transactions there had been by then."""

    def note(self, actor: str, what: str, correlation_id: str = "") -> None:
        self.timeline.append(Entry(self.time(), actor, what, correlation_id))

    def accuse(self, violation: str) -> None:
        """Something that must never happen has happened."""
        self.note("checker", f"VIOLATION: {violation}")
        if violation not in self.violations:
            self.violations.append(violation)

    def look(self, wrong: Iterable[str]) -> None:
        """Accuse of what the onlooker has found wrong."""
        for violation in wrong:
            self.accuse(violation)

    def took(self, subscriber: str, envelope: Envelope) -> None:
        """*subscriber* has durably done its part of an event."""
        if (subscriber, envelope.message_id) not in self.taken_by:
            self.taken_by.add((subscriber, envelope.message_id))
            self.taken[subscriber, f"{envelope.context}:{envelope.key}"].append(envelope.message_id)

    def post(self, sender: str, envelope: Envelope) -> None:
        posted = self.posted[sender, f"{envelope.context}:{envelope.key}"]
        posted.setdefault(name_of(envelope), len(self.commits))

    def digest(self) -> str:
        """The same for two runs in which exactly the same happened at the same times."""
        lines = "\n".join(map(str, self.timeline))
        return sha256(lines.encode()).hexdigest()[:16]
