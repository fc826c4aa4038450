"""The Ingress: nothing is acknowledged before it is durable, and what is not understood is refused, kept and told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.contexts import CONTEXTS
from domain.dashboard.views import CampaignList, ViewCampaigns
from domain.shared.decisions import Verdict
from domain.shared.errors import StorageUnavailableError
from domain.shared.messages import Command, MessageRegistry, Query
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.ingress import KEPT_BYTES, LOGGED_REFUSALS, Ingress, IngressLimits, Queries
from spark_actors.actors.watch import Watch
from spark_actors.ingress.port import Answer, Arrival, BrokerLag, BrokerUnavailableError
from spark_actors.messaging import cloudevents
from spark_actors.messaging.door import Door
from spark_actors.messaging.envelope import Reply, pack, unpack_envelopes
from spark_actors.messaging.ports import DeadLetter
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.persistence.memory import MemoryDeadLetters
from tests.unit.domain.builders import deposit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REGISTRY = MessageRegistry(message for context in CONTEXTS for message in context.messages)


class FakeBroker:
    """A queue in memory that remembers in which order things happened."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self.waiting = list(arrivals)
        self.history: list[str] = []
        self.replies: dict[str, dict[str, Any]] = {}
        self.released: list[Arrival] = []
        self.is_away = False

    async def open(self) -> None:
        if self.is_away:
            raise BrokerUnavailableError("away")

    async def pull(self, limit: int, timeout: timedelta) -> Sequence[Arrival]:
        batch, self.waiting = self.waiting[:limit], self.waiting[limit:]
        await asyncio.sleep(0)
        return batch

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        self.history += [f"acknowledged {arrival.receipt}" for arrival in arrivals]

    def release(self, arrivals: Sequence[Arrival]) -> None:
        self.released += arrivals

    async def reply(self, replies: Sequence[tuple[str, bytes]]) -> None:
        for subject, body in replies:
            self.history.append(f"replied {subject}")
            self.replies[subject] = json.loads(body)

    async def answer_queries(self, answer: Answer) -> None:
        self.answer = answer

    async def lag(self) -> BrokerLag:
        return BrokerLag(len(self.waiting), 0)

    async def close(self) -> None:
        self.history.append("closed")


class FakeHosts:
    """Hosts that commit when the gate is open."""

    def __init__(self, broker: FakeBroker) -> None:
        self.gate = asyncio.Event()
        self.bug: Exception | None = None
        self._broker = broker

    async def take_turn(self, slot: Slot, context: str, payload: bytes) -> bytes:
        await self.gate.wait()
        if self.bug:
            raise self.bug
        commands = unpack_envelopes(payload)
        self._broker.history += [f"committed {command.message_id}" for command in commands]
        return pack([Reply(command.message_id, Verdict.DONE) for command in commands])


