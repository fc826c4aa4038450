"""The relay as a whole, on a store in memory: events reach their subscribers, then leave."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from domain.accounting.account import Account
from domain.accounting.messages import Deposited, Purpose
from spark_actors.actors import tuning
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.lane_runner import RelayLimits
from spark_actors.actors.ports import RelayPorts
from spark_actors.actors.supervisor import OutboxRelay
from spark_actors.kernel.back_off import BackOff
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.messages import MessageRegistry
from spark_actors.messaging.envelope import Delivery, Envelope, Receipt, encode_data, pack, unpack_envelopes
from spark_actors.messaging.ports import KeyState
from spark_actors.messaging.retry import RetryPolicy
from spark_actors.messaging.routing import Subscriptions
from spark_actors.persistence.memory import MemoryMissedEvents, MemoryOutboxReader, MemoryStore, MemoryUnitOfWork
from spark_actors.persistence.memory_parking import MemoryDeadLetters
from tests.fixtures.application import CONTEXTS, TABLES

REGISTRY = MessageRegistry(message for context in CONTEXTS for message in context.messages)


class FakeSubscribers:
    """ContextActors that answer as told; behind an event that was not taken none of its key is."""

    def __init__(self) -> None:
        self.taken: defaultdict[str, list[str]] = defaultdict(list)
        self.answer: Callable[[str, str], Receipt] = lambda subscriber, message_id: Receipt.TAKEN
        self.errors: list[Exception] = []
        self.away: set[str] = set()
        self.hanging: set[str] = set()
        self.stuck: set[str] = set()
        """Those of *hanging* that have a batch in hand."""
        self.released = asyncio.Event()
        self.deadly = ""
        """The message that ends whoever has it in hand."""

    async def take_events(self, subscriber: str, payload: bytes, *, alone: bool = False) -> bytes:
        if self.errors:
            raise self.errors.pop()
        if subscriber in self.away:
            raise StorageUnavailableError("its database is away")
        if subscriber in self.hanging:
            self.stuck.add(subscriber)
            await self.released.wait()
        if self.deadly in [envelope.message_id for envelope in unpack_envelopes(payload)]:
            raise ActorUnavailableError(subscriber, "died", has_died=True)
        deliveries, stopped = [], set[str]()
        for envelope in unpack_envelopes(payload):
            receipt = Receipt.RETRY if envelope.key in stopped else self.answer(subscriber, envelope.message_id)
            if receipt is Receipt.TAKEN:
                self.taken[subscriber].append(envelope.message_id)
            else:
                stopped.add(envelope.key)
            deliveries.append(Delivery(envelope.message_id, receipt, "because"))
        return pack(deliveries)


class NoHints:
    """Every hint gets lost."""

    async def wait(self, timeout: timedelta) -> bool:
        await asyncio.sleep(3600)
        return False


class Scene:
    def __init__(self, *, in_flight: int = 100, first_retry_seconds: float = 0.001, poll_seconds: float = 0.01) -> None:
        self.store = MemoryStore(TABLES["accounting"])
        self.letters = MemoryDeadLetters()
        self.subscribers = FakeSubscribers()
        self.clock_is_off_by = timedelta()
        self.outbox = MemoryOutboxReader(self.store, self.letters)
        self.relay = OutboxRelay(
            "accounting",
            RelayPorts(
                self.outbox,
                NoHints(),
                self.subscribers,
                clock=lambda: datetime.now(UTC) + self.clock_is_off_by,
                telemetry=lambda event: None,
            ),
            Subscriptions(CONTEXTS, REGISTRY),
            limits=RelayLimits(batch=10, in_flight=in_flight, poll_seconds=poll_seconds, patience={}),
            policy=RetryPolicy(3, BackOff(first_retry_seconds, 2 * first_retry_seconds)),
        )

    def add(self, *names: str, purpose: str = "") -> None:
        """Events of the instance that their name begins with; those of an invoice are for bitcoin, too."""
        uow: MemoryUnitOfWork[Account] = MemoryUnitOfWork(self.store)
        with uow:
            uow.outbox.add([an_event(name, purpose) for name in names])
            uow.commit()

    async def run_until(self, condition: Callable[[], bool]) -> None:
        self.relay.start()
        await until(condition)
        await self.relay.stop()

    @property
    def waiting(self) -> list[str]:
        """What waits for the key `a` at the dashboard."""
        return [message.message_id for message in self.store.parked.messages.get(("dashboard", "a"), [])]

    async def is_empty(self) -> bool:
        return not await self.outbox.pending(skip=(), limit=1)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def an_event(name: str, purpose: str) -> Envelope:
    event = Deposited(account_id=name[0], deposit_id=name, amount_sat=1, balance_sat=1, purpose=purpose)
    now = datetime.now(UTC)
    return Envelope(name, event.TYPE.name, 1, event.key, encode_data(event), "story", "cause", now, 1)


def test_events_reach_their_subscribers_in_order_and_leave_though_every_hint_is_lost() -> None:
    async def play() -> tuple[list[str], bool]:
        scene = Scene()
        names = [f"{key}{number}" for number in range(12) for key in "ab"]
        scene.add(*names)
        await scene.run_until(lambda: len(scene.subscribers.taken["dashboard"]) == len(names))
        assert scene.subscribers.taken["dashboard"] == names
        return names, await scene.is_empty()

    assert asyncio.run(play())[1]


def test_a_subscriber_that_is_away_gets_everything_later() -> None:
    async def play() -> list[str]:
        scene = Scene()
        scene.subscribers.errors = [ActorUnavailableError("dashboard", "died"), StorageUnavailableError("away")]
        scene.add("a1", "a2")
        await scene.run_until(lambda: len(scene.subscribers.taken["dashboard"]) == 2)
        return scene.subscribers.taken["dashboard"]

    assert asyncio.run(play()) == ["a1", "a2"]


def test_poison_parks_its_key_and_everything_else_flows() -> None:
    async def play() -> tuple[Scene, list[str]]:
        scene = Scene()
        scene.subscribers.answer = lambda _, message_id: Receipt.RETRY if message_id == "a1" else Receipt.TAKEN
        scene.add("a1", "b1", "a2", "b2")
        await scene.run_until(lambda: scene.waiting == ["a1", "a2"] and not scene.store.outbox)
        return scene, [letter.message_id for letter in await scene.letters.newest(9)]

    scene, buried = asyncio.run(play())
    assert buried == ["a1"]
    assert scene.subscribers.taken["dashboard"] == ["b1", "b2"]


def test_a_released_key_is_handed_over_in_order_and_new_events_follow_behind() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.subscribers.answer = lambda _, message_id: Receipt.POISON if message_id == "a1" else Receipt.TAKEN
        scene.add("a1", "a2")
        scene.relay.start()
        await until(lambda: scene.waiting == ["a1", "a2"])
        scene.subscribers.answer = lambda _, message_id: Receipt.TAKEN
        scene.add("a3")
        await until(lambda: scene.waiting == ["a1", "a2", "a3"])
        scene.store.parked.set("dashboard", "a", KeyState.RELEASED, "mended", datetime.now(UTC))
        scene.add("a4")
        await until(lambda: len(scene.subscribers.taken["dashboard"]) == 4)
        scene.add("a5")
        await until(lambda: len(scene.subscribers.taken["dashboard"]) == 5)
        await scene.relay.stop()
        return scene

    scene = asyncio.run(play())
    assert scene.subscribers.taken["dashboard"] == ["a1", "a2", "a3", "a4", "a5"]
    assert scene.store.parked.keys == {}


def test_a_relay_that_starts_anew_knows_which_keys_are_parked() -> None:
    async def play() -> list[str]:
        scene = Scene()
        scene.store.parked.set("dashboard", "a", KeyState.PAUSED, "a test", datetime.now(UTC))
        scene.add("a1", "b1")
        await scene.run_until(lambda: scene.waiting == ["a1"] and not scene.store.outbox)
        return scene.subscribers.taken["dashboard"]

    assert asyncio.run(play()) == ["b1"]


def test_a_key_that_is_freed_while_its_rows_are_parked_frees_no_key_of_another_subscriber(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuning, "PARKED_LOOK_SECONDS", 3600)  # that it is freed shows only when its rows are refused

    async def play() -> Scene:
        scene = Scene()
        for subscriber, key in (("bitcoin", "b"), ("dashboard", "a")):
            scene.store.parked.set(subscriber, key, KeyState.PAUSED, "a test", datetime.now(UTC))
        scene.add("a1", "b1", purpose=Purpose.INVOICE)
        scene.relay.start()
        await until(lambda: scene.waiting == ["a1"] and not scene.store.outbox)
        del scene.store.parked.keys["bitcoin", "b"], scene.store.parked.messages["bitcoin", "b"]
        scene.add("b2", purpose=Purpose.INVOICE)
        await until(lambda: "b2" in scene.subscribers.taken["bitcoin"])
        scene.add("a2", purpose=Purpose.INVOICE)
        await until(lambda: "a2" in scene.subscribers.taken["bitcoin"] and not scene.store.outbox)
        await scene.relay.stop()
        return scene

    scene = asyncio.run(play())
    assert scene.waiting == ["a1", "a2"]
    assert scene.subscribers.taken["dashboard"] == ["b1", "b2"]


def test_a_released_key_that_fails_again_is_parked_again() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.subscribers.answer = lambda _, message_id: Receipt.POISON if message_id == "a2" else Receipt.TAKEN
        scene.store.parked.set("dashboard", "a", KeyState.PAUSED, "a test", datetime.now(UTC))
        scene.add("a1", "a2", "a3")
        scene.relay.start()
        await until(lambda: len(scene.waiting) == 3)
        scene.store.parked.set("dashboard", "a", KeyState.RELEASED, "mended", datetime.now(UTC))
        await until(lambda: scene.store.parked.keys["dashboard", "a"].state == KeyState.PARKED)
        await scene.relay.stop()
        return scene

    scene = asyncio.run(play())
    assert scene.subscribers.taken["dashboard"] == ["a1"]
    assert scene.waiting == ["a2", "a3"]


def test_more_events_than_may_be_in_hand_pass_all_the_same() -> None:
    async def play() -> int:
        scene = Scene(in_flight=10)
        scene.add(*[f"a{number}" for number in range(100)])
        await scene.run_until(lambda: len(scene.subscribers.taken["dashboard"]) == 100)
        return len(scene.subscribers.taken["dashboard"])

    assert asyncio.run(play()) == 100


def test_a_bug_at_a_subscriber_stops_nothing_for_good() -> None:
    async def play() -> list[str]:
        scene = Scene()
        scene.subscribers.errors = [KeyError("a bug")]
        scene.add("a1", "a2")
        await scene.run_until(lambda: len(scene.subscribers.taken["dashboard"]) == 2)
        return scene.subscribers.taken["dashboard"]

    assert asyncio.run(play()) == ["a1", "a2"]


def test_a_poisoned_key_with_more_events_than_may_be_in_hand_starves_no_other() -> None:
    async def play() -> int:
        scene = Scene(in_flight=10)
        scene.subscribers.answer = lambda _, message_id: Receipt.RETRY if message_id[0] == "p" else Receipt.TAKEN
        scene.add(*[f"p{number}" for number in range(20)], *[f"b{number}" for number in range(5)])
        await scene.run_until(lambda: len(scene.subscribers.taken["dashboard"]) == 5)
        return len(await scene.letters.newest(100))

    assert asyncio.run(play()) < 20


def test_a_clock_that_is_set_back_delays_no_retry() -> None:
    async def play() -> list[str]:
        scene = Scene(first_retry_seconds=0.05)
        refused: list[str] = []

        def refuse_once(subscriber: str, _: str) -> Receipt:
            if subscriber != "dashboard" or refused:
                return Receipt.TAKEN
            refused.append(subscriber)
            return Receipt.RETRY

        def is_taken() -> bool:
            if refused:
                scene.clock_is_off_by = timedelta(hours=-1)
            return bool(scene.subscribers.taken["dashboard"])

        scene.subscribers.answer = refuse_once
        scene.add("a1")
        await scene.run_until(is_taken)
        return scene.subscribers.taken["dashboard"]

    assert asyncio.run(play()) == ["a1"]


def test_while_one_is_away_the_others_get_everything_and_it_does_later_in_order() -> None:
    async def play() -> Scene:
        scene = Scene(in_flight=10)
        names = [f"{key}{number:03}" for number in range(300) for key in "ab"]
        scene.subscribers.away.add("dashboard")
        scene.add(*names, purpose=Purpose.INVOICE)
        scene.relay.start()
        await until(lambda: not scene.store.outbox)
        assert scene.subscribers.taken["bitcoin"] == names
        assert scene.subscribers.taken["dashboard"] == []
        assert list(scene.store.missed["dashboard"].values())
        scene.subscribers.away.clear()
        scene.add("c000")
        await until(lambda: len(scene.subscribers.taken["dashboard"]) == len(names) + 1)
        await until(lambda: not scene.store.missed["dashboard"])
        scene.add("d000")
        await until(lambda: "d000" in scene.subscribers.taken["dashboard"])
        await until(lambda: not scene.store.outbox)
        await scene.relay.stop()
        assert scene.subscribers.taken["dashboard"] == [*names, "c000", "d000"]
        return scene

    assert not asyncio.run(play()).store.missed["dashboard"]


def test_what_cannot_be_kept_for_a_subscriber_stays_in_the_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(self: MemoryMissedEvents, subscriber: str, positions: Sequence[int]) -> None:
        raise StorageUnavailableError("no room")

    async def play() -> tuple[list[str], list[str]]:
        scene = Scene(in_flight=10)
        names = [f"a{number:03}" for number in range(400)]
        scene.subscribers.away.add("dashboard")
        scene.add(*names, purpose=Purpose.INVOICE)
        with monkeypatch.context() as patched:
            patched.setattr(MemoryMissedEvents, "keep", refuse)
            scene.relay.start()
            await until(lambda: any("no room" in loop.problem for loop in scene.relay.loops))
            await until(lambda: len(scene.subscribers.taken["bitcoin"]) >= 40)
            await scene.relay.settle()
            left = [row.message_id for row in scene.store.outbox.values()]
        scene.subscribers.away.clear()
        await until(lambda: not scene.store.outbox)
        await until(lambda: len(scene.subscribers.taken["dashboard"]) == len(names))
        await scene.relay.stop()
        return left, scene.subscribers.taken["dashboard"]

    left, taken = asyncio.run(play())
    assert left == taken


def test_a_subscriber_that_leaves_its_calls_hanging_holds_up_no_other() -> None:
    async def play() -> list[str]:
        scene = Scene(in_flight=10)
        names = [f"a{number:03}" for number in range(300)]
        scene.subscribers.hanging.add("dashboard")
        scene.add(*names, purpose=Purpose.INVOICE)
        scene.relay.start()
        await until(lambda: len(scene.subscribers.taken["bitcoin"]) == len(names))
        scene.subscribers.hanging.clear()
        scene.subscribers.released.set()
        await until(lambda: len(scene.subscribers.taken["dashboard"]) == len(names))
        await scene.relay.stop()
        return scene.subscribers.taken["dashboard"]

    assert asyncio.run(play()) == [f"a{number:03}" for number in range(300)]


def test_a_relay_that_starts_anew_hands_over_what_was_missed_before_anything_else() -> None:
    async def play() -> list[str]:
        scene = Scene()
        scene.add("a1", "a2")
        await scene.outbox.missed.keep("dashboard", [1, 2])
        await scene.outbox.settle([1, 2])
        scene.add("a3")
        await scene.run_until(lambda: len(scene.subscribers.taken["dashboard"]) == 3)
        return scene.subscribers.taken["dashboard"]

    assert asyncio.run(play()) == ["a1", "a2", "a3"]


def test_what_another_relay_keeps_comes_before_what_is_read_after_that() -> None:
    async def play() -> list[str]:
        scene = Scene()
        scene.add("a1")
        scene.relay.start()
        await until(lambda: scene.subscribers.taken["dashboard"] == ["a1"] and not scene.store.outbox)
        scene.add("a2")  # one that still lives is the first to see it
        await scene.outbox.missed.keep("dashboard", list(scene.store.outbox))
        await scene.outbox.settle(list(scene.store.outbox))
        scene.add("a3")
        await until(lambda: len(scene.subscribers.taken["dashboard"]) == 3)
        await scene.relay.stop()
        return scene.subscribers.taken["dashboard"]

    assert asyncio.run(play()) == ["a1", "a2", "a3"]


def test_the_outbox_is_read_on_as_soon_as_the_others_have_taken_what_one_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Subscriptions, "subscribers_of", lambda self, context: ("bitcoin", "dashboard"))

    async def play() -> None:
        scene = Scene(in_flight=10, poll_seconds=3600)
        names = [f"{key}{number:03}" for number in range(30) for key in "ab"]
        scene.subscribers.away.add("dashboard")
        scene.subscribers.hanging.add("bitcoin")
        scene.add(*names, purpose=Purpose.INVOICE)
        scene.relay.start()
        await until(lambda: "bitcoin" in scene.subscribers.stuck)
        scene.subscribers.released.set()
        await until(lambda: scene.subscribers.taken["bitcoin"] == names)
        scene.subscribers.away.clear()
        await scene.relay.stop()

    asyncio.run(play())


def test_an_event_that_kills_its_taker_is_parked_and_the_others_are_taken() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.subscribers.deadly = "a1"
        scene.add("b1", "a1", "a2", "c1")
        await scene.run_until(lambda: scene.waiting == ["a1", "a2"] and not scene.store.outbox)
        return scene

    scene = asyncio.run(play())
    assert scene.subscribers.taken["dashboard"] == ["b1", "c1"]
    assert scene.store.parked.keys["dashboard", "a"].reason == "killed_its_process"


def test_a_released_key_whose_message_kills_its_taker_is_parked_again() -> None:
    async def play() -> Scene:
        scene = Scene()
        scene.subscribers.deadly = "a2"
        scene.store.parked.set("dashboard", "a", KeyState.PAUSED, "a test", datetime.now(UTC))
        scene.add("a1", "a2", "a3")
        scene.relay.start()
        await until(lambda: len(scene.waiting) == 3)
        scene.store.parked.set("dashboard", "a", KeyState.RELEASED, "mended", datetime.now(UTC))
        await until(lambda: scene.store.parked.keys["dashboard", "a"].state == KeyState.PARKED)
        await scene.relay.stop()
        return scene

    scene = asyncio.run(play())
    assert scene.waiting == ["a2", "a3"]
    assert scene.subscribers.taken["dashboard"] == ["a1"]
