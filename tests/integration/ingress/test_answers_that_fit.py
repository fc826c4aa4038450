"""A real NATS server that takes little in one piece: whoever asks is answered with as much, or told at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from domain.dashboard.views import CampaignDetail, CampaignList, CampaignSummary, ViewCampaign, ViewCampaigns
from spark_actors.actors.queries import Queries
from spark_actors.embedded.addresses import ANY_PORT
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from spark_actors.ingress.client import SparkClient, ViewRefusedError
from spark_actors.ingress.nats_broker import NatsBroker
from spark_actors.kernel.messages import Query
from spark_actors.messaging.door import Door
from spark_actors.messaging.telemetry import AnswerCut, TelemetryEvent
from tests.fixtures.application import REGISTRY, answered_by, example
from tests.fixtures.identity import a_guard
from tests.integration.ingress.test_nats_broker import settings_for
from tests.unit.actors.test_ingress import NOW

T = TypeVar("T")
MAX_PAYLOAD = 12_000
CAMPAIGNS = tuple(replace(example(CampaignSummary), campaign_id=f"c-{number}") for number in range(150))


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    options = NatsOptions(port=ANY_PORT, max_payload_bytes=MAX_PAYLOAD)
    server = EmbeddedNats(DataDir(tmp_path_factory.mktemp("small-nats")), options)
    try:
        server.start()
        yield server
    finally:
        server.stop()


class ManyCampaigns:
    """Views with more in them than the server takes."""

    async def answer(self, query: Query) -> object | None:
        if isinstance(query, ViewCampaign):
            return CampaignDetail(campaign=CAMPAIGNS[0], description="é" * MAX_PAYLOAD, recent_donations=())
        assert isinstance(query, ViewCampaigns)
        begin = [campaign.campaign_id for campaign in CAMPAIGNS].index(query.before_id) + 1 if query.before_id else 0
        return CampaignList(campaigns=CAMPAIGNS[begin : begin + query.limit])


def asked(server: EmbeddedNats, told: list[TelemetryEvent], ask: Callable[[SparkClient], Awaitable[T]]) -> T:
    """What a client is answered by the queries of an ingress."""

    async def play() -> T:
        queries = Queries(
            Door(REGISTRY, 10_000), a_guard(), answered_by(ManyCampaigns().answer), lambda: NOW, told.append
        )
        broker = NatsBroker(settings_for(server))
        broker.answer_queries(queries.answer)
        await broker.open()
        try:
            assert broker.answer_bytes() == MAX_PAYLOAD
            async with await SparkClient.connect(server.url, server.token) as client:
                return await ask(client)
        finally:
            await broker.close()

    return asyncio.run(play())


def test_a_view_of_more_than_the_server_takes_is_read_page_by_page(small_server: EmbeddedNats) -> None:
    told: list[TelemetryEvent] = []

    async def ask(client: SparkClient) -> list[dict[str, Any]]:
        pages = [await client.view(ViewCampaigns(limit=200), timeout=5)]
        while pages[-1]["truncated"]:
            last = pages[-1]["campaigns"][-1]["campaign_id"]
            pages.append(await client.view(ViewCampaigns(limit=200, before=NOW, before_id=last), timeout=5))
        return pages

    pages = asked(small_server, told, ask)
    assert len(pages) > 1
    assert [each["campaign_id"] for page in pages for each in page["campaigns"]] == [
        campaign.campaign_id for campaign in CAMPAIGNS
    ]
    assert told == [AnswerCut("truncated")] * (len(pages) - 1)


def test_a_view_that_cannot_be_cut_is_refused_at_once(small_server: EmbeddedNats) -> None:
    told: list[TelemetryEvent] = []

    async def ask(client: SparkClient) -> str:
        with pytest.raises(ViewRefusedError) as refused:
            await client.view(ViewCampaign(campaign_id="c-0"), timeout=5)
        return refused.value.code

    assert asked(small_server, told, ask) == "too_large"
    assert told == [AnswerCut("too_large")]
