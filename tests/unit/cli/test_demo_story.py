"""The demo's story holds together before anything of it is played."""

from __future__ import annotations

import pytest

from domain.cli.demo.story import GIFTS, GIFTS_QUICK, Story, write_story

SEEDS = range(25)


def amounts(story: Story) -> list[int]:
    return [person.deposit_sat for person in story.people] + [gift.amount_sat for gift in story.gifts]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("quick", [False, True])
def test_nobody_gives_or_withdraws_more_than_there_is(seed: int, quick: bool) -> None:
    story = write_story(seed, "x", quick=quick)
    assert all(story.balance_of(person) >= 0 for person in story.people)
    assert all(person.deposit_sat >= story.given_by(person) for person in story.people)
    assert len(story.gifts) == (GIFTS_QUICK if quick else GIFTS)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_held_is_what_came_in_less_what_went_out(seed: int) -> None:
    story = write_story(seed, "x")
    assert sum(map(story.balance_of, story.people)) == story.came_in - story.went_out


@pytest.mark.parametrize("seed", SEEDS)
def test_one_campaign_reaches_its_goal_and_the_other_does_not(seed: int) -> None:
    story = write_story(seed, "x", quick=True)
    assert [story.raised_for(campaign) >= campaign.goal_sat for campaign in story.campaigns] == [True, False]


def test_equal_seeds_tell_the_same_amounts_under_other_ids() -> None:
    first, second = write_story(7, "one"), write_story(7, "two")
    assert amounts(first) == amounts(second)
    assert amounts(first) != amounts(write_story(8, "one"))
    assert {person.account_id for person in first.people}.isdisjoint(person.account_id for person in second.people)


def test_no_id_is_used_twice_unless_that_is_the_point() -> None:
    story = write_story(7, "x")
    gifts = [gift.donation_id for gift in story.gifts]
    own = [each.command.key for each in story.mischief if each.command.TYPE.context == "auth"]
    invoices = [payout.invoice_id for payout in story.payouts] + [person.deposit_id for person in story.people]
    for ids in (gifts, own, invoices):
        assert len(ids) == len(set(ids))
    assert [each.after for each in story.mischief if each.after] == [gifts[1]]
