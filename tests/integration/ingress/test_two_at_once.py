"""Two Ingresses of one group live at once, as when one moves to another machine, or is replaced and not really gone.

Queries are answered by whoever lives; commands are handled once and in order, whoever has them in hand.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

import msgspec
import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from domain.accounting.messages import Deposit, OpenAccount
from domain.application import APPLICATION
from domain.auth.messages import LogIn
from domain.dashboard.views import CampaignList
from spark_actors.actors.admission import Admission
from spark_actors.actors.aggregate import AggregateActor
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.ingress import Ingress
from spark_actors.actors.lookups import HostedContext
from spark_actors.actors.pace import IngressLimits, Pace
from spark_actors.actors.queries import Queries
from spark_actors.actors.refused import RefusedMessages
from spark_actors.actors.watch import Watch
from spark_actors.embedded.nats_server import EmbeddedNats
from spark_actors.ingress.nats_broker import BrokerSettings, NatsBroker
from spark_actors.ingress.port import BrokerUnavailableError
from spark_actors.kernel.messages import Command, Query
from spark_actors.messaging import cloudevents
from spark_actors.messaging.envelope import unpack_envelopes
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.messaging.unit_of_work import UnitOfWork
from tests.fixtures.application import REGISTRY, answered_by
from tests.fixtures.identity import a_guard, a_token
from tests.fixtures.proxy import proxy_to_port
from tests.fixtures.stores import MemoryStores
from tests.integration.ingress.test_nats_broker import opened, settings_for
from tests.unit.actors.test_ingress import DOOR, NOW, QUERIES_DOOR, NoMaintenance, no_login

T = TypeVar("T")
ASKED = 200
IN_FLIGHT = 100
ACCOUNTS = [f"account-{number}" for number in range(20)]
CAMPAIGNS_ASKED = "spark.queries.dashboard.campaigns"


def answering(settings: BrokerSettings, word: bytes) -> NatsBroker:
    """A broker that answers every query with this word; not open yet."""

    async def answer(subject: str, body: bytes, authorization: str, room: int) -> bytes:
        return word

    broker = NatsBroker(settings)
    broker.answer_queries(answer)
    return broker


@asynccontextmanager
async def connected(server: EmbeddedNats) -> AsyncIterator[Client]:
    connection = await nats.connect(server.url, token=server.token)
    try:
        yield connection
    finally:
        await connection.close()


async def asked(connection: Client, subject: str = CAMPAIGNS_ASKED, seconds: float = 10.0) -> bytes:
    """The first answer; empty if there is none in time, or nobody who would answer."""
    try:
        return (await connection.request(subject, b"", timeout=seconds)).data
    except (TimeoutError, nats.errors.NoRespondersError):
        return b""


async def all_answers(connection: Client, subject: str) -> list[bytes]:
    """Every answer to one query; all have been sent when a later query to each has been answered."""
    answers: list[bytes] = []

    async def take(message: Msg) -> None:
        answers.append(message.data)

    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox, cb=take)
    await connection.publish(subject, b"", reply=inbox)
    await asked(connection, subject)
    await connection.flush()
    async with asyncio.timeout(10):
        while not answers:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)  # for a second answer, of which nobody would tell us that it does not come
    await subscription.unsubscribe()
    return answers


async def until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.005)


def be_a_member(settings: BrokerSettings, is_open: Event) -> None:
    """The process of an Ingress that answers queries until it is ended."""

    async def play() -> None:
        await answering(settings, b"the one that freezes").open()
        is_open.set()
        await asyncio.Event().wait()

    asyncio.run(play())


@contextmanager
def frozen_member(server: EmbeddedNats) -> Iterator[None]:
    """A member whose process has been stopped in the middle of everything; its connection stands."""
    spawning = multiprocessing.get_context("spawn")
    is_open = spawning.Event()
    process = spawning.Process(target=be_a_member, args=(settings_for(server), is_open), daemon=True)
    process.start()
    try:
        assert is_open.wait(30)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        yield
    finally:
        process.kill()
        process.join(10)


@contextmanager
def cut_off_member(server: EmbeddedNats) -> Iterator[None]:
    """A member behind a network that carries nothing any more, which the server is not told of."""
    proxy = proxy_to_port(server.port)
    settings = replace(settings_for(server), url=f"nats://127.0.0.1:{proxy.listen_on_port()}")
    with asyncio.Runner() as runner:
        broker = answering(settings, b"the one that is cut off")
        runner.run(broker.open())
        try:
            with proxy.mute():
                yield
            runner.run(broker.close())
        finally:
            proxy.close()


@pytest.mark.parametrize("dead_member", [frozen_member, cut_off_member])
def test_no_query_goes_to_a_member_that_is_dead_and_has_not_said_so_once_its_successor_is_open(
    nats_server: EmbeddedNats, dead_member: Callable[[EmbeddedNats], AbstractContextManager[None]]
) -> None:
    async def play() -> list[bytes]:
        async with connected(nats_server) as asker:
            assert await asked(asker, seconds=0.3) == b""
            successor = answering(settings_for(nats_server), b"alive")
            await successor.open()
            try:
                return await asyncio.gather(*(asked(asker) for _ in range(ASKED)))
            finally:
                await successor.close()

    with dead_member(nats_server):
        assert asyncio.run(play()) == [b"alive"] * ASKED


def test_each_query_is_answered_once_by_the_group_of_its_context(nats_server: EmbeddedNats) -> None:
    subjects = {
        b"first": ("spark.queries.auth.>", "spark.queries.dashboard.>"),
        b"second": ("spark.queries.bitcoin.>",),
    }
    one = settings_for(nats_server)
    commands = {b"first": ("spark.commands.auth.>",), b"second": ("spark.commands.bitcoin.>",)}
    groups = [
        replace(
            one,
            group=f"ingress-{number}",
            all_groups=("ingress-0", "ingress-1"),
            subjects=commands[word],
            stream_subjects=(*commands[b"first"], *commands[b"second"]),
            query_subjects=subjects[word],
        )
        for number, word in enumerate(subjects)
    ]

    async def play() -> list[list[bytes]]:
        brokers = [answering(group, word) for group, word in zip(groups, subjects, strict=True)]
        for broker in brokers:
            await broker.open()
        try:
            async with connected(nats_server) as asker:
                return [
                    await all_answers(asker, f"spark.queries.{name}") for name in ("auth.x", "dashboard.x", "bitcoin.x")
                ]
        finally:
            for broker in brokers:
                await broker.close()

    assert asyncio.run(play()) == [[b"first"], [b"first"], [b"second"]]


def test_an_ingress_that_has_given_way_goes_on_answering_until_it_is_ended(nats_server: EmbeddedNats) -> None:
    async def play() -> tuple[list[bytes], bytes]:
        predecessor = answering(settings_for(nats_server), b"old")
        await predecessor.open()
        async with connected(nats_server) as asker, opened(settings_for(nats_server)):
            with pytest.raises(BrokerUnavailableError, match="another ingress has taken the place"):
                await predecessor.open()
            while_given_way = await all_answers(asker, CAMPAIGNS_ASKED)
            await predecessor.close()
            return while_given_way, await asked(asker)

    assert asyncio.run(play()) == ([b"old"], b"")


def test_what_was_asked_before_an_ingress_leaves_is_answered(nats_server: EmbeddedNats) -> None:
    async def play() -> list[bytes]:
        is_allowed = asyncio.Event()
        begun: list[str] = []

        async def answer(subject: str, body: bytes, authorization: str, room: int) -> bytes:
            begun.append(subject)
            await is_allowed.wait()
            return b"in the end"

        broker = NatsBroker(settings_for(nats_server))
        broker.answer_queries(answer)
        await broker.open()
        async with connected(nats_server) as asker:
            many = [asyncio.create_task(asked(asker)) for _ in range(100)]  # more than are answered at once
            await until(lambda: bool(begun))
            await asyncio.gather(*(asyncio.sleep(0) for _ in many))
            await asker.flush()
            leaving = asyncio.create_task(broker.close())
            asyncio.get_running_loop().call_later(0.1, is_allowed.set)
            answers = await asyncio.gather(*many)
            await leaving
            return answers

    assert asyncio.run(play()) == [b"in the end"] * 100


class SharedHosts:
    """AggregateActors that every Ingress sends to, each on the one store; their turns wait while the gate is shut."""

    def __init__(self, stores: MemoryStores) -> None:
        self.gate = asyncio.Event()
        self.handed_over: defaultdict[str, int] = defaultdict(int)
        """How often each command came."""
        self._stores = stores
        self._actors: dict[int, AggregateActor] = {}
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        async with self._turns[slot.number]:
            await self.gate.wait()
            await asyncio.sleep(0.002)
            for command in unpack_envelopes(payload):
                self.handed_over[command.message_id] += 1
            return self._actor(slot).take_turn(context, payload, version)

    async def take_turn_alone(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        return await self.take_turn(slot, context, payload, version)

    async def bury(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        raise NotImplementedError("no host dies here")

    def _actor(self, slot: Slot) -> AggregateActor:
        if slot.number not in self._actors:
            business = self._stores.business
            self._actors[slot.number] = AggregateActor(
                [HostedContext(each, self._units(name)) for name, each in business.contexts.items()],
                REGISTRY,
                slot=slot,
                max_attempts=5,
                clock=lambda: NOW,
                telemetry=lambda event: None,
            )
        return self._actors[slot.number]

    def _units(self, context: str) -> Callable[[], UnitOfWork[Any]]:
        return lambda: self._stores.unit_of_work(context)


def an_ingress(server: EmbeddedNats, hosts: SharedHosts, stores: MemoryStores) -> Ingress:
    """All of it is real but the way to the hosts and the store."""

    async def campaigns(query: Query) -> object:
        return CampaignList(campaigns=())

    async def no_backlog() -> int:
        return 0

    letters = stores.dead_letters("ingress")
    refused = RefusedMessages(letters, APPLICATION.scrubber, lambda: NOW, lambda event: None)
    watch = Watch(
        "ingress",
        outbox=None,
        saga_log=None,
        dead_letters=letters,
        maintenance=NoMaintenance(),
        clock=lambda: NOW,
        telemetry=lambda event: None,
    )
    return Ingress(
        NatsBroker(settings_for(server)),
        Admission(DOOR, a_guard(), refused, lambda: NOW),
        Dispatcher(Placement(2, 1_000), hosts, max_commands=20, telemetry=lambda event: None),
        Queries(QUERIES_DOOR, a_guard(), {**answered_by(campaigns), LogIn: no_login}, lambda: NOW, lambda event: None),
        Pace(
            IngressLimits(in_flight=IN_FLIGHT, batch=50, relay_backlog=1_000_000, leeway_seconds=30),
            no_backlog,
            lambda event: None,
        ),
        watch,
    )


class Crowd:
    """Sends for every account one command after the other, and asks a view again and again, all the time."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._inbox = connection.new_inbox()
        self.sent: list[Command] = []
        self.outcomes: defaultdict[str, set[str]] = defaultdict(set)
        """By message id; more than one only if two answers differ."""
        self.unanswered: list[bytes] = []
        self.answered = 0
        self.is_over = False

    async def send(self) -> None:
        await self._connection.subscribe(f"{self._inbox}.*", cb=self._take)
        await self._publish([OpenAccount(account_id=account) for account in ACCOUNTS])
        number = 0
        while not self.is_over:
            if len(self.sent) - len(self.outcomes) > IN_FLIGHT + 100:  # enough that more waits than is in hand
                await asyncio.sleep(0.005)
                continue
            number += 1
            await self._publish(
                [Deposit(account_id=each, deposit_id=f"{each}/{number}", amount_sat=1) for each in ACCOUNTS]
            )
            await asyncio.sleep(0.005)

    async def ask(self) -> None:
        while not self.is_over:
            answer = await asked(self._connection)
            if answer == b'{"campaigns":[],"truncated":false}':
                self.answered += 1
            else:
                self.unanswered.append(answer)

    async def _publish(self, commands: list[Command]) -> None:
        """One for each account: which of these the server stores first does not matter."""
        stream = self._connection.jetstream()
        headers = cloudevents.authorization(a_token())
        first = len(self.sent)
        self.sent += commands
        await asyncio.gather(
            *(
                stream.publish(
                    cloudevents.command_subject(command.TYPE),
                    cloudevents.command_body(command, message_id=f"m-{first + place}", source="test", why="a test"),
                    headers={**headers, cloudevents.REPLY_TO_HEADER: f"{self._inbox}.{first + place}"},
                )
                for place, command in enumerate(commands)
            )
        )

    async def _take(self, message: Msg) -> None:
        answer = json.loads(message.data)
        self.outcomes[answer["id"]].add(f"{answer['outcome']} {answer['reason']}".strip())


