"""The broker port on a real NATS server: no message stops it, no reply becomes a command, a full stream refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import nats
import pytest
from nats.aio.client import Client
from nats.js.errors import NoStreamResponseError, ServiceUnavailableError
from structlog.testing import capture_logs

from spark_actors.embedded.addresses import ANY_PORT
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from spark_actors.ingress import nats_broker, tuning
from spark_actors.ingress.nats_broker import STREAM, BrokerSettings, NatsBroker
from spark_actors.ingress.nats_client import SturdyClient
from spark_actors.ingress.port import Arrival, BrokerLag, BrokerUnavailableError
from spark_actors.messaging import cloudevents
from tests.fixtures.raw_nats import hpub, pub, reply_to, send_raw
from tests.lab.load.producer import consumer_of

T = TypeVar("T")
GOOD = b"spark.commands.good"
LIMIT = 1_000


def settings_for(server: EmbeddedNats) -> BrokerSettings:
    return BrokerSettings(
        url=server.url,
        token=server.token,
        replicas=1,
        stream_max_bytes=0,
        ack_wait=timedelta(seconds=30),
        max_in_flight=100,
        group="ingress-0",
        all_groups=("ingress-0",),
        max_body_bytes=LIMIT,
        subjects=("spark.commands.>",),
        stream_subjects=("spark.commands.>",),
        query_subjects=("spark.queries.>",),
    )


def with_broker(server: EmbeddedNats, act: Callable[[NatsBroker], Awaitable[T]]) -> T:
    """Do something with an open broker on an empty stream."""

    async def play() -> T:
        broker = NatsBroker(settings_for(server))
        await broker.open()
        try:
            return await act(broker)
        finally:
            await broker.close()

    return asyncio.run(play())


async def gathered(broker: NatsBroker, count: int) -> None:
    """Wait until so many messages wait for the consumer: the server goes on storing when it has taken all in."""
    async with asyncio.timeout(10):
        while (await broker.lag()).waiting < count:
            await asyncio.sleep(0.01)


async def pulled(broker: NatsBroker, count: int) -> Sequence[Arrival]:
    arrivals: list[Arrival] = []
    async with asyncio.timeout(10):
        while len(arrivals) < count:
            arrivals += await broker.pull(count, timedelta(seconds=1))
    return arrivals


@pytest.mark.parametrize(
    "hostile",
    [
        pub(b"spark.commands.\xff\xfe", b"{}"),
        hpub(b"spark.commands.x", b"NATS/1.0", b"{}"),
        hpub(b"spark.commands.x", b"NATS/1.0 404 \xff\xff\r\n\r\n", b"{}"),
        hpub(b"spark.commands.x", b"NATS/1.0 100 Idle Heartbeat\r\n\r\n", b""),
        hpub(b"spark.commands.x", b"\x00\x01\x02", b"{}"),
        hpub(b"spark.commands.x", reply_to(b"\xff\xfe"), b"{}"),
        hpub(b"spark.commands.x", reply_to(b"a" * 60_000), b"{}"),
        pub(b"spark.commands." + b"a" * 3_000, b"{}"),
    ],
    ids=[
        *("subject no UTF-8", "no line end", "status no UTF-8", "status", "no header line"),
        *("value no UTF-8", "long header", "long subject"),
    ],
)
def test_a_message_that_cannot_be_read_does_not_stop_those_behind_it(nats_server: EmbeddedNats, hostile: bytes) -> None:
    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        await send_raw(nats_server.port, nats_server.token, hostile + pub(GOOD, b"{}"))
        return await pulled(broker, 2)

    bad, good = with_broker(nats_server, act)
    assert good.subject == GOOD.decode()
    assert bad.subject.startswith("spark.commands.")
    assert bad.reply_to == ""


def test_the_version_of_nats_py_in_use_reads_through_each_method_that_is_overridden(
    nats_server: EmbeddedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    overridden = {name: method for name, method in vars(SturdyClient).items() if callable(method)}
    of_no_object = {name for name, method in overridden.items() if isinstance(method, staticmethod)}
    passed: set[str] = set()

    def noting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def note(*words: Any) -> Any:
            passed.add(name)
            return method(*words)

        return note

    for name, method in overridden.items():
        noted = noting(name, method)
        monkeypatch.setattr(SturdyClient, name, staticmethod(noted) if name in of_no_object else noted)

    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        await send_raw(nats_server.port, nats_server.token, hpub(GOOD, reply_to(b"answers"), b"{}"))
        return await pulled(broker, 1)

    (arrival,) = with_broker(nats_server, act)
    assert (arrival.subject, arrival.reply_to) == (GOOD.decode(), "answers")
    assert passed == overridden.keys() != set()
    assert overridden.keys() <= vars(Client).keys()


@pytest.mark.parametrize(
    "wanted",
    [
        *("spark.commands.accounting.deposit", "spark.queries.dashboard.campaigns", "spark.commands", "SPARK"),
        *("$JS.API.STREAM.PURGE.SPARK_COMMANDS", "$JS.ACK.x", "$SYS.REQ.SERVER.PING", "$"),
        *("a.>", "*", ">", "a.*.b", "a..b", ".a", "a.", "a b", "\u202ea", "é", "a" * 256),
    ],
)
def test_an_answer_goes_nowhere_but_to_a_plain_subject(nats_server: EmbeddedNats, wanted: str) -> None:
    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        message = hpub(GOOD, reply_to(wanted.encode()), b"{}")
        await send_raw(nats_server.port, nats_server.token, message)
        return await pulled(broker, 1)

    (arrival,) = with_broker(nats_server, act)
    assert arrival.reply_to == ("SPARK" if wanted == "SPARK" else "")


def test_reply_subjects_that_are_refused_fill_no_log(nats_server: EmbeddedNats) -> None:
    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        message = hpub(GOOD, reply_to(b"spark.commands.x"), b"{}")
        await send_raw(nats_server.port, nats_server.token, message * 20)
        return await pulled(broker, 20)

    with capture_logs() as lines:
        with_broker(nats_server, act)
    told = [(line["event"], line["count"]) for line in lines if line["event"].startswith("reply_subjects_refused")]
    assert told == [("reply_subjects_refused", 1), ("reply_subjects_refused_in_all", 20)]


def test_a_query_is_not_answered_into_the_command_stream(nats_server: EmbeddedNats) -> None:
    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        async def answer(subject: str, body: bytes, authorization: str, room: int) -> bytes:
            return b"an answer"

        broker.answer_queries(answer)
        await broker.open()
        async with await nats.connect(nats_server.url, token=nats_server.token) as connection:
            await connection.publish("spark.queries.x", b"{}", reply="spark.commands.x")
            await connection.request("spark.queries.x", b"{}", timeout=5)  # the one before is through by now
            await connection.publish("spark.commands.last", b"{}")
            return await pulled(broker, 1)

    assert [arrival.subject for arrival in with_broker(nats_server, act)] == ["spark.commands.last"]


def test_of_a_body_that_is_too_big_only_the_beginning_is_held(nats_server: EmbeddedNats) -> None:
    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        big, just_right = pub(GOOD, b"x" * 1_000_000), pub(GOOD, b"y" * LIMIT)
        await send_raw(nats_server.port, nats_server.token, big + just_right)
        return await pulled(broker, 2)

    cut, whole = with_broker(nats_server, act)
    assert cut.body == b"x" * LIMIT
    assert cut.oversize.startswith("1000000 bytes, SHA-256 ")
    assert (whole.body, whole.oversize) == (b"y" * LIMIT, "")


def a_header(name: bytes, value: bytes) -> bytes:
    return b"%s: %s\r\n" % (name, value)


def test_the_headers_of_an_event_come_in_bounded_and_one_that_comes_twice_is_read_as_neither(
    nats_server: EmbeddedNats,
) -> None:
    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        usual = a_header(b"ce-id", b"m-1") + a_header(b"CE-Source", b"/shop") + a_header(b"Content-Type", b"text/plain")
        others = a_header(b"Nats-Msg-Id", b"7") + a_header(b"traceparent", b"x")
        twice = a_header(b"ce-id", b"m-1") + a_header(b"ce-id", b"m-2")
        for headers in (usual + others, twice, a_header(b"ce-why", b"x" * 60_000), b""):
            block = b"NATS/1.0\r\n%s\r\n" % headers
            await send_raw(nats_server.port, nats_server.token, hpub(GOOD, block, b"{}"))
        return await pulled(broker, 4)

    usual, twice, huge, none = with_broker(nats_server, act)
    assert usual.headers == {"ce-id": "m-1", "ce-source": "/shop", "content-type": "text/plain"}
    assert twice.headers == {"ce-id": "m-1, m-2"}
    assert 0 < cloudevents.characters_of(huge.headers) - cloudevents.HEADERS_CHARACTERS < 2
    assert none.headers == {}


def test_of_a_token_that_is_too_long_no_more_is_held_than_shows_that(nats_server: EmbeddedNats) -> None:
    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        block = b"NATS/1.0\r\n%s\r\n" % a_header(b"Spark-Authorization", b"x" * 60_000)
        await send_raw(nats_server.port, nats_server.token, hpub(GOOD, block, b"{}"))
        return await pulled(broker, 1)

    [arrival] = with_broker(nats_server, act)
    assert len(arrival.authorization) == cloudevents.AUTHORIZATION_CHARACTERS + 1


@pytest.mark.parametrize("ahead", [0.0, 3_600.0, -90.0])
def test_how_far_the_clocks_are_apart_is_measured(
    nats_server: EmbeddedNats, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    async def act(broker: NatsBroker) -> BrokerLag:
        monkeypatch.setattr(time, "time", lambda: right() - ahead)
        return await broker.lag()

    right = time.time
    measured = with_broker(nats_server, act).clock_ahead
    assert measured == pytest.approx(ahead, abs=1.0)


@pytest.mark.parametrize(
    ("difference", "uncertainty", "left"), [(5.0, 1.0, 4.0), (-5.0, 1.0, -4.0), (0.5, 1.0, 0.0), (-0.5, 1.0, 0.0)]
)
def test_what_may_be_no_difference_is_none(difference: float, uncertainty: float, left: float) -> None:
    assert nats_broker.beyond(difference, uncertainty) == left


def test_what_has_gathered_comes_in_one_piece_and_what_comes_later_at_once(nats_server: EmbeddedNats) -> None:
    async def act(broker: NatsBroker) -> list[Sequence[Arrival]]:
        await send_raw(nats_server.port, nats_server.token, b"".join(pub(GOOD, b"%d" % number) for number in range(30)))
        await gathered(broker, 30)
        batches = [await broker.pull(20, timedelta(seconds=10)), await broker.pull(20, timedelta(seconds=10))]
        next_one = asyncio.create_task(broker.pull(20, timedelta(seconds=60)))
        await send_raw(nats_server.port, nats_server.token, pub(GOOD, b"30"))
        async with asyncio.timeout(10):
            return [*batches, await next_one]

    batches = with_broker(nats_server, act)
    assert [len(batch) for batch in batches] == [20, 10, 1]
    assert [int(arrival.body) for batch in batches for arrival in batch] == list(range(31))


def test_with_too_much_unacknowledged_what_comes_is_taken_and_the_rest_follows_the_acknowledgements(
    nats_server: EmbeddedNats,
) -> None:
    async def act(_: NatsBroker) -> list[list[int]]:
        async with opened(replace(settings_for(nats_server), max_in_flight=3)) as broker:
            numbered = b"".join(pub(GOOD, b"%d" % number) for number in range(5))
            await send_raw(nats_server.port, nats_server.token, numbered)
            await gathered(broker, 5)
            first = await broker.pull(5, timedelta(seconds=10))
            assert await broker.pull(5, timedelta(seconds=0.1)) == []
            await broker.acknowledge(first[:2])
            return [[int(arrival.body) for arrival in batch] for batch in (first, await pulled(broker, 2))]

    assert with_broker(nats_server, act) == [[0, 1, 2], [3, 4]]


def test_an_ingress_that_has_a_successor_takes_nothing_from_it(nats_server: EmbeddedNats) -> None:
    async def act(predecessor: NatsBroker) -> Sequence[Arrival]:
        await predecessor.pull(1, timedelta(seconds=0.01))
        async with opened(settings_for(nats_server)) as successor:
            await send_raw(nats_server.port, nats_server.token, pub(GOOD, b"{}"))
            with pytest.raises(BrokerUnavailableError):
                await predecessor.pull(1, timedelta(seconds=10))
            for _ in range(2):
                with pytest.raises(BrokerUnavailableError, match="another ingress has taken the place"):
                    await predecessor.open()
            return await pulled(successor, 1)

    assert len(with_broker(nats_server, act)) == 1


def test_an_ingress_takes_its_place_back_from_one_that_is_gone_after_a_while(
    nats_server: EmbeddedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "GIVE_WAY_SECONDS", 0.05)

    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        async with opened(settings_for(nats_server)):
            await send_raw(nats_server.port, nats_server.token, pub(GOOD, b"{}"))
        async with asyncio.timeout(10):
            while True:
                with suppress(BrokerUnavailableError):
                    await broker.open()
                    return await pulled(broker, 1)

    assert len(with_broker(nats_server, act)) == 1


def test_what_comes_while_the_connection_ends_does_not_overtake_what_comes_again(
    nats_server: EmbeddedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = SturdyClient.flush

    async def late_message(connection: SturdyClient, *words: Any) -> None:
        monkeypatch.setattr(SturdyClient, "flush", flush)
        async with await nats.connect(nats_server.url, token=nats_server.token) as sender:
            await sender.jetstream().publish(GOOD.decode(), b"third")
            async with asyncio.timeout(10):
                while (await consumer_of(sender.jsm(), "ingress-0")).num_ack_pending != 3:
                    await asyncio.sleep(0.01)
        await flush(connection, *words)

    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        await send_raw(nats_server.port, nats_server.token, pub(GOOD, b"first") + pub(GOOD, b"second"))
        await pulled(broker, 2)
        monkeypatch.setattr(SturdyClient, "flush", late_message)
        await broker.open()
        return await pulled(broker, 3)

    assert [arrival.body for arrival in with_broker(nats_server, act)] == [b"first", b"second", b"third"]


@asynccontextmanager
async def opened(settings: BrokerSettings) -> AsyncIterator[NatsBroker]:
    """One more broker on the same stream."""
    broker = NatsBroker(settings)
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()


def test_other_replicas_than_the_stream_was_made_with_are_warned_of_and_the_ingress_goes_on(
    nats_server: EmbeddedNats,
) -> None:
    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        await send_raw(nats_server.port, nats_server.token, pub(GOOD, b"{}"))
        async with opened(replace(settings_for(nats_server), replicas=3)) as other:
            return await pulled(other, 1)

    with capture_logs() as logs:
        assert len(with_broker(nats_server, act)) == 1
    [warning] = [line for line in logs if line["event"] == "stream_replicas_differ"]
    assert (warning["log_level"], warning["found"], warning["wanted"]) == ("warning", 1, 3)


def test_a_change_of_the_groups_changes_what_the_stream_takes_and_keeps_what_it_holds(
    nats_server: EmbeddedNats,
) -> None:
    one = settings_for(nats_server)
    two = ("spark.commands.auth.>", "spark.commands.bitcoin.>")
    groups = [
        replace(one, group=group, all_groups=("ingress-0", "ingress-1"), subjects=(subject,), stream_subjects=two)
        for group, subject in zip(("ingress-0", "ingress-1"), two, strict=True)
    ]

    async def act(_: NatsBroker) -> list[str]:
        async with await nats.connect(nats_server.url, token=nats_server.token) as connection:
            stream = connection.jetstream()
            await stream.publish("spark.commands.bitcoin.a", b"")
            before = (await connection.jsm().stream_info(STREAM)).config
            async with opened(groups[0]), opened(groups[1]) as second:
                for nobodys in ("spark.commands.foo.bar", "spark.commands.x"):
                    with pytest.raises(NoStreamResponseError):
                        await stream.publish(nobodys, b"")
                await stream.publish("spark.commands.bitcoin.b", b"")
                subjects = [arrival.subject for arrival in await pulled(second, 2)]
            async with opened(one) as last:
                await stream.publish("spark.commands.foo.bar", b"")
                assert (await connection.jsm().stream_info(STREAM)).config == before
                return subjects + [arrival.subject for arrival in await pulled(last, 3)]

    with capture_logs() as logs:
        taken = with_broker(nats_server, act)
    both = ["spark.commands.bitcoin.a", "spark.commands.bitcoin.b"]
    assert taken == [*both, *both, "spark.commands.foo.bar"]
    assert logs == []


async def pass_over_all(server: EmbeddedNats) -> None:
    """As after the server's mistake: the consumer does not know of the messages that are stored now."""
    async with await nats.connect(server.url, token=server.token) as connection:
        manager = connection.jsm()
        consumer = await consumer_of(manager, "ingress-0")
        await manager.delete_consumer(STREAM, consumer.name)
        await manager.add_consumer(STREAM, replace(consumer.config, filter_subject="spark.commands.nothing"))


