"""How old the oldest command is that a real NATS server still has."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats
import pytest
from nats.js.errors import NotFoundError

from config.settings import load_settings
from spark_actors import daemon
from spark_actors.deployment import Deployment
from spark_actors.embedded.nats_server import EmbeddedNats
from spark_actors.ingress import queue_age
from spark_actors.ingress.nats_broker import STREAM
from spark_actors.ingress.port import BrokerUnavailableError
from spark_actors.ingress.queue_age import oldest_waiting


async def with_stream(server: EmbeddedNats, commands: int) -> None:
    """A stream that holds so many commands; below zero: none at all."""
    async with await nats.connect(server.url, token=server.token) as connection:
        stream = connection.jetstream()
        with suppress(NotFoundError):
            await stream.delete_stream(STREAM)
        if commands >= 0:
            await stream.add_stream(name=STREAM, subjects=["spark.commands.>"])
        for _ in range(commands):
            await stream.publish("spark.commands.accounting.deposit", b"{}")


def test_it_is_when_the_first_of_them_came(nats_server: EmbeddedNats) -> None:
    before = datetime.now(UTC)
    asyncio.run(with_stream(nats_server, 2))
    oldest = asyncio.run(oldest_waiting(nats_server.url, nats_server.token))
    assert oldest is not None
    assert before - timedelta(seconds=1) < oldest < datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize("commands", [0, -1])
def test_without_a_command_or_a_stream_there_is_none(nats_server: EmbeddedNats, commands: int) -> None:
    asyncio.run(with_stream(nats_server, commands))
    assert asyncio.run(oldest_waiting(nats_server.url, nats_server.token)) is None


def test_one_of_several_servers_will_do(nats_server: EmbeddedNats) -> None:
    asyncio.run(with_stream(nats_server, 1))
    for servers in (f"nats://127.0.0.1:1, {nats_server.url}", f"{nats_server.url},nats://127.0.0.1:1"):
        assert asyncio.run(oldest_waiting(servers, nats_server.token)) is not None


def test_a_broker_that_is_away_says_so() -> None:
    with pytest.raises(BrokerUnavailableError):
        asyncio.run(oldest_waiting("nats://127.0.0.1:1", ""))


@pytest.mark.parametrize("is_away", [False, True])
def test_the_daemon_starts_with_an_inbox_that_remembers_as_far_back(
    nats_server: EmbeddedNats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_away: bool
) -> None:
    asyncio.run(with_stream(nats_server, 1))
    monkeypatch.setattr(queue_age, "DAY", timedelta(microseconds=1))  # so that what has just come is old
    url = "nats://127.0.0.1:1" if is_away else nats_server.url
    deployment = Deployment(load_settings(data_dir=tmp_path), {}, {}, url, nats_server.token, tmp_path / "log", "here")
    remembered = daemon._remembering_the_queue(deployment).settings.retention.inbox_days
    assert (remembered == 7) if is_away else (remembered > 7)
