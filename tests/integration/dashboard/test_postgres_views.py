"""What the dashboard answers from Postgres."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from domain.accounting import messages as accounting
from domain.auth.messages import AccountRegistered
from domain.bitcoin import messages as bitcoin
from domain.crowdfunding import messages as crowdfunding
from domain.dashboard.views import (
    MOST_LINES,
    QUERIES,
    AccountOverview,
    CampaignDetail,
    CampaignList,
    CampaignSummary,
    DonationLine,
    GiftLine,
    InvoiceDetail,
    InvoiceLine,
    ViewAccountOverview,
    ViewActivity,
    ViewCampaign,
    ViewCampaigns,
    ViewDonation,
    ViewInvoice,
    ViewTimeline,
)
from spark_actors.kernel.messages import Query
from tests.fixtures.dashboard import Dashboard
from tests.fixtures.dashboard_events import MIDNIGHT, Happened, an
from tests.fixtures.postgres import emptied

WELLS = CampaignSummary(
    campaign_id="wells",
    title="Wells",
    goal_sat=60,
    raised_sat=60,
    donations=1,
    goal_reached=True,
    created_at=MIDNIGHT + timedelta(seconds=3),
)
DONATION = DonationLine(
    donation_id="d1",
    campaign_id="wells",
    account_id="alice",
    amount_sat=60,
    state="registered",
    reason="",
    requested_at=MIDNIGHT + timedelta(seconds=4),
    ended_at=MIDNIGHT + timedelta(seconds=7),
)
GIFT = GiftLine(amount_sat=60, registered_at=MIDNIGHT + timedelta(seconds=7))
DEPOSIT = InvoiceLine(
    invoice_id="i1",
    account_id="alice",
    kind="deposit",
    amount_sat=100,
    state="credited",
    reason="",
    payment_request="lnbc1",
    payment_hash="hash",
    expires_at=MIDNIGHT + timedelta(hours=1),
    requested_at=MIDNIGHT + timedelta(seconds=1),
    ended_at=MIDNIGHT + timedelta(seconds=2),
    received_sat=100,
)
WITHDRAWAL = InvoiceLine(
    invoice_id="i2",
    account_id="alice",
    kind="withdrawal",
    amount_sat=500,
    state="rejected",
    reason="insufficient_funds",
    payment_request="",
    payment_hash="",
    expires_at=None,
    requested_at=MIDNIGHT + timedelta(seconds=8),
    ended_at=MIDNIGHT + timedelta(seconds=9),
    fee_reserve_sat=5,
)


@pytest.fixture
def database(module_database: str) -> str:
    """The module's own, emptied: these tests only write rows."""
    return emptied(module_database)


def a_story() -> list[Happened]:
    """Alice signs up, deposits, donates to Bob's campaign and asks for more than she has."""
    donor = {"from_account_id": "alice", "to_account_id": "bob", "amount_sat": 60}
    donation = {"donation_id": "d1", "account_id": "alice", "amount_sat": 60}
    withdrawal = {"invoice_id": "i2", "amount_sat": 500}
    return [
        Happened(an(AccountRegistered, username="alice"), 1, 0.0),
        Happened(an(accounting.AccountOpened, balance_sat=0), 1, 0.5),
        Happened(an(bitcoin.InvoiceIssued, payment_hash="hash"), 2, 1.0),
        Happened(an(accounting.Deposited, balance_sat=100), 2, 2.0),
        Happened(an(crowdfunding.CampaignCreated, account_id="bob", goal_sat=60), 1, 3.0),
        Happened(an(crowdfunding.DonationRequested, **donation, owner_account_id="bob"), 2, 4.0, "donation"),
        Happened(an(accounting.TransferDebited, **donor, balance_sat=40), 3, 5.0, "donation"),
        Happened(an(accounting.TransferSucceeded, **donor, balance_sat=60), 1, 6.0, "donation"),
        Happened(an(crowdfunding.DonationRegistered, **donation, raised_sat=60, donations=1), 3, 7.0, "donation"),
        Happened(an(crowdfunding.CampaignGoalReached, account_id="bob"), 3, 7.0, "donation"),
        Happened(an(bitcoin.WithdrawalRequested, **withdrawal, fee_reserve_sat=5), 1, 8.0),
        Happened(an(bitcoin.InvoiceRejected, **withdrawal, reason="insufficient_funds"), 2, 9.0),
    ]