def test_a_message_that_the_server_has_passed_over_is_found_and_delivered_anew(nats_server: EmbeddedNats) -> None:
    async def act(broker: NatsBroker) -> Sequence[Arrival]:
        await send_raw(nats_server.port, nats_server.token, pub(GOOD, b"passed over"))
        await pulled(broker, 1)
        await pass_over_all(nats_server)
        assert (await broker.lag()).waiting == 0  # at one look it may be on its way out
        with pytest.raises(BrokerUnavailableError, match="passed over message"):
            await broker.lag()
        await broker.open()
        return await pulled(broker, 1)

    assert [arrival.body for arrival in with_broker(nats_server, act)] == [b"passed over"]


def test_what_is_left_behind_even_so_makes_the_ingress_begin_anew_only_once(nats_server: EmbeddedNats) -> None:
    async def act(broker: NatsBroker) -> list[BrokerLag]:
        await send_raw(nats_server.port, nats_server.token, pub(GOOD, b"{}"))
        await pulled(broker, 1)
        await pass_over_all(nats_server)
        await broker.lag()
        with pytest.raises(BrokerUnavailableError, match="passed over message"):
            await broker.lag()
        return [await broker.lag() for _ in range(3)]

    assert with_broker(nats_server, act) == 3 * [BrokerLag(waiting=0, in_flight=0)]


