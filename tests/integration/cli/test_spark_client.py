"""The client against a real NATS server with JetStream, and a stand-in for the daemon behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from domain.crowdfunding.messages import DonateToCampaign
from domain.dashboard.views import ViewDonation
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from spark_actors.ingress.client import (
    Answer,
    NotAcceptedError,
    OutcomeUnknownError,
    SparkClient,
    UnreachableError,
    ViewRefusedError,
    ViewTimeoutError,
)
from spark_actors.kernel.decisions import Verdict

SUBJECT = "spark.commands.crowdfunding.donate-to-campaign"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    server = EmbeddedNats(DataDir(tmp_path), NatsOptions(port=0))
    server.start()
    yield server
    server.stop()


def donation(number: int = 1) -> DonateToCampaign:
    return DonateToCampaign(campaign_id="c1", donation_id=f"d{number}", account_id="a1", amount_sat=number)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 30))


@asynccontextmanager
async def connected(server: EmbeddedNats, *, stream: bool = True) -> AsyncIterator[tuple[SparkClient, NatsClient]]:
    """A client, and a bare connection on which the test plays the daemon."""
    daemon = await nats.connect(server.url, token=server.token)
    if stream:
        await daemon.jetstream().add_stream(name="COMMANDS", subjects=["spark.commands.>"])
    async with await SparkClient.connect(server.url, server.token) as client:
        yield client, daemon
    await daemon.close()


async def answer_commands(daemon: NatsClient) -> None:
    """Answer each command with its own amount, the odd ones with a refusal."""

    async def answer(message: Msg) -> None:
        event = json.loads(message.data)
        amount = event["data"]["amount_sat"]
        refusal = ("rejected", "odd") if amount % 2 else ("done", "")
        reply = {"id": event["id"], "outcome": refusal[0], "reason": refusal[1], "data": {"amount_sat": amount}}
        reply_to = (message.headers or {})["Spark-Reply-To"]
        await daemon.publish(reply_to, json.dumps(reply).encode())

    await listen(daemon, "spark.commands.>", answer)


async def answer_queries(daemon: NatsClient, body: bytes) -> list[Msg]:
    asked: list[Msg] = []

    async def answer(message: Msg) -> None:
        asked.append(message)
        await message.respond(body)

    await listen(daemon, "spark.queries.>", answer)
    return asked


async def listen(daemon: NatsClient, subject: str, callback: Callable[[Msg], Awaitable[None]]) -> None:
    """Subscribe, and return when the server knows of it: nats-py's `flush` may overtake what it has not written yet."""
    await daemon.subscribe(subject, cb=callback)
    await daemon.jetstream().account_info()


async def stored(daemon: NatsClient) -> int:
    return (await daemon.jetstream().stream_info("COMMANDS")).state.messages


def test_a_command_is_stored_as_a_cloud_event_and_its_outcome_comes_back(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, daemon):
            await answer_commands(daemon)
            answer = await client.send(donation(3), message_id="m1", correlation_id="story")
            assert answer == Answer("m1", Verdict.REJECTED, "odd", {"amount_sat": 3})
            event = json.loads((await daemon.jetstream().get_msg("COMMANDS", seq=1)).data or b"")
            assert (event["id"], event["correlationid"], event["subject"]) == ("m1", "story", "c1")
            assert event["type"] == "spark.crowdfunding.donate-to-campaign.v1"

    run(scenario())


def test_each_of_many_commands_in_flight_gets_its_own_outcome(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, daemon):
            await answer_commands(daemon)
            answers = await asyncio.gather(*(client.send(donation(number)) for number in range(500)))
            assert [answer.data["amount_sat"] for answer in answers] == list(range(500))

    run(scenario())


def test_a_command_whose_outcome_does_not_come_is_stored_all_the_same(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, daemon):
            with pytest.raises(OutcomeUnknownError, match="m1"):
                await client.send(donation(), message_id="m1", timeout=0.05)
            assert await stored(daemon) == 1

    run(scenario())


def test_posting_returns_once_the_command_is_stored(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, daemon):
            assert await client.post(donation(), message_id="m1") == "m1"
            assert await stored(daemon) == 1

    run(scenario())


def test_a_command_that_nobody_stores_is_an_error(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        async with connected(server, stream=False) as (client, _):
            with pytest.raises(NotAcceptedError):
                await client.post(donation())

    run(scenario())


def test_bytes_that_are_no_message_can_be_sent_too(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, daemon):
            with pytest.raises(OutcomeUnknownError):
                await client.send_raw(SUBJECT, b"\xff", timeout=0.05)
            assert (await daemon.jetstream().get_msg("COMMANDS", seq=1)).data == b"\xff"

    run(scenario())


def test_a_view_is_asked_for_and_answered_in_json(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, daemon):
            asked = await answer_queries(daemon, b'{"state":"registered"}')
            assert await client.view(ViewDonation(donation_id="d1")) == {"state": "registered"}
            assert (asked[0].subject, json.loads(asked[0].data)) == (
                "spark.queries.dashboard.donation",
                {"donation_id": "d1"},
            )

    run(scenario())


def test_a_refused_query_says_why(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, daemon):
            await answer_queries(daemon, b'{"error":{"code":"not_found","detail":"no such thing"}}')
            with pytest.raises(ViewRefusedError) as refused:
                await client.view(ViewDonation(donation_id="d1"))
            assert (refused.value.code, refused.value.detail) == ("not_found", "no such thing")

    run(scenario())


def test_a_query_that_nobody_answers_is_an_error_at_once(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, _):
            with pytest.raises(ViewTimeoutError, match="no daemon"):
                await client.view(ViewDonation(donation_id="d1"))

    run(scenario())


def test_a_wrong_token_or_a_closed_port_cannot_be_reached(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        for url, token in ((server.url, "wrong"), ("nats://127.0.0.1:1", server.token)):
            with pytest.raises(UnreachableError, match=url):
                await SparkClient.connect(url, token)

    run(scenario())


def test_those_who_wait_are_told_when_the_connection_breaks(server: EmbeddedNats) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, daemon):
            waiting = asyncio.create_task(client.send(donation(), timeout=20))
            while not await stored(daemon):
                await asyncio.sleep(0.01)
            await daemon.close()
            await asyncio.to_thread(server.stop)
            with pytest.raises(UnreachableError):
                await waiting

    run(scenario())
