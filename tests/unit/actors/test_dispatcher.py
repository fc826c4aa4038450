"""The dispatcher: order, one batch in flight per host, and nothing given up while its fate is unknown."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from spark_actors.actors import tuning
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.turn import LOCKED
from spark_actors.kernel.back_off import BackOff
from spark_actors.kernel.decisions import DONE, Verdict
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.messaging.envelope import Envelope, Reply, pack, unpack_envelopes
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.messaging.tuning import DEADLY_DEATHS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_command(number: int, key: str = "alice", context: str = "accounting") -> Envelope:
    return Envelope(f"m{number}", f"{context}.deposit", 1, key, b"{}", "c", "", NOW)


class FakeHosts:
    """Hosts that answer when told to; *script* may raise for a call."""

    def __init__(self, script: Callable[[int], Exception | None] = lambda call: None) -> None:
        self.batches: list[list[str]] = []
        self.buried: list[str] = []
        self.running = 0
        self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._script = script
        self._calls = 0

    async def take_turn_alone(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        return await self.take_turn(slot, context, payload, version)

    async def bury(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        self.buried += [command.message_id for command in unpack_envelopes(payload)]
        return pack([Reply(name, Verdict.FAILED, "killed_its_process") for name in self.buried[-1:]])

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        self._calls += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            if error := self._script(self._calls):
                raise error
            commands = unpack_envelopes(payload)
            self.batches.append([command.message_id for command in commands])
            return pack([Reply(command.message_id, Verdict.DONE) for command in commands])
        finally:
            self.running -= 1


class LockedHosts(FakeHosts):
    """Hosts that cannot do the commands of some keys, because somebody else has locked their rows."""

    def __init__(self, *locked: str) -> None:
        super().__init__()
        self.locked = set(locked)

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        commands = unpack_envelopes(payload)
        done = [command for command in commands if command.key not in self.locked]
        self.batches.append([command.message_id for command in done])
        return pack([Reply.of(each.message_id, DONE if each in done else LOCKED) for each in commands])

    @property
    def done(self) -> list[str]:
        return [message for batch in self.batches for message in batch]


def a_dispatcher(hosts: FakeHosts, *, actors: int = 1, max_commands: int = 100) -> Dispatcher:
    return Dispatcher(Placement(actors, 10), hosts, max_commands=max_commands, telemetry=lambda event: None)


async def settled(hosts: FakeHosts, running: int) -> None:
    while hosts.running != running:
        await asyncio.sleep(0)


def test_what_comes_while_a_batch_is_in_flight_makes_up_the_next_one() -> None:
    async def play() -> FakeHosts:
        hosts = FakeHosts()
        hosts.gate.clear()
        dispatcher = a_dispatcher(hosts)
        sent = [dispatcher.post([a_command(0)])]
        await settled(hosts, running=1)
        sent += [dispatcher.post([a_command(number)]) for number in range(1, 6)]
        hosts.gate.set()
        await asyncio.gather(*sent)
        return hosts

    hosts = asyncio.run(play())
    assert hosts.batches == [["m0"], ["m1", "m2", "m3", "m4", "m5"]]
    assert hosts.most_running == 1


def test_commands_of_two_contexts_under_one_id_are_two_commands_with_an_answer_each() -> None:
    class Rejecting(FakeHosts):
        async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
            verdict = Verdict.REJECTED if context == "crowdfunding" else Verdict.DONE
            return pack([Reply(command.message_id, verdict) for command in unpack_envelopes(payload)])

    commands = [a_command(1), a_command(1, context="crowdfunding"), a_command(2)]
    replies = asyncio.run(a_dispatcher(Rejecting()).send(commands))
    assert [reply.verdict for reply in replies] == [Verdict.DONE, Verdict.REJECTED, Verdict.DONE]


def test_replies_come_in_the_order_of_the_commands_whichever_host_answered() -> None:
    async def play() -> list[Reply]:
        return await a_dispatcher(FakeHosts(), actors=3).send([a_command(n, key=f"key-{n}") for n in range(20)])

    assert [reply.message_id for reply in asyncio.run(play())] == [f"m{n}" for n in range(20)]


def test_a_large_send_is_split_into_turns_in_order() -> None:
    async def play() -> FakeHosts:
        hosts = FakeHosts()
        await a_dispatcher(hosts, max_commands=2).send([a_command(n) for n in range(5)])
        return hosts

    assert asyncio.run(play()).batches == [["m0", "m1"], ["m2", "m3"], ["m4"]]


@pytest.mark.parametrize("error", [ActorUnavailableError("host", "died"), StorageUnavailableError("away")])
def test_a_batch_whose_fate_is_unknown_is_sent_again_before_anything_else(error: Exception) -> None:
    async def play() -> FakeHosts:
        hosts = FakeHosts(lambda call: error if call <= 2 else None)
        dispatcher = a_dispatcher(hosts)
        await asyncio.gather(dispatcher.send([a_command(0)]), dispatcher.send([a_command(1)]))
        return hosts

    batches = asyncio.run(play()).batches
    assert [message for batch in batches for message in batch] == ["m0", "m1"]


class DyingHosts(FakeHosts):
    """They die of the messages named *deadly*, in whatever batch they are."""

    def __init__(self, deadly: str, *, is_sure: bool = True) -> None:
        super().__init__()
        self.deaths: Counter[int] = Counter()
        self._deadly, self._is_sure = deadly, is_sure

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        commands = unpack_envelopes(payload)
        if self._deadly in {command.message_id for command in commands}:
            self.deaths[len(commands)] += 1
            raise ActorUnavailableError(slot.name, "died", has_died=self._is_sure)
        return await super().take_turn(slot, context, payload, version)


def test_a_command_that_kills_its_host_is_found_by_halves_and_buried_and_all_others_go_on_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuning, "HOST_BACK_OFF", BackOff(0, 0))
    hosts = DyingHosts("m5")

    async def play() -> list[Reply]:
        lane = a_dispatcher(hosts)
        first = lane.send([a_command(number) for number in range(8)])
        later = lane.send([a_command(8)])
        return [reply for replies in await asyncio.gather(first, later) for reply in replies]

    replies = asyncio.run(play())
    assert [reply.message_id for reply in replies] == [f"m{number}" for number in range(9)]
    assert {reply.message_id: reply.verdict for reply in replies if reply.verdict is not Verdict.DONE} == {
        "m5": Verdict.FAILED
    }
    assert [message for batch in hosts.batches for message in batch] == ["m0", "m1", "m2", "m3", "m4", "m6", "m7", "m8"]
    assert hosts.buried == ["m5"]
    assert hosts.deaths == {9: DEADLY_DEATHS, 5: DEADLY_DEATHS, 2: DEADLY_DEATHS, 1: 2 * DEADLY_DEATHS}


def test_a_host_that_is_only_away_buries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "HOST_BACK_OFF", BackOff(0, 0))
    hosts = DyingHosts("m0", is_sure=False)

    async def play() -> None:
        lane = a_dispatcher(hosts)
        asking = lane.post([a_command(0)])
        while hosts.deaths[1] < 10 * DEADLY_DEATHS:
            await asyncio.sleep(0)
        await lane.close()
        asking.cancel()

    asyncio.run(play())
    assert hosts.buried == []


def test_a_bug_at_the_host_is_told_to_its_sender_and_the_lane_goes_on() -> None:
    async def play() -> list[Reply]:
        dispatcher = a_dispatcher(FakeHosts(lambda call: KeyError("bug") if call == 1 else None))
        with pytest.raises(KeyError):
            await dispatcher.send([a_command(0)])
        return await dispatcher.send([a_command(1)])

    assert [reply.message_id for reply in asyncio.run(play())] == ["m1"]


def test_a_locked_key_waits_in_order_and_all_others_go_on() -> None:
    async def play() -> LockedHosts:
        hosts = LockedHosts("bob")
        dispatcher = a_dispatcher(hosts, max_commands=3)
        mixed = [a_command(number, key=key) for number, key in enumerate(["bob", "ann", "bob", "cid"])]
        answers = await dispatcher.post(mixed)
        late = await dispatcher.post([a_command(4, key="bob"), a_command(5, key="ann")])
        assert [isinstance(answer, Reply) for answer in [*answers, *late]] == [False, True, False, True, False, True]
        assert hosts.done == ["m1", "m3", "m5"]
        hosts.locked.clear()
        waited = [answer for answer in [*answers, *late] if isinstance(answer, asyncio.Future)]
        assert [(reply.message_id, reply.verdict) for reply in await asyncio.gather(*waited)] == [
            (f"m{number}", Verdict.DONE) for number in (0, 2, 4)
        ]
        return hosts

    assert asyncio.run(play()).done == ["m1", "m3", "m5", "m0", "m2", "m4"]


def test_a_locked_key_is_tried_again_ever_more_slowly() -> None:
    async def play() -> float:
        hosts = LockedHosts("bob")
        dispatcher = a_dispatcher(hosts)
        loop = asyncio.get_running_loop()
        await dispatcher.post([a_command(number, key="bob") for number in range(5)])
        begin = loop.time()
        number = 5
        while hosts.batches.count([]) < 4:  # what comes for others meanwhile makes no more of it
            await dispatcher.post([a_command(number := number + 1, key="ann")])
            await asyncio.sleep(0.001)
        await dispatcher.close()
        return loop.time() - begin

    assert asyncio.run(play()) > 0.3  # 0.05 + 0.1 + 0.2 seconds


def test_who_sends_what_is_locked_is_told_so_and_hears_of_it_when_he_asks_again() -> None:
    async def play() -> tuple[list[Verdict], LockedHosts]:
        hosts = LockedHosts("bob")
        dispatcher = a_dispatcher(hosts)
        verdicts = [(await dispatcher.send([a_command(1, key="bob")]))[0].verdict for _ in range(3)]
        hosts.locked.clear()
        while verdicts[-1] is Verdict.LOCKED:
            verdicts.append((await dispatcher.send([a_command(1, key="bob")]))[0].verdict)
            await asyncio.sleep(0)
        return verdicts, hosts

    verdicts, hosts = asyncio.run(play())
    assert set(verdicts[:3]) == {Verdict.LOCKED}
    assert verdicts[-1] is Verdict.DONE
    assert next(batch for batch in hosts.batches if batch) == ["m1"]  # asked for three times, it waited once


def test_closing_ends_the_waiting_for_locked_keys() -> None:
    async def play() -> None:
        dispatcher = a_dispatcher(LockedHosts("bob"))
        (answer,) = await dispatcher.post([a_command(1, key="bob")])
        await dispatcher.close()
        assert isinstance(answer, asyncio.Future)
        assert answer.cancelled()

    asyncio.run(play())


def test_closing_cancels_those_who_wait() -> None:
    async def play() -> None:
        hosts = FakeHosts()
        hosts.gate.clear()
        dispatcher = a_dispatcher(hosts)
        waiting = dispatcher.post([a_command(0)])
        await settled(hosts, running=1)
        await dispatcher.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(play())
