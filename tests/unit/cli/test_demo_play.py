"""The demo sees what it expects, says what it does not, and shows both."""

from __future__ import annotations

import asyncio
import json
from io import StringIO
from typing import Any, cast

import pytest
from rich.console import Console

from domain.cli.demo.play import Performance, Play
from domain.cli.demo.show import render_summary, summary
from domain.cli.demo.story import Story, write_story
from spark_actors.cli.demo import Silence
from spark_actors.ingress.client import SparkClient, UnreachableError
from spark_actors.kernel.messages import Query
from tests.unit.cli.fake_daemon import FakeDaemon
from tests.unit.domain.builders import ARGON2


@pytest.fixture
def story() -> Story:
    return write_story(1, "x", quick=True)


def play(story: Story, daemon: FakeDaemon) -> Performance:
    client = cast(SparkClient, daemon)
    return asyncio.run(Play(client, story, Silence(), patience_seconds=0.05, hashed=lambda _: ARGON2).perform())


def shown(seen: Performance) -> str:
    console = Console(width=200, record=True, file=StringIO())
    console.print(render_summary(seen))
    return console.export_text()


def test_a_story_that_goes_as_it_should_meets_every_check(story: Story) -> None:
    seen = play(story, FakeDaemon(story))
    assert seen.failures == []
    assert len(seen.checks) > len(story.gifts) + len(story.mischief) + len(story.payouts) + len(story.people)


def test_the_first_donation_is_delivered_three_times_under_one_id(story: Story) -> None:
    daemon = FakeDaemon(story)
    play(story, daemon)
    assert daemon.delivered[f"{story.gifts[0].donation_id}-command"] == 3


def test_a_balance_that_is_off_by_one_satoshi_is_seen(story: Story) -> None:
    carol = story.people[2]
    seen = play(story, FakeDaemon(story, lies={carol.name: story.balance_of(carol) + 1}))
    assert [(each.what, each.expected, each.seen) for each in seen.failures] == [
        ("Carol's balance", story.balance_of(carol), story.balance_of(carol) + 1)
    ]
    assert not summary(seen)["passed"]
    assert "not as expected: 1" in shown(seen)


def test_a_route_that_has_cost_more_than_was_set_aside_is_seen(story: Story) -> None:
    paid = [payout for payout in story.payouts if payout.state == "paid"]
    seen = play(story, FakeDaemon(story, fee_sat=3))
    assert [each.what.rpartition(": ")[2] for each in seen.failures] == ["the fee is within its reserve"] * len(paid)


def test_a_daemon_that_goes_away_ends_the_play_with_one_error(story: Story) -> None:
    class Gone(FakeDaemon):
        async def view(self, query: Query, *, timeout: float = 0) -> dict[str, Any]:
            raise UnreachableError("the connection to the broker broke")

    with pytest.raises(UnreachableError):
        play(story, Gone(story))


def test_the_summary_names_people_campaigns_refusals_and_withdrawals(story: Story) -> None:
    text = shown(play(story, FakeDaemon(story)))
    names = [person.name for person in story.people] + [campaign.title for campaign in story.campaigns]
    reasons = [each.reason for each in story.mischief] + [payout.state for payout in story.payouts]
    assert [word for word in names + reasons if word not in text] == []
    assert "every satoshi is accounted for" in text


def test_the_summary_for_scripts_is_json(story: Story) -> None:
    told = json.loads(json.dumps(summary(play(story, FakeDaemon(story)))))
    assert (told["passed"], told["failures"], told["seed"]) == (True, [], 1)
    assert {person["name"] for person in told["people"]} == {person.name for person in story.people}