def test_an_ingress_that_moves_leaves_no_command_refused_lost_doubled_or_overtaken_and_no_query_unanswered(
    nats_server: EmbeddedNats,
) -> None:
    async def play() -> tuple[Crowd, SharedHosts, MemoryStores, list[str]]:
        stores = MemoryStores()
        hosts = SharedHosts(stores)
        hosts.gate.set()
        async with connected(nats_server) as connection:
            crowd = Crowd(connection)
            old, new = (an_ingress(nats_server, hosts, stores) for _ in range(2))
            await old.start()
            await until(lambda: not old.problems())
            work = [asyncio.create_task(crowd.send()), asyncio.create_task(crowd.ask())]
            await until(lambda: len(crowd.outcomes) > 200)
            hosts.gate.clear()  # the old one has its hands full
            await until(lambda: len(crowd.sent) - len(crowd.outcomes) > IN_FLIGHT + 100)
            await new.start()
            await until(lambda: not new.problems())
            await until(lambda: bool(old.problems()))
            hosts.gate.set()
            count = len(crowd.outcomes)
            await until(lambda: len(crowd.outcomes) > count + 500)
            await old.stop()
            count = len(crowd.outcomes)
            await until(lambda: len(crowd.outcomes) > count + 500)
            crowd.is_over = True
            await asyncio.gather(*work)
            await until(lambda: len(crowd.outcomes) == len(crowd.sent))
            await new.stop()
        rows = await stores.outbox_reader("accounting").pending(skip=(), limit=1_000_000)
        deposits = [row.envelope for row in rows if row.envelope.name == "accounting.deposited"]
        return crowd, hosts, stores, [msgspec.json.decode(each.data)["deposit_id"] for each in deposits]

    with capture_logs():  # to write them out with all that is in them would hold up everybody here
        crowd, hosts, stores, deposited = asyncio.run(play())
    assert sum(count > 1 for count in hosts.handed_over.values()) > 50
    assert set.union(*crowd.outcomes.values()) == {"done"}
    assert asyncio.run(stores.dead_letters("ingress").newest(1)) == []
    for account in ACCOUNTS:
        sent = [each.deposit_id for each in crowd.sent if isinstance(each, Deposit) and each.account_id == account]
        assert [each for each in deposited if each.startswith(f"{account}/")] == sent
    assert crowd.unanswered == []
    assert crowd.answered > 50
