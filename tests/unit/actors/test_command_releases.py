"""Released keys of commands: their hosts are asked, one key never holds up another, and nobody else is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.parking import CommandReleases
from spark_actors.actors.ports import Releases
from spark_actors.actors.tuning import PARKED_LOOK_SECONDS
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import KeyState
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.messaging.unit_of_work import COMMANDS
from spark_actors.persistence.memory import MemoryStore
from spark_actors.persistence.memory_parking import MemoryParkedEvents
from tests.fixtures.application import TABLES

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakeHosts:
    """AggregateActors that need two turns for each key; one of them may be away."""

    def __init__(self, away: str = "") -> None:
        self.asked: list[str] = []
        self.slots: list[int] = []
        self._away = away

    async def release(self, slot: Slot, context: str, keys: Sequence[str], at_once: int) -> list[str]:
        if keys == [self._away]:
            raise ActorUnavailableError(slot.name, "died")
        self.asked += keys
        self.slots.append(slot.number)
        return [key for key in keys if self.asked.count(key) < 2]


def releases(hosts: Releases, store: MemoryStore | None = None) -> CommandReleases:
    store = store or MemoryStore(TABLES["accounting"])
    for key, state in (("a", KeyState.RELEASED), ("b", KeyState.RELEASED), ("p", KeyState.PAUSED)):
        store.parked.set(COMMANDS, key, state, "a test", NOW)
    store.parked.set("dashboard", "d", KeyState.RELEASED, "a test", NOW)
    parking = MemoryParkedEvents(store.parked, store.letters, lambda: NOW)
    return CommandReleases(
        "accounting", parking, Placement(2, 100), hosts, clock=lambda: NOW, telemetry=lambda event: None
    )


def test_released_keys_are_worked_off_turn_about_and_others_are_left_alone() -> None:
    hosts = FakeHosts()
    steps = releases(hosts)
    assert [asyncio.run(steps.step()) for _ in range(2)] == [0, PARKED_LOOK_SECONDS]
    assert hosts.asked == ["a", "b", "a", "b"]


def test_a_host_that_is_away_holds_up_no_other_key() -> None:
    hosts = FakeHosts(away="a")
    asyncio.run(releases(hosts).step())
    assert hosts.asked == ["b"]


def test_a_released_key_is_worked_off_by_the_slot_that_has_it_now() -> None:
    hosts = FakeHosts()
    steps = releases(hosts)
    for placement, version in ((Placement(1, 100), 2), (Placement(64, 100), 1), (Placement(64, 100), 3)):
        steps.place(placement, version)
        asyncio.run(steps.step())
    later = [Placement(64, 100).slot_of("accounting", key).number for key in ("a", "b")]
    assert hosts.slots == [0, 0, 0, 0, *later]
    assert all(later)


class DyingHosts:
    """They die of one message that waits, among others or alone."""

    def __init__(self, store: MemoryStore, deadly: str) -> None:
        self.handled: list[str] = []
        self._store, self._deadly = store, deadly

    async def release(self, slot: Slot, context: str, keys: Sequence[str], at_once: int) -> list[str]:
        waiting = self._store.parked.messages[COMMANDS, keys[0]]
        names = [message.message_id for message in waiting[:at_once]]
        if self._deadly in names:
            raise ActorUnavailableError(slot.name, "died", has_died=True)
        self.handled += names
        del waiting[:at_once]
        return list(keys) if waiting else []


def test_a_released_command_that_kills_its_host_is_buried_again_and_those_before_it_are_handled() -> None:
    store = MemoryStore(TABLES["accounting"])
    hosts = DyingHosts(store, "m2")
    steps = releases(hosts, store)
    store.parked.set(COMMANDS, "b", KeyState.PAUSED, "a test", NOW)
    for number in range(4):
        message = Envelope(f"m{number}", "accounting.deposit", 1, "a", b"{}", "c", "", NOW)
        store.parked.add(COMMANDS, [message])
    for _ in range(20):
        asyncio.run(steps.step())
    assert hosts.handled == ["m0", "m1"]
    assert store.parked.keys[COMMANDS, "a"].state == KeyState.PARKED
    assert [message.message_id for message in store.parked.messages[COMMANDS, "a"]] == ["m2", "m3"]
    [letter] = store.letters.letters.values()
    assert (letter.message_id, letter.reason) == ("m2", "killed_its_process")
