"""What happened in a run: a timeline to read, the facts that the checkers ask for, and what was found wrong at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from domain.shared.decisions import Outcome
from spark_actors.messaging.envelope import Envelope


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
    """A transaction of an AggregateActor: who was marked as handled, how, and what was announced."""

    context: str
    marks: Sequence[tuple[str, Outcome]]
    events: Sequence[Envelope]


@dataclass
class History:
    """Filled by the stand-ins while a run goes on."""

    time: Callable[[], float]
    timeline: list[Entry] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    sent: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Message id -> subject and body of what producers have published."""
    replies: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    commands: dict[str, Envelope] = field(default_factory=dict)
    """Every command that an AggregateActor was ever handed, by message id."""
    commits: list[Committed] = field(default_factory=list)
    taken: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """Subscriber and key of the source -> ids of its events in the order in which they were first taken."""
    taken_by: set[tuple[str, str]] = field(default_factory=set)
    """Subscriber and message id."""
    posted: dict[tuple[str, str], dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    """Sender (one life of it) and instance -> ids of the commands in the order in which it first posted them, and how
    many transactions there had been by then."""

    def note(self, actor: str, what: str, correlation_id: str = "") -> None:
        self.timeline.append(Entry(self.time(), actor, what, correlation_id))

    def accuse(self, violation: str) -> None:
        """Something that must never happen has happened."""
        self.note("checker", f"VIOLATION: {violation}")
        if violation not in self.violations:
            self.violations.append(violation)

    def took(self, subscriber: str, envelope: Envelope) -> None:
        """*subscriber* has durably done its part of an event."""
        if (subscriber, envelope.message_id) not in self.taken_by:
            self.taken_by.add((subscriber, envelope.message_id))
            self.taken[subscriber, f"{envelope.context}:{envelope.key}"].append(envelope.message_id)

    def post(self, sender: str, envelope: Envelope) -> None:
        posted = self.posted[sender, f"{envelope.context}:{envelope.key}"]
        posted.setdefault(envelope.message_id, len(self.commits))

    def digest(self) -> str:
        """The same for two runs in which exactly the same happened at the same times."""
        lines = "\n".join(map(str, self.timeline))
        return sha256(lines.encode()).hexdigest()[:16]
