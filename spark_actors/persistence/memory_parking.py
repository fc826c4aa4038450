"""Parked keys, what waits for them, and dead letters in memory, for unit tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from spark_actors.kernel.errors import KeyParkedError, StaleVersionError
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import Clock, DeadLetter, KeyState, ParkedKey, ParkedSummary, Revision
from spark_actors.messaging.unit_of_work import COMMANDS


class MemoryDeadLetters:
    """Port `DeadLetters`."""

    def __init__(self) -> None:
        self.letters: dict[tuple[str, str, bytes], DeadLetter] = {}

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        self.add(letters)

    def add(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            self.letters.setdefault((letter.message_id, letter.subscriber, letter.body), letter)

    async def count(self) -> int:
        return len(self.letters)

    async def newest(self, limit: int) -> list[DeadLetter]:
        """The letters that came last, newest first."""
        return sorted(self.letters.values(), key=lambda letter: letter.died_at, reverse=True)[:limit]


@dataclass(frozen=True)
class ParkedKeyRow:
    """A key whose messages wait, with all that its row holds."""

    state: str
    reason: str
    since: datetime
    by: str


class ParkedRows:
    """The tables of parked keys and messages of one context, by subscriber and key."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], ParkedKeyRow] = {}
        self.messages: defaultdict[tuple[str, str], list[Envelope]] = defaultdict(list)

    def park(self, letter: DeadLetter) -> None:
        name = (letter.subscriber, letter.key)
        if name not in self.keys or self.keys[name].state != KeyState.PAUSED:
            self.keys[name] = ParkedKeyRow(KeyState.PARKED, letter.reason, letter.died_at, "daemon")

    def add(self, subscriber: str, messages: Sequence[Envelope]) -> None:
        for message in messages:
            waiting = self.messages[subscriber, message.key]
            if message.message_id not in {one.message_id for one in waiting}:
                waiting.append(message)

    def refuse_free(self, subscriber: str, keys: Iterable[str]) -> None:
        if free := [key for key in keys if (subscriber, key) not in self.keys]:
            raise StaleVersionError(f"key {free[0]} must not wait")

    def refuse_unreleased(self, subscriber: str, key: str) -> None:
        parked = self.keys.get((subscriber, key))
        if parked is None or parked.state != KeyState.RELEASED:
            raise KeyParkedError(f"key {key} is not released")

    def take_out(self, subscriber: str, key: str, message_ids: Collection[str]) -> None:
        waiting = self.messages[subscriber, key]
        waiting[:] = [message for message in waiting if message.message_id not in message_ids]

    def close(self, subscriber: str, key: str) -> bool:
        """Free a released key for which nothing waits; whether it was."""
        parked = self.keys.get((subscriber, key))
        if parked is None or parked.state != KeyState.RELEASED or self.messages[subscriber, key]:
            return False
        del self.keys[subscriber, key], self.messages[subscriber, key]
        return True

    def set(self, subscriber: str, key: str, state: KeyState, reason: str, at: datetime, by: str = "operator") -> None:
        """What an operator does."""
        self.keys[subscriber, key] = ParkedKeyRow(state, reason, at, by)


class MemoryParkedEvents:
    """Port `ParkedEvents`."""

    def __init__(self, rows: ParkedRows, dead_letters: MemoryDeadLetters, clock: Clock) -> None:
        self._rows, self._dead_letters, self._clock = rows, dead_letters, clock

    async def keys(self) -> Sequence[ParkedKey]:
        return [ParkedKey(*name, row.state) for name, row in sorted(self._rows.keys.items())]

    async def revision(self) -> Revision:
        keys = await self.keys()
        return Revision(len(keys), hash(tuple(keys)))

    async def released(self, limit: int) -> Sequence[str]:
        return [
            key
            for (subscriber, key), row in self._rows.keys.items()
            if subscriber == COMMANDS and row.state == KeyState.RELEASED
        ][:limit]

    async def bury(self, letter: DeadLetter, envelope: Envelope) -> None:
        self._dead_letters.add([letter])
        self._rows.park(letter)
        self._rows.add(letter.subscriber, [envelope])

    async def park(self, subscriber: str, envelopes: Sequence[Envelope]) -> None:
        self._rows.refuse_free(subscriber, [envelope.key for envelope in envelopes])
        self._rows.add(subscriber, envelopes)

    async def waiting(self, subscriber: str, key: str, limit: int) -> Sequence[Envelope]:
        return self._rows.messages.get((subscriber, key), [])[:limit]

    async def take_out(self, subscriber: str, message_ids: Sequence[str]) -> None:
        for name, key in list(self._rows.messages):
            if name == subscriber:
                self._rows.take_out(name, key, message_ids)

    async def close(self, subscriber: str, key: str) -> bool:
        self._rows.refuse_unreleased(subscriber, key)
        return self._rows.close(subscriber, key)

    async def summary(self) -> Sequence[ParkedSummary]:
        groups: defaultdict[tuple[str, str, str], list[datetime]] = defaultdict(list)
        for (subscriber, _), row in self._rows.keys.items():
            groups[subscriber, row.state, row.reason.partition(":")[0]].append(row.since)
        now = self._clock()
        return [
            ParkedSummary(*group, len(since), max(timedelta(), now - min(since))) for group, since in groups.items()
        ]
