"""The dispatcher when the placement changes: a key's order survives it, and nobody waits but who must."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import pytest

from spark_actors.actors import tuning
from spark_actors.actors.dispatcher import Answered, Dispatcher
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.turn import LOCKED, MOVED
from spark_actors.kernel.back_off import BackOff
from spark_actors.kernel.decisions import DONE, Outcome, Verdict
from spark_actors.messaging.envelope import Envelope, Reply, pack, unpack_envelopes
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.messaging.tuning import DEADLY_DEATHS
from tests.unit.actors.test_dispatcher import NOW

SLOTS = {size: Placement(size, 10) for size in (1, 2, 3)}
"""By how many slots there are."""


def a_key(*slots: int, nth: int = 0) -> str:
    """A key that has the first of *slots* while there is one slot, the second while there are two, and so on."""
    found = (key for key in map(str, range(10_000)) if tuple(_slots_of(key))[: len(slots)] == slots)
    return [next(found) for _ in range(nth + 1)][-1]


def _slots_of(key: str) -> Iterator[int]:
    return (SLOTS[size].slot_of("accounting", key).number for size in (1, 2, 3))


STAYS, MOVES = a_key(0, 0, 0), a_key(0, 1, 1)


class Hosts:
    """AggregateActors by slot, which hang, are away, or know another placement when the test says so."""

    def __init__(self) -> None:
        self.done: dict[str, list[str]] = {}
        """Message ids by slot; each once, as with an inbox."""
        self.asked: list[tuple[str, int]] = []
        """Slots, and the versions by which they were asked."""
        self.away: dict[str, Exception] = {}
        self.locked: set[str] = set()
        self.known: dict[str, tuple[Placement, int]] = {}
        """What slots know that have learned of another placement."""
        self._gates: dict[str, asyncio.Event] = {}

    @contextmanager
    def hanging(self, slot: str) -> Iterator[asyncio.Event]:
        """Until the gate is set, or the block ends, this slot answers nothing; what it was asked is done then."""
        self._gates[slot] = gate = asyncio.Event()
        yield gate
        gate.set()

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        self.asked.append((slot.name, version))
        if slot.name in self._gates:
            await self._gates[slot.name].wait()
        if error := self.away.get(slot.name):
            raise error
        return pack([Reply.of(each.message_id, self._end(slot, each, version)) for each in unpack_envelopes(payload)])

    async def take_turn_alone(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        return await self.take_turn(slot, context, payload, version)

    async def bury(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        raise NotImplementedError

    def _end(self, slot: Slot, command: Envelope, version: int) -> Outcome:
        placement, known = self.known.get(slot.name, (SLOTS[1], 0))
        if version < known and placement.slot_of(command.context, command.key) != slot:
            return MOVED
        if command.key in self.locked:
            return LOCKED
        if command.message_id not in chain.from_iterable(self.done.values()):
            self.done.setdefault(slot.name, []).append(command.message_id)
        return DONE


class Sender:
    """A dispatcher, and who numbers what it posts."""

    def __init__(self, hosts: Hosts, slots: int = 1, *, max_commands: int = 100) -> None:
        self.dispatcher = Dispatcher(SLOTS[slots], hosts, max_commands=max_commands, telemetry=lambda event: None)
        self._posted = 0
        self._version = 0

    def post(self, *keys: str) -> asyncio.Future[list[Answered]]:
        commands = []
        for key in keys:
            commands.append(Envelope(f"m{self._posted}", "accounting.deposit", 1, key, b"{}", "c", "", NOW))
            self._posted += 1
        return self.dispatcher.post(commands)

    def place(self, slots: int) -> None:
        """There are so many slots from now on."""
        self._version += 1
        self.dispatcher.place(SLOTS[slots], self._version)

    @property
    def slots(self) -> set[str]:
        """Those that there are lanes to."""
        return {slot.name for slot, _ in self.dispatcher._lanes}


async def asked(hosts: Hosts, slot: str, times: int = 1) -> None:
    """Wait until a slot was asked so often."""
    while [name for name, _ in hosts.asked].count(slot) < times:
        await asyncio.sleep(0)


async def a_while() -> None:
    """Long enough for whatever waits for nothing."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "HOST_BACK_OFF", BackOff(0, 0))
    monkeypatch.setattr(tuning, "LOCKED_BACK_OFF", BackOff(0.001, 0.001))