def test_a_message_that_no_group_takes_any_more_is_not_taken_for_passed_over(nats_server: EmbeddedNats) -> None:
    auth = ("spark.commands.auth.>",)
    narrow = replace(settings_for(nats_server), subjects=auth, stream_subjects=("spark.commands.bitcoin.>", *auth))

    async def act(_: NatsBroker) -> list[BrokerLag]:
        await send_raw(nats_server.port, nats_server.token, pub(b"spark.commands.nobodys", b"{}"))
        async with opened(narrow) as broker:
            return [await broker.lag() for _ in range(3)]

    assert with_broker(nats_server, act) == 3 * [BrokerLag(waiting=0, in_flight=0)]


def test_messages_in_hand_waiting_or_of_another_group_are_not_taken_for_passed_over(
    nats_server: EmbeddedNats,
) -> None:
    one = replace(settings_for(nats_server), max_in_flight=2)
    two = ("spark.commands.auth.>", "spark.commands.bitcoin.>")
    groups = [
        replace(one, group=group, all_groups=("ingress-0", "ingress-1"), subjects=(subject,), stream_subjects=two)
        for group, subject in zip(("ingress-0", "ingress-1"), two, strict=True)
    ]

    async def act(_: NatsBroker) -> list[BrokerLag]:
        async with opened(groups[0]) as first, opened(groups[1]) as second:
            auth, bitcoin = pub(b"spark.commands.auth.a", b"{}"), pub(b"spark.commands.bitcoin.a", b"{}")
            await send_raw(nats_server.port, nats_server.token, auth + 3 * bitcoin)
            await first.acknowledge(await pulled(first, 1))
            await pulled(second, 2)
            async with asyncio.timeout(10):
                while (await first.lag()).in_flight:
                    await asyncio.sleep(0.01)
            return [await broker.lag() for broker in (first, second) for _ in range(3)]

    idle, busy = BrokerLag(waiting=0, in_flight=0), BrokerLag(waiting=1, in_flight=2)
    assert with_broker(nats_server, act) == [idle, idle, idle, busy, busy, busy]