class FakeViews:
    """Views that are away when told so."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def answer(self, query: Query) -> object | None:
        if self.error:
            raise self.error
        return CampaignList(campaigns=()) if isinstance(query, ViewCampaigns) else None


class NoMaintenance:
    async def run(self, now: datetime) -> None:
        """Nothing to keep in order."""


class Scene:
    """An ingress with all that is around it."""

    def __init__(self, *arrivals: Arrival, in_flight: int = 100) -> None:
        self.broker = FakeBroker(arrivals)
        self.events = 0
        """Waiting in the fullest outbox."""
        self.hosts = FakeHosts(self.broker)
        self.letters = MemoryDeadLetters()
        self.views = FakeViews()
        door = Door(REGISTRY, 40_000)
        watch = Watch(
            "ingress",
            outbox=None,
            saga_log=None,
            dead_letters=self.letters,
            maintenance=NoMaintenance(),
            clock=lambda: NOW,
            telemetry=lambda event: None,
        )
        self.ingress = Ingress(
            self.broker,
            door,
            Dispatcher(Placement(1, 10), self.hosts, max_commands=100, telemetry=lambda event: None),
            self.letters,
            watch,
            Queries(door, self.views),
            limits=IngressLimits(in_flight=in_flight, batch=10, relay_backlog=1_000),
            relay_backlog=self.count_events,
            clock=lambda: NOW,
            telemetry=lambda event: None,
        )

    async def count_events(self) -> int:
        return self.events

    async def until(self, event: str) -> None:
        while event not in self.broker.history:
            await asyncio.sleep(0)


def an_arrival(command: Command, message_id: str) -> Arrival:
    body = cloudevents.command_body(command, message_id=message_id, source="test")
    return Arrival(cloudevents.command_subject(command.TYPE), body, f"reply-{message_id}", message_id)


def test_a_command_is_committed_then_answered_then_acknowledged() -> None:
    async def play() -> Scene:
        scene = Scene(an_arrival(deposit(), "m1"))
        await scene.ingress.start()
        while scene.broker.waiting:
            await asyncio.sleep(0)
        assert scene.broker.history == []
        scene.hosts.gate.set()
        await scene.until("acknowledged m1")
        await scene.ingress.stop()
        return scene

    scene = asyncio.run(play())
    assert scene.broker.history == ["committed m1", "replied reply-m1", "acknowledged m1", "closed"]
    assert scene.broker.replies["reply-m1"]["outcome"] == "done"


@pytest.mark.parametrize(
    "arrival",
    [
        Arrival("spark.commands.accounting.deposit", b"\xff\x00 no json", "reply-bad", "bad"),
        Arrival("spark.commands.accounting.print-money", b"{}", "reply-bad", "bad"),
        Arrival("spark.commands.accounting.deposit", b"x" * 50_000, "reply-bad", "bad"),
    ],
    ids=["no json", "unknown type", "oversized"],
)
def test_what_is_not_understood_is_kept_told_and_acknowledged_and_its_neighbours_pass(arrival: Arrival) -> None:
    async def play() -> Scene:
        scene = Scene(an_arrival(deposit(), "m1"), arrival, an_arrival(deposit(deposit_id="d2"), "m2"))
        scene.hosts.gate.set()
        await scene.ingress.start()
        await scene.until("acknowledged bad")
        await scene.until("acknowledged m2")
        await scene.ingress.stop()
        return scene

    scene = asyncio.run(play())
    answer = scene.broker.replies["reply-bad"]
    assert answer["outcome"] == "failed"
    assert answer["reason"]
    [letter] = asyncio.run(scene.letters.newest(10))
    assert letter.body == arrival.body[:KEPT_BYTES]
    assert letter.subscriber == "ingress"


def the_letter_of(arrival: Arrival) -> DeadLetter:
    """What is kept of a message that is refused."""

    async def play() -> Scene:
        scene = Scene(arrival)
        await scene.ingress.start()
        await scene.until(f"acknowledged {arrival.receipt}")
        await scene.ingress.stop()
        return scene

    [letter] = asyncio.run(asyncio.run(play()).letters.newest(10))
    return letter


def test_of_a_big_refused_body_the_beginning_is_kept_with_its_size_and_hash() -> None:
    body = b'{"x": "' + b"y" * 30_000
    letter = the_letter_of(Arrival("spark.commands.accounting.deposit", body, "", "big"))
    assert letter.body == body[:KEPT_BYTES]
    assert f"{len(body)} bytes" in letter.reason
    assert sha256(body).hexdigest() in letter.reason


def test_a_body_that_was_cut_by_the_broker_is_refused_with_its_whole_size() -> None:
    letter = the_letter_of(Arrival("spark.commands.accounting.deposit", b"{}", "", "cut", oversize="1000000 bytes, x"))
    assert letter.reason.startswith("oversized: body of 1000000 bytes, x")


def test_refusals_do_not_flood_the_log() -> None:
    async def play() -> None:
        scene = Scene(*[Arrival("spark.commands.accounting.deposit", b"%d" % n, "", f"bad-{n}") for n in range(10)])
        await scene.ingress.start()
        await scene.until("acknowledged bad-9")
        await scene.ingress.stop()

    with capture_logs() as lines:
        asyncio.run(play())
    told = [line["event"] for line in lines]
    assert told.count("command_buried") == LOGGED_REFUSALS
    assert [line["count"] for line in lines if line["event"] == "more_commands_refused"] == [10 - LOGGED_REFUSALS]


def test_a_batch_that_failed_is_not_acknowledged_but_comes_again() -> None:
    async def play() -> Scene:
        scene = Scene(an_arrival(deposit(), "m1"))
        scene.hosts.bug = KeyError("a bug at the host")
        scene.hosts.gate.set()
        await scene.ingress.start()
        while not scene.broker.released:
            await asyncio.sleep(0)
        await scene.ingress.stop()
        return scene

    scene = asyncio.run(play())
    assert [arrival.receipt for arrival in scene.broker.released] == ["m1"]
    assert scene.broker.history == ["closed"]


def test_no_more_is_taken_in_hand_than_allowed() -> None:
    async def play() -> int:
        scene = Scene(*[an_arrival(deposit(deposit_id=f"d{n}"), f"m{n}") for n in range(10)], in_flight=3)
        await scene.ingress.start()
        for _ in range(50):
            await asyncio.sleep(0)
        waiting = len(scene.broker.waiting)
        scene.hosts.gate.set()
        await scene.until("acknowledged m9")
        await scene.ingress.stop()
        return waiting

    assert asyncio.run(play()) == 7


def test_while_the_relays_are_behind_commands_come_in_slowly_and_do_not_stop() -> None:
    async def play(events: int) -> int:
        scene = Scene(*[an_arrival(deposit(deposit_id=f"d{n}"), f"m{n}") for n in range(30)])
        scene.events = events
        await scene.ingress.measure()
        scene.hosts.gate.set()
        await scene.ingress.pull()
        pulling = asyncio.create_task(scene.ingress.pull())
        for _ in range(50):
            await asyncio.sleep(0)
        waiting = len(scene.broker.waiting)
        await pulling
        assert len(scene.broker.waiting) == 10
        scene.events = 0
        await scene.ingress.measure()
        await scene.ingress.pull()
        await scene.until("acknowledged m29")
        await scene.ingress.stop()
        return waiting

    assert asyncio.run(play(1_000)) == 10
    assert asyncio.run(play(1_001)) == 20


def test_a_broker_that_is_away_is_a_problem_that_is_told() -> None:
    async def play() -> list[str]:
        scene = Scene()
        scene.broker.is_away = True
        await scene.ingress.start()
        while not any("away" in problem for problem in scene.ingress.problems()):
            await asyncio.sleep(0)
        problems = scene.ingress.problems()
        await scene.ingress.stop()
        return problems

    assert "away" in asyncio.run(play())[0]


def ask(scene: Scene, subject: str, body: bytes = b"") -> dict[str, Any]:
    queries = Queries(Door(REGISTRY, 10_000), scene.views)
    answer: dict[str, Any] = json.loads(asyncio.run(queries.answer(subject, body)))
    return answer


def test_a_query_is_answered_with_the_view() -> None:
    assert ask(Scene(), "spark.queries.dashboard.campaigns") == {"campaigns": []}


@pytest.mark.parametrize(
    ("subject", "body", "code"),
    [
        ("spark.queries.dashboard.secrets", b"", "unknown_subject"),
        ("spark.queries.dashboard.campaigns", b"[", "not_json"),
        ("spark.queries.dashboard.donation", b'{"donation_id": "nobody"}', "not_found"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(subject: str, body: bytes, code: str) -> None:
    assert ask(Scene(), subject, body)["error"]["code"] == code


@pytest.mark.parametrize(
    ("error", "code"), [(StorageUnavailableError("away"), "unavailable"), (KeyError("x"), "failed")]
)
def test_a_view_that_fails_leaves_nobody_waiting(error: Exception, code: str) -> None:
    scene = Scene()
    scene.views.error = error
    assert ask(scene, "spark.queries.dashboard.campaigns")["error"]["code"] == code
