"""Who sends a run's commands: producers who number from 1 each, and now and then use an id for two things."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from spark_actors.kernel.messages import Command
from spark_actors.messaging import cloudevents


@dataclass(frozen=True)
class Author:
    """Who sends a message, and from where. A message's id is its own only together with both."""

    sender: str
    source: str


AUTHORS = (Author("boot", "desk"), Author("teller", "desk"), Author("teller", "shop"), Author("robot", "desk"))
"""Of the producers, in their order: two with one sender, two with one source, no two with both."""


@dataclass(frozen=True)
class Message:
    """What a producer publishes, and after which pause."""

    pause_seconds: float
    label: str
    """What a run calls it: no two messages have the same one. A command carries it as its correlation id."""
    author: Author
    message_id: str
    """The id that the producer has given it; it may have given it to something else, too."""
    subject: str
    body: bytes
    copies: int = 1
    """How often the producer itself sends it, without being asked to."""

    @property
    def known_by(self) -> tuple[Author, str, str]:
        """The id with whose it is and for which context: of messages that have it in common only the first counts."""
        return self.author, self.message_id, self.subject.rpartition(".")[0]

    def asks_the_same_as(self, other: Message) -> bool:
        return self.subject == other.subject and _data(self) == _data(other)


def _data(message: Message) -> object:
    return json.loads(message.body)["data"]


class Crowd(ABC):
    """Draws the commands of one run."""

    junk_subject: str
    """Where somebody sends what nobody can read."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._numbers: dict[str, int] = {}

    @abstractmethod
    def _scene(self) -> Iterator[Command]:
        """What the first producer sends before the others begin, mostly."""

    @abstractmethod
    def _drawn(self) -> Command:
        """Any command of the others."""

    def stories(self) -> list[list[Message]]:
        """What each producer sends, in order; the first sets the scene."""
        count = self._random.randint(10, 40)
        rest = [self._drawn() for _ in range(count)]
        lanes = self._random.randint(1, 3)
        return [self._sent(0, list(self._scene())), *(self._sent(n + 1, rest[n::lanes]) for n in range(lanes))]

    def _sent(self, producer: int, commands: list[Command]) -> list[Message]:
        hurry = self._random.choice((0.01, 0.1, 0.3))
        messages: list[Message] = []
        for number, command in enumerate(commands, 1):
            is_reused = producer > 0 and number > 1 and self._random.random() < 1 / 15
            message_id = str(self._random.randrange(1, number) if is_reused else number)
            messages.append(self._message(producer, number, message_id, command, hurry))
        if self._random.random() < 0.2:
            junk = f"p{producer}-junk"
            messages.append(Message(0, junk, AUTHORS[producer], junk, self.junk_subject, b'{"id": NaN}'))
        return messages

    def _message(self, producer: int, number: int, message_id: str, command: Command, hurry: float) -> Message:
        label, author = f"p{producer}-{number}", AUTHORS[producer]
        body = cloudevents.command_body(
            command, message_id=message_id, source=author.source, correlation_id=label, why="a run"
        )
        copies = self._random.choices((1, 2), (9, 1))[0]
        pause = self._random.expovariate(1 / hurry)
        return Message(pause, label, author, message_id, cloudevents.command_subject(command.TYPE), body, copies)

    def _id(self, prefix: str, *, of: str = "") -> str:
        """A new id; one in twelve is used before, for the same kind of thing or for that of the prefix *of*."""
        last = self._numbers.get(prefix, 0)
        if self._random.random() < 1 / 12:
            known = self._random.choice([prefix, of] if of else [prefix])
            if used := self._numbers.get(known, 0):
                return f"{known}{self._random.randint(1, used)}"
        self._numbers[prefix] = last + 1
        return f"{prefix}{last + 1}"