@pytest.fixture
def play() -> Callable[[Coroutine[Any, Any, None]], None]:
    async def in_time(script: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(10):
            await script

    return lambda script: asyncio.run(in_time(script))


Play = Callable[[Coroutine[Any, Any, None]], None]


def test_a_key_that_moves_waits_for_its_old_slot_however_long_and_all_others_go_on(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts)
        with hosts.hanging("shared-0"):
            first = sender.post(MOVES)
            await asked(hosts, "shared-0")
            sender.place(2)
            held = sender.post(MOVES)
            others = sender.post(a_key(0, 1, 1, nth=1), a_key(0, 1, 1, nth=2))
            assert [reply.verdict for reply in await others if isinstance(reply, Reply)] == [Verdict.DONE] * 2
            held_too = sender.post(MOVES)
            await a_while()
            assert hosts.done == {"shared-1": ["m2", "m3"]}
        await asyncio.gather(first, held, held_too)
        assert hosts.done == {"shared-0": ["m0"], "shared-1": ["m2", "m3", "m1", "m4"]}

    play(script())


def test_what_is_queued_for_an_old_slot_and_was_not_sent_waits_for_nobody(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts)
        with hosts.hanging("shared-0"):
            first = sender.post(STAYS)
            await asked(hosts, "shared-0")
            queued = [sender.post(STAYS, MOVES, MOVES), sender.post(MOVES)]
            sender.place(2)
            await queued[1]
            assert hosts.done == {"shared-1": ["m2", "m3", "m4"]}
        await asyncio.gather(first, *queued)
        assert hosts.done["shared-0"] == ["m0", "m1"]

    play(script())


@pytest.mark.parametrize(
    ("key", "sizes", "at_last"),
    [(a_key(0, 1, 2), (2, 3), "shared-2"), (MOVES, (2, 1), "shared-0"), (MOVES, (2, 1, 2), "shared-1")],
)
def test_several_changes_while_an_old_slot_is_awaited_end_in_the_last_one(
    play: Play, key: str, sizes: tuple[int, ...], at_last: str
) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts)
        with hosts.hanging("shared-0"):
            posted = [sender.post(key)]
            await asked(hosts, "shared-0")
            for size in sizes:
                sender.place(size)
                posted.append(sender.post(key))
            await a_while()
            assert hosts.done == {}
        await asyncio.gather(*posted)
        done = [(message, slot) for slot, messages in hosts.done.items() for message in messages]
        assert done == [("m0", "shared-0"), *((f"m{number + 1}", at_last) for number in range(len(sizes)))]

    play(script())


def test_what_its_old_slot_may_have_done_goes_to_the_new_one_before_all_that_came_later(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts)
        hosts.away["shared-0"] = ActorUnavailableError("shared-0", "its node is gone")
        posted = [sender.post(MOVES, STAYS, MOVES), sender.post(MOVES)]
        await asked(hosts, "shared-0", times=3)
        sender.place(2)
        posted.append(sender.post(MOVES))
        await asyncio.gather(posted[1], posted[2])
        assert hosts.done == {"shared-1": ["m0", "m2", "m3", "m4"]}
        assert not posted[0].done()
        del hosts.away["shared-0"]
        await posted[0]
        assert hosts.done["shared-0"] == ["m1"]

    play(script())


def test_a_slot_that_is_gone_is_not_asked_any_more_and_its_lanes_end(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts, slots=3)
        keys = a_key(0, 1, 2), a_key(0, 0, 2), STAYS
        for _ in range(3):
            hosts.away["shared-2"] = ActorUnavailableError("shared-2", "away")
            asking = len(hosts.asked)
            posted = sender.post(*keys)
            while "shared-2" not in [slot for slot, _ in hosts.asked[asking:]]:
                await asyncio.sleep(0)
            sender.place(2)
            await posted
            await a_while()
            assert sender.slots <= {"shared-0", "shared-1"}
            hosts.away.clear()
            sender.place(3)
            await sender.post(*keys)
        await asyncio.sleep(0)
        sender.place(1)
        await a_while()
        assert sender.slots == {"shared-0"}

    play(script())


def test_what_a_host_sends_on_waits_for_a_newer_placement_before_all_that_comes_later(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts)
        hosts.known["shared-0"] = SLOTS[2], 1
        with hosts.hanging("shared-0"):
            sent_on = sender.post(MOVES, STAYS, MOVES)
            await asked(hosts, "shared-0")
            later = sender.post(MOVES)
        await sender.post(STAYS)
        await a_while()
        assert hosts.done == {"shared-0": ["m1", "m4"]}
        assert {version for _, version in hosts.asked} == {0}
        assert len(hosts.asked) <= 3  # nothing is sent again by what is known to be old
        sender.place(2)
        await asyncio.gather(sent_on, later)
        assert hosts.done["shared-1"] == ["m0", "m2", "m3"]
        assert hosts.asked[-1] == ("shared-1", 1)

    play(script())