def test_a_story_can_be_read_in_every_view(dashboard: Dashboard) -> None:
    dashboard.apply(*a_story())

    assert dashboard.ask(ViewDonation(donation_id="d1")) == DONATION
    in_detail = InvoiceDetail(**vars(DEPOSIT), preimage="", uri="lightning:LNBC1")
    assert dashboard.ask(ViewInvoice(invoice_id="i1")) == in_detail
    assert dashboard.ask(ViewInvoice(invoice_id="i2")) == InvoiceDetail(**vars(WITHDRAWAL), preimage="", uri="")
    assert dashboard.ask(ViewCampaigns()) == CampaignList(campaigns=(WELLS,))
    assert dashboard.ask(ViewCampaign(campaign_id="wells")) == CampaignDetail(
        campaign=WELLS, description="Clean water", recent_donations=(GIFT,)
    )


def test_who_has_paid_sees_the_proof_and_the_fee_where_he_asks_for_it_and_nowhere_else(dashboard: Dashboard) -> None:
    dashboard.apply(Happened(an(bitcoin.WithdrawalPaid, preimage="proof", fee_reserve_sat=5, fee_sat=2)))

    paid = dashboard.ask(ViewInvoice(invoice_id="i1"))
    assert (paid.preimage, paid.fee_reserve_sat, paid.fee_sat) == ("proof", 5, 2)
    for query in (ViewAccountOverview(account_id="alice"), ViewActivity(), ViewTimeline(correlation_id="story")):
        assert "proof" not in str(dashboard.ask(query))


def test_a_deposit_that_brought_in_more_shows_both_amounts(dashboard: Dashboard) -> None:
    history = [
        Happened(an(bitcoin.InvoiceIssued, amount_sat=70), 2, 1.0),
        Happened(an(bitcoin.DepositPaid, amount_sat=75), 3, 2.0),
        Happened(an(accounting.Deposited, amount_sat=75), 2, 3.0),
    ]
    for happened in reversed(history):
        dashboard.apply(happened)

    deposit = dashboard.ask(ViewInvoice(invoice_id="i1"))
    assert (deposit.amount_sat, deposit.received_sat, deposit.state) == (70, 75, "credited")


def test_a_campaigns_page_shows_what_was_registered_and_to_whom_it_belongs_nobody(dashboard: Dashboard) -> None:
    dashboard.apply(
        *a_story(),
        Happened(an(crowdfunding.DonationRequested, donation_id="d2", account_id="carol"), 4, 10.0),
        Happened(an(crowdfunding.DonationRequested, donation_id="d3", account_id="dave"), 5, 11.0),
        Happened(an(crowdfunding.DonationRejected, donation_id="d3", account_id="dave"), 6, 12.0),
    )

    page = dashboard.ask(ViewCampaign(campaign_id="wells"))

    assert page.recent_donations == (GIFT,)
    assert not {"alice", "bob", "carol", "dave"} & set(re.findall(r"\w+", repr(page)))
    donor = dashboard.ask(ViewAccountOverview(account_id="alice")).donations
    assert [line.donation_id for line in donor] == ["d1"]


def test_a_donor_sees_why_a_donation_of_his_has_ended(dashboard: Dashboard) -> None:
    dashboard.apply(
        Happened(an(AccountRegistered, account_id="dave"), 1),
        Happened(an(crowdfunding.DonationRequested, donation_id="d3", account_id="dave"), 5, 11.0),
        Happened(an(crowdfunding.DonationRejected, donation_id="d3", account_id="dave"), 6, 12.0),
    )

    (line,) = dashboard.ask(ViewAccountOverview(account_id="dave")).donations

    assert (line.state, line.reason) == ("rejected", "insufficient_funds")


def test_an_overview_has_all_that_an_account_is_about(dashboard: Dashboard) -> None:
    dashboard.apply(*a_story())

    assert dashboard.ask(ViewAccountOverview(account_id="alice")) == AccountOverview(
        account_id="alice",
        username="alice",
        balance_sat=40,
        is_open=True,
        campaigns=(),
        donations=(DONATION,),
        deposits=(DEPOSIT,),
        withdrawals=(WITHDRAWAL,),
    )
    owner = dashboard.ask(ViewAccountOverview(account_id="bob"))
    assert (owner.username, owner.balance_sat, owner.is_open, owner.campaigns) == ("", 60, False, (WELLS,))


def test_a_timeline_tells_one_story_in_the_order_in_which_it_happened(dashboard: Dashboard) -> None:
    *earlier, registered, reached, _, _ = a_story()
    dashboard.apply(registered, reached)
    dashboard.apply(*earlier)

    lines = dashboard.ask(ViewTimeline(correlation_id="donation")).lines

    assert [line.event for line in lines] == [
        "crowdfunding.donation-requested",
        "accounting.transfer-debited",
        "accounting.transfer-succeeded",
        "crowdfunding.donation-registered",
        "crowdfunding.campaign-goal-reached",
    ]
    assert (lines[0].key, lines[0].at, lines[0].account_id) == ("wells", DONATION.requested_at, "alice")
    assert (lines[0].data["amount_sat"], lines[0].causation_id) == (60, "a-command")


