"""Released keys of commands: their hosts are asked, one key never holds up another, and nobody else is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from domain.shared.ports import COMMANDS
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.parking import LOOK_SECONDS, CommandReleases
from spark_actors.messaging.ports import KeyState
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.persistence.memory import MemoryStore
from spark_actors.persistence.memory_parking import MemoryParkedEvents

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakeHosts:
    """AggregateActors that need two turns for each key; one of them may be away."""

    def __init__(self, away: str = "") -> None:
        self.asked: list[str] = []
        self._away = away

    async def release(self, slot: Slot, context: str, keys: Sequence[str]) -> list[str]:
        if keys == [self._away]:
            raise ActorUnavailableError(slot.name, "died")
        self.asked += keys
        return [key for key in keys if self.asked.count(key) < 2]


def releases(hosts: FakeHosts) -> CommandReleases:
    store = MemoryStore()
    for key, state in (("a", KeyState.RELEASED), ("b", KeyState.RELEASED), ("p", KeyState.PAUSED)):
        store.parked.set(COMMANDS, key, state, "a test", NOW)
    store.parked.set("dashboard", "d", KeyState.RELEASED, "a test", NOW)
    parking = MemoryParkedEvents(store.parked, store.letters, lambda: NOW)
    return CommandReleases("accounting", parking, Placement(2, 100), hosts)


def test_released_keys_are_worked_off_turn_about_and_others_are_left_alone() -> None:
    hosts = FakeHosts()
    steps = releases(hosts)
    assert [asyncio.run(steps.step()) for _ in range(2)] == [0, LOOK_SECONDS]
    assert hosts.asked == ["a", "b", "a", "b"]


def test_a_host_that_is_away_holds_up_no_other_key() -> None:
    hosts = FakeHosts(away="a")
    asyncio.run(releases(hosts).step())
    assert hosts.asked == ["b"]