def test_what_a_host_sends_on_by_a_placement_that_has_come_meanwhile_waits_for_no_other(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts)
        hosts.known["shared-0"] = SLOTS[2], 1
        with hosts.hanging("shared-0"):
            first = sender.post(MOVES)
            await asked(hosts, "shared-0")
            sender.place(2)
            second = sender.post(MOVES)
        await asyncio.gather(first, second)
        assert hosts.done == {"shared-1": ["m0", "m1"]}

    play(script())


def test_another_version_of_the_same_placement_lets_go_on_what_was_sent_on(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts)
        hosts.known["shared-0"] = SLOTS[2], 1
        posted = sender.post(MOVES)
        await a_while()
        hosts.known.clear()
        sender.place(1)  # it has moved back before this sender has heard of it at all
        await posted
        assert hosts.done == {"shared-0": ["m0"]}

    play(script())


def test_a_locked_key_moves_with_all_that_waits_for_it(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        hosts.locked.add(MOVES)
        sender = Sender(hosts)
        answers = await sender.post(MOVES, MOVES)
        with hosts.hanging("shared-0"):
            await asked(hosts, "shared-0", times=2)  # it is being tried again
            queued = sender.post(MOVES)
            sender.place(2)
            later = sender.post(MOVES)
            await a_while()
            assert hosts.done == {}
        for posted in (queued, later):
            answers += await posted
        hosts.locked.clear()
        await asyncio.gather(*(answer for answer in answers if isinstance(answer, asyncio.Future)))
        assert hosts.done == {"shared-1": ["m0", "m1", "m2", "m3"]}
        assert sender.slots == {"shared-0", "shared-1"}

    play(script())


def test_a_locked_key_that_is_not_being_tried_moves_at_once(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "LOCKED_BACK_OFF", BackOff(0.05, 0.05))

    async def script() -> None:
        hosts = Hosts()
        hosts.locked.add(MOVES)
        sender = Sender(hosts)
        answers = await sender.post(MOVES)
        hosts.locked.clear()
        sender.place(2)
        answers += await sender.post(MOVES)
        await asyncio.gather(*(answer for answer in answers if isinstance(answer, asyncio.Future)))
        assert hosts.done == {"shared-1": ["m0", "m1"]}

    play(script())


def test_what_is_left_of_a_batch_that_is_cut_in_halves_is_not_sent_to_an_old_slot(play: Play) -> None:
    class Dying(Hosts):
        async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
            if slot.name == "shared-0" and len(unpack_envelopes(payload)) > 2:
                self.asked.append((slot.name, version))
                raise ActorUnavailableError(slot.name, "died", has_died=True)
            return await super().take_turn(slot, context, payload, version)

    async def script() -> None:
        hosts = Dying()
        sender = Sender(hosts)
        with hosts.hanging("shared-0"):
            posted = sender.post(STAYS, MOVES, MOVES, STAYS)
            await asked(hosts, "shared-0", times=DEADLY_DEATHS + 1)  # the first half
            sender.place(2)
            later = sender.post(MOVES)
        await asyncio.gather(posted, later)
        assert hosts.done == {"shared-0": ["m0", "m1", "m3"], "shared-1": ["m2", "m4"]}

    play(script())


def test_an_older_placement_changes_nothing(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts)
        sender.dispatcher.place(SLOTS[2], 7)
        sender.dispatcher.place(SLOTS[1], 7)
        sender.dispatcher.place(SLOTS[1], 6)
        await sender.post(MOVES)
        assert (hosts.done, hosts.asked) == ({"shared-1": ["m0"]}, [("shared-1", 7)])

    play(script())


def test_an_instance_that_gets_an_actor_of_its_own_moves_like_any_other(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts)
        with hosts.hanging("shared-0"):
            first = sender.post(STAYS)
            await asked(hosts, "shared-0")
            sender.dispatcher.place(Placement(1, 10, dedicated_instances=(f"accounting:{STAYS}",)), 1)
            second = sender.post(STAYS)
            sender.dispatcher.place(Placement(1, 10, {"accounting": 1}), 2)
            third = sender.post(STAYS)
        await asyncio.gather(first, second, third)
        assert hosts.done == {"shared-0": ["m0"], "dedicated-accounting-0": ["m1", "m2"]}

    play(script())


def test_closing_cancels_those_who_wait_for_a_key_that_moves(play: Play) -> None:
    async def script() -> None:
        hosts = Hosts()
        sender = Sender(hosts)
        with hosts.hanging("shared-0"):
            posted = [sender.post(MOVES)]
            await asked(hosts, "shared-0")
            sender.place(2)
            posted.append(sender.post(MOVES))
            await sender.dispatcher.close()
            assert [each.cancelled() for each in posted] == [True, True]
            sender.place(3)
            await a_while()
        assert hosts.done == {}

    play(script())
