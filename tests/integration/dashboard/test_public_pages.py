"""What anybody may ask for, after a whole world of the simulation: some are refused, some use each other's ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from itertools import count
from typing import Any, cast

import msgspec
import pytest

from domain.crowdfunding.messages import DonationRegistered
from domain.dashboard.views import QUERIES
from spark_actors.kernel.messages import Event, Query, Sender
from spark_actors.messaging.envelope import Envelope, decode_data
from spark_actors.messaging.ports import Received
from tests.fixtures.application import REGISTRY
from tests.fixtures.dashboard import Dashboard
from tests.simulation.satoshi_spark.work import PEOPLE
from tests.simulation.search import play_one

CAMPAIGNS = ("c0", "c1")
PUBLIC = tuple(query for query in QUERIES if query.TYPE.sent_by is Sender.ANYBODY)


@pytest.fixture(scope="module")
def happened() -> Sequence[Received]:
    """Every event of the first world in which enough donations come to something, and enough to nothing."""
    worlds = (_received(play_one(seed, keep_timeline=True).announced) for seed in count())
    return next(world for world in worlds if min(map(len, _donations(world))) >= 3)


@pytest.fixture
def pages(happened: Sequence[Received], dashboard: Dashboard) -> str:
    """Everything that a stranger can read after it, as the stranger gets it."""
    dashboard.runner.run(dashboard.projection.apply(happened))
    answers = [msgspec.json.encode(dashboard.ask(query)).decode() for query in _questions()]
    assert any(campaign in answer for answer in answers for campaign in CAMPAIGNS)
    return "\n".join(answers)


def test_a_stranger_reads_of_nobodys_account(pages: str) -> None:
    shown = [json.dumps(person) for person in PEOPLE if json.dumps(person) in pages]
    assert shown == []


def test_a_stranger_reads_of_donations_only_once_they_are_registered(pages: str, happened: Sequence[Received]) -> None:
    _, others = _donations(happened)
    assert [it for it in sorted(others) if json.dumps(it) in pages] == []
    assert "rejected" not in pages


def _received(announced: Sequence[Envelope]) -> Sequence[Received]:
    return [Received(it, cast(Event, decode_data(REGISTRY, it))) for it in announced]


def _donations(happened: Sequence[Received]) -> tuple[set[str], set[str]]:
    """Ids of those that were registered, and of those that never were."""
    events: list[Any] = [it.event for it in happened]
    registered = {it.donation_id for it in events if isinstance(it, DonationRegistered)}
    return registered, {it.donation_id for it in events if hasattr(it, "donation_id")} - registered


def _questions() -> Iterator[Query]:
    """Every public query, of each campaign if it is of one."""
    for query in PUBLIC:
        needed = [field.name for field in fields(cast(Any, query)) if field.default is MISSING]
        if not needed:
            yield cast(Any, query)()
        elif needed == ["campaign_id"]:
            yield from (cast(Any, query)(campaign_id=campaign) for campaign in CAMPAIGNS)
