"""What anybody may ask for, after whole worlds of the simulation in which people are refused and use each other's ids."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from typing import Any, cast

import msgspec
import pytest

from domain.crowdfunding.messages import DonationRegistered
from domain.dashboard.views import QUERIES
from domain.shared.messages import Query, Sender
from spark_actors.messaging.envelope import Envelope, decode_data
from spark_actors.messaging.ports import Received
from tests.fixtures.dashboard import Dashboard
from tests.simulation.search import play_one
from tests.simulation.wiring import registry
from tests.simulation.work import PEOPLE

CAMPAIGNS = ("c0", "c1")
PUBLIC = tuple(query for query in QUERIES if query.TYPE.sent_by is Sender.ANYBODY)


@pytest.fixture(scope="module", params=[1, 3])
def announced(request: pytest.FixtureRequest) -> Sequence[Envelope]:
    """Every event of a world."""
    return play_one(request.param, keep_timeline=True).announced


@pytest.fixture
def pages(announced: Sequence[Envelope], dashboard: Dashboard) -> str:
    """Everything that a stranger can read after it, as the stranger gets it."""
    received = [Received(it, cast(Any, decode_data(registry(), it))) for it in announced]
    dashboard.runner.run(dashboard.projection.apply(received))
    answers = [msgspec.json.encode(dashboard.ask(query)).decode() for query in _questions()]
    assert any(campaign in answer for answer in answers for campaign in CAMPAIGNS)
    return "\n".join(answers)


def test_a_stranger_reads_of_nobodys_account(pages: str) -> None:
    shown = [json.dumps(person) for person in PEOPLE if json.dumps(person) in pages]
    assert shown == []


def test_a_stranger_reads_of_donations_only_once_they_are_registered(pages: str, announced: Sequence[Envelope]) -> None:
    events = [cast(Any, decode_data(registry(), it)) for it in announced]
    registered = {it.donation_id for it in events if isinstance(it, DonationRegistered)}
    asked = {it.donation_id for it in events if hasattr(it, "donation_id")}
    assert registered
    assert asked > registered
    assert [it for it in sorted(asked - registered) if json.dumps(it) in pages] == []
    assert "rejected" not in pages


def _questions() -> Iterator[Query]:
    """Every public query, of each campaign if it is of one."""
    for query in PUBLIC:
        needed = [field.name for field in fields(cast(Any, query)) if field.default is MISSING]
        if not needed:
            yield query()
        elif needed == ["campaign_id"]:
            yield from (query(campaign_id=campaign) for campaign in CAMPAIGNS)  # type: ignore[call-arg]