def test_a_timeline_is_read_page_by_page(dashboard: Dashboard) -> None:
    dashboard.apply(*a_story())
    whole = dashboard.ask(ViewTimeline(correlation_id="donation")).lines

    pages = [dashboard.ask(ViewTimeline(correlation_id="donation", limit=2)).lines]
    while pages[-1]:
        last = pages[-1][-1].message_id
        pages.append(dashboard.ask(ViewTimeline(correlation_id="donation", limit=2, after_id=last)).lines)

    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert tuple(line for page in pages for line in page) == whole


def test_a_feed_shows_each_event_once_to_the_account_that_it_is_about(dashboard: Dashboard) -> None:
    dashboard.apply(*a_story())
    dashboard.apply(*a_story())

    everybody = dashboard.ask(ViewActivity()).lines
    owner = dashboard.ask(ViewActivity(account_id="bob")).lines

    assert len({line.message_id for line in everybody}) == len(everybody)
    assert len(everybody) == len(a_story())
    assert [line.event for line in owner] == [
        "crowdfunding.campaign-goal-reached",
        "accounting.transfer-succeeded",
        "crowdfunding.campaign-created",
    ]


@pytest.mark.parametrize("account_id", ["", "alice"])
def test_turning_pages_of_the_feed_misses_and_repeats_nothing_of_one_instant(
    dashboard: Dashboard, account_id: str
) -> None:
    turn = [Happened(an(accounting.Deposited, deposit_id=f"d{number}"), number) for number in range(7)]
    dashboard.apply(*turn)

    seen: list[str] = []
    page = dashboard.ask(ViewActivity(account_id=account_id, limit=3)).lines
    while page:
        seen += [line.message_id for line in page]
        last = page[-1]
        page = dashboard.ask(
            ViewActivity(account_id=account_id, limit=3, before=last.at, before_id=last.message_id)
        ).lines

    assert sorted(seen) == sorted(happened.envelope.message_id for happened in turn)


def test_turning_pages_of_the_campaigns_misses_and_repeats_none(dashboard: Dashboard) -> None:
    dashboard.apply(*(Happened(an(crowdfunding.CampaignCreated, campaign_id=f"c{number}")) for number in range(5)))

    first = dashboard.ask(ViewCampaigns(limit=3)).campaigns
    last = first[-1]
    second = dashboard.ask(ViewCampaigns(limit=3, before=last.created_at, before_id=last.campaign_id)).campaigns

    assert [campaign.campaign_id for campaign in (*first, *second)] == ["c4", "c3", "c2", "c1", "c0"]


def test_a_page_may_begin_before_a_time_alone(dashboard: Dashboard) -> None:
    dashboard.apply(*a_story())

    lines = dashboard.ask(ViewActivity(before=MIDNIGHT + timedelta(seconds=0.5))).lines

    assert [line.event for line in lines] == ["auth.account-registered"]


def test_a_campaign_is_not_listed_before_its_creation_is_seen(dashboard: Dashboard) -> None:
    dashboard.apply(Happened(an(crowdfunding.DonationRegistered, raised_sat=60), 3))
    assert dashboard.ask(ViewCampaigns()).campaigns == ()
    assert dashboard.ask(ViewCampaign(campaign_id="wells")) is None

    dashboard.apply(Happened(an(crowdfunding.CampaignCreated), 1))
    assert dashboard.ask(ViewCampaign(campaign_id="wells")).campaign.raised_sat == 60


@pytest.mark.parametrize("limit", [1, MOST_LINES])
def test_an_answer_has_as_many_lines_as_were_asked_for(dashboard: Dashboard, limit: int) -> None:
    dashboard.apply(*(Happened(an(accounting.Deposited), sequence) for sequence in range(MOST_LINES + 1)))

    assert len(dashboard.ask(ViewActivity(limit=limit)).lines) == limit


@pytest.mark.parametrize(
    "asked",
    [
        ViewAccountOverview(account_id="nobody"),
        ViewCampaign(campaign_id="none"),
        ViewInvoice(invoice_id="none"),
        ViewDonation(donation_id="none"),
    ],
    ids=lambda asked: type(asked).__name__,
)
def test_what_does_not_exist_has_no_answer(dashboard: Dashboard, asked: Query) -> None:
    assert dashboard.ask(asked) is None


def test_every_query_of_the_dashboard_is_answered(dashboard: Dashboard) -> None:
    assert set(dashboard.views.answers) == set(QUERIES)