def test_the_only_group_s_consumer_has_no_filter_that_the_server_could_err_with(nats_server: EmbeddedNats) -> None:
    async def act(_: NatsBroker) -> tuple[str | None, list[str] | None]:
        async with await nats.connect(nats_server.url, token=nats_server.token) as connection:
            config = (await consumer_of(connection.jsm(), "ingress-0")).config
            return config.filter_subject, config.filter_subjects

    assert with_broker(nats_server, act) == (None, None)


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    """A server whose store is soon full."""
    server = EmbeddedNats(DataDir(tmp_path), NatsOptions(port=ANY_PORT, max_store_bytes=300_000))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_a_full_stream_refuses_and_keeps_what_it_has_confirmed(small_server: EmbeddedNats) -> None:
    async def act(broker: NatsBroker) -> None:
        async with await nats.connect(small_server.url, token=small_server.token) as connection:
            confirmed = 0
            while confirmed < 1_000 and await is_stored(connection, b"%d" % confirmed + b"x" * 900):
                confirmed += 1
            state = (await connection.jsm().stream_info(STREAM)).state
            assert state.messages == confirmed > 100
            taken = await pulled(broker, 100)
            assert [int(arrival.body.rstrip(b"x")) for arrival in taken] == list(range(100))
            await broker.acknowledge(taken)
            async with asyncio.timeout(10):
                while not await is_stored(connection, b"again"):
                    await asyncio.sleep(0.01)

    with_broker(small_server, act)


async def is_stored(connection: Client, body: bytes) -> bool:
    """Whether the server confirms it; the other answer that it may give is that there is no room."""
    try:
        await connection.jetstream().publish(GOOD.decode(), body)
    except ServiceUnavailableError:
        return False
    return True


@pytest.mark.parametrize("is_erased", [True, False])
def test_what_is_erased_is_gone_from_the_disk_where_what_is_acknowledged_is_not(
    tmp_path: Path, is_erased: bool
) -> None:
    """As long as a neighbour in the same block waits, which a queue under load always has."""
    server = EmbeddedNats(DataDir(tmp_path), NatsOptions(port=ANY_PORT))
    server.start()

    def is_on_disk() -> bool:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return any(b"hunter2-in-clear" in path.read_bytes() for path in files if path.exists())

    async def act(broker: NatsBroker) -> None:
        messages = pub(GOOD, b"first") + pub(GOOD, b"hunter2-in-clear") + pub(GOOD, b"last")
        await send_raw(server.port, server.token, messages)
        _, secret, _ = await pulled(broker, 3)
        if is_erased:
            await broker.erase([secret])
            await broker.erase([secret])
        await broker.acknowledge([secret])
        async with asyncio.timeout(10):
            while (await broker.lag()).in_flight > 2:
                await asyncio.sleep(0.01)

    try:
        with_broker(server, act)
    finally:
        server.stop()
    assert is_on_disk() is not is_erased
