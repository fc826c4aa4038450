"""What events tell about the rows of the read models, and how that merges."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accounting import messages as accounting
from domain.auth import messages as auth
from domain.auth.messages import AccountRegistered
from domain.bitcoin import messages as bitcoin
from domain.crowdfunding import messages as crowdfunding
from domain.dashboard.projection import PROJECTED, feed_account, rows_of
from domain.dashboard.rows import (
    AccountSeen,
    ActivitySeen,
    CampaignSeen,
    DonationSeen,
    GiftSeen,
    InvoiceSeen,
    RowSeen,
    merged_rows,
)
from spark_actors.kernel.messages import Event
from tests.fixtures.dashboard_events import EVENTS, MIDNIGHT, Happened, an, deliveries, histories

INVOICE = crowdfunding.invoice_of_gift("g1")
Rows = Mapping[type[RowSeen], Sequence[Any]]


def rows_after(*history: Happened) -> Rows:
    return merged_rows(row for happened in history for row in rows_of(happened.event, happened.occurrence))


def rows_in_batches(batches: Iterable[Sequence[Happened]]) -> Rows:
    """As a store does it: each batch is merged first, then into what is stored."""
    stored: Rows = {}
    for batch in batches:
        stored = merged_rows(chain(*stored.values(), *rows_after(*batch).values()))
    return stored


def states_in_any_order(row: type[RowSeen], *kinds: type[Event]) -> set[str]:
    """In which states the only row of a type may end up when one event of each type arrives in any order."""
    ids = {"invoice_id": "i1", "deposit_id": "i1", "withdrawal_id": "i1"}
    told = [an(kind, **{name: one for name, one in ids.items() if name in kind.__annotations__}) for kind in kinds]
    history = [Happened(event, second=float(second)) for second, event in enumerate(told)]
    return {rows_after(*order)[row][0].state for order in permutations(history)}


@given(st.data())
def test_rows_do_not_depend_on_batches_redelivery_or_the_order_across_aggregates(data: st.DataObject) -> None:
    history = data.draw(histories())

    assert rows_in_batches(data.draw(deliveries(history))) == rows_after(*history)


@given(histories([kind for kind in EVENTS if "balance_sat" in kind.__annotations__]))
def test_the_balance_is_that_of_the_latest_event_of_the_account(history: list[Happened]) -> None:
    latest = {happened.event.key: vars(happened.event)["balance_sat"] for happened in history}

    accounts = rows_after(*reversed(history))[AccountSeen]

    assert {account.key: account.balance_sat for account in accounts} == latest


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: str(kind.TYPE.name))
def test_every_event_of_every_context_is_shown_in_the_feed_of_an_account_that_it_names(kind: type[Event]) -> None:
    happened = Happened(an(kind))

    (line,) = rows_after(happened)[ActivitySeen]

    assert kind in PROJECTED
    assert (line.event, line.event_key) == (kind.TYPE.name, happened.event.key)
    nobodys = (bitcoin.InvoiceChangeRejected, crowdfunding.GiftRequested, crowdfunding.GiftRegistered)
    assert line.account_id in vars(happened.event).values() or kind in nobodys


@pytest.mark.parametrize("kind", [kind for kind in EVENTS if "balance_sat" in kind.__annotations__])
def test_every_event_that_carries_a_balance_sets_it(kind: type[Event]) -> None:
    event = an(kind, balance_sat=77)

    (account,) = rows_after(Happened(event, sequence=3))[AccountSeen]

    assert (account.account_id, account.balance_sat, account.sequence) == (event.key, 77, 3)


def test_an_account_credited_before_its_sign_up_is_seen_keeps_balance_and_name() -> None:
    deposited = Happened(an(accounting.Deposited, balance_sat=40), sequence=1)
    registered = Happened(an(AccountRegistered, username="satoshi"))
    opened = Happened(an(accounting.AccountOpened, balance_sat=40), sequence=2)

    for order in permutations([deposited, registered, opened]):
        (account,) = rows_after(*order)[AccountSeen]
        assert account == AccountSeen(account_id="alice", username="satoshi", is_open=True, balance_sat=40, sequence=2)


def of_gift(kind: type[Event], **content: Any) -> Event:
    """An event of the one gift, or of its invoice."""
    return an(
        kind,
        **({"invoice_id": INVOICE} if "invoice_id" in kind.__annotations__ else {}),
        campaign_id="wells",
        **content,
    )


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        ((crowdfunding.GiftRequested, bitcoin.InvoiceIssued), "issued"),
        ((crowdfunding.GiftRequested, bitcoin.InvoiceIssued, bitcoin.InvoiceExpired), "expired"),
        ((crowdfunding.GiftRequested, bitcoin.DepositFailed), "failed"),
        ((crowdfunding.GiftRequested, bitcoin.InvoiceIssued, bitcoin.InvoiceExpired, bitcoin.DepositPaid), "paid"),
        ((bitcoin.InvoiceIssued, bitcoin.DepositPaid, crowdfunding.GiftRegistered), "registered"),
    ],
)
def test_a_gift_ends_in_the_same_state_in_whatever_order_events_arrive(kinds: list[type[Event]], state: str) -> None:
    history = [Happened(of_gift(kind), second=float(second)) for second, kind in enumerate(kinds)]
    for order in permutations(history):
        rows = rows_after(*order)
        assert [(gift.gift_id, gift.state) for gift in rows[GiftSeen]] == [("g1", state)]
        assert InvoiceSeen not in rows


def test_a_gift_shows_what_arrived_and_what_its_giver_wanted_to_say() -> None:
    asked = Happened(of_gift(crowdfunding.GiftRequested, amount_sat=40, name="Zoë", message="Keep dry"))
    issued = Happened(of_gift(bitcoin.InvoiceIssued, amount_sat=40, payment_request="lnbc40"), second=1)
    registered = Happened(of_gift(crowdfunding.GiftRegistered, amount_sat=45), second=2)
    for order in permutations([asked, issued, registered]):
        (gift,) = rows_after(*order)[GiftSeen]
        assert (gift.amount_sat, gift.name, gift.message) == (45, "Zoë", "Keep dry")
        assert gift.payment_request == "lnbc40"


@pytest.mark.parametrize("kind", [bitcoin.DepositRequested, bitcoin.InvoiceIssued, bitcoin.DepositPaid])
def test_what_strangers_ask_a_campaign_for_is_in_nobodys_feed(kind: type[Event]) -> None:
    (line,) = rows_after(Happened(of_gift(kind)))[ActivitySeen]
    assert line.account_id == ""


def test_a_campaign_keeps_its_totals_and_its_goal_whatever_is_seen_first() -> None:
    created = Happened(an(crowdfunding.CampaignCreated, goal_sat=100), sequence=1)
    donated = Happened(an(crowdfunding.DonationRegistered, raised_sat=100, donations=1), sequence=2, second=1)
    reached = Happened(an(crowdfunding.CampaignGoalReached), sequence=2, second=1)

    for order in permutations([created, donated, reached]):
        (campaign,) = rows_after(*order)[CampaignSeen]
        assert (campaign.title, campaign.created_at) == ("Wells", MIDNIGHT)
        assert (campaign.raised_sat, campaign.donations, campaign.goal_reached) == (100, 1, True)


def test_a_registered_donation_never_becomes_a_rejected_one() -> None:
    assert states_in_any_order(
        DonationSeen,
        crowdfunding.DonationRequested,
        crowdfunding.DonationRegistered,
        crowdfunding.DonationRejected,
    ) == {"registered"}


def test_a_rejected_donation_says_why_and_when_it_ended() -> None:
    requested = Happened(an(crowdfunding.DonationRequested), second=0)
    rejected = Happened(an(crowdfunding.DonationRejected, reason="insufficient_funds"), second=5)

    (donation,) = rows_after(rejected, requested)[DonationSeen]

    assert (donation.state, donation.reason, donation.has_ended) == ("rejected", "insufficient_funds", True)
    assert (donation.requested_at, donation.state_at) == (MIDNIGHT, rejected.occurrence.occurred_at)


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        ((bitcoin.DepositRequested, bitcoin.InvoiceIssued), "issued"),
        ((bitcoin.DepositRequested, bitcoin.InvoiceIssued, bitcoin.InvoiceExpired), "expired"),
        ((bitcoin.DepositRequested, bitcoin.DepositFailed), "failed"),
        ((bitcoin.InvoiceIssued, bitcoin.DepositPaid, bitcoin.InvoiceExpired), "paid"),
        ((bitcoin.DepositRequested, bitcoin.DepositPaid, accounting.Deposited), "credited"),
        ((bitcoin.WithdrawalRequested, bitcoin.InvoiceRejected), "rejected"),
        ((bitcoin.WithdrawalRequested, bitcoin.WithdrawalAuthorized, bitcoin.WithdrawalPaid), "paid"),
        ((bitcoin.WithdrawalAuthorized, bitcoin.WithdrawalFailed), "failed"),
        ((bitcoin.WithdrawalAuthorized, bitcoin.WithdrawalFailed, accounting.WithdrawalRefunded), "refunded"),
    ],
)
def test_an_invoice_ends_in_the_same_state_in_whatever_order_events_arrive(
    kinds: tuple[type[Event], ...], state: str
) -> None:
    assert states_in_any_order(InvoiceSeen, *kinds) == {state}


@pytest.mark.parametrize(
    "kind",
    [
        auth.RegistrationRejected,
        crowdfunding.CampaignRejected,
        bitcoin.DepositRequestRejected,
        bitcoin.WithdrawalRequestRejected,
    ],
)
def test_nothing_is_read_of_what_earlier_releases_refused_at_once(kind: type[Event]) -> None:
    assert kind.TYPE.is_former
    assert kind not in PROJECTED


@pytest.mark.parametrize("reason", ["own_campaign", "unknown_campaign"])
def test_a_refusal_at_once_of_an_earlier_release_is_not_read_as_the_end_of_a_donation(reason: str) -> None:
    requested = Happened(an(crowdfunding.DonationRequested))
    refused = Happened(an(crowdfunding.DonationRejectedV1, reason=reason), second=1)

    assert rows_after(requested, refused) == rows_after(requested)
    assert rows_after(refused) == {}


def test_the_end_of_a_donation_that_an_earlier_release_told_of_is_read() -> None:
    requested = Happened(an(crowdfunding.DonationRequested))
    rejected = Happened(an(crowdfunding.DonationRejectedV1, reason="insufficient_funds"), second=1)

    (donation,) = rows_after(requested, rejected)[DonationSeen]

    assert (donation.state, donation.reason) == ("rejected", "insufficient_funds")


def test_nothing_that_names_another_account_changes_whose_a_donation_is() -> None:
    mine = Happened(an(crowdfunding.DonationRequested, account_id="alice"))
    theirs = Happened(an(crowdfunding.DonationRejected, account_id="bob", reason="insufficient_funds"), second=1)

    assert rows_after(mine, theirs)[DonationSeen] == rows_after(mine)[DonationSeen]


def test_nothing_that_names_another_account_changes_whose_an_invoice_is() -> None:
    mine = Happened(an(bitcoin.DepositRequested, account_id="alice"))
    theirs = Happened(an(accounting.Deposited, account_id="bob"), second=1)

    assert rows_after(mine, theirs)[InvoiceSeen] == rows_after(mine)[InvoiceSeen]


@pytest.mark.parametrize("kind", [accounting.Deposited, accounting.WithdrawalRefunded])
def test_what_accounting_does_for_nobodys_invoice_is_no_invoice(kind: type[Event]) -> None:
    assert InvoiceSeen not in rows_after(Happened(an(kind, purpose="by hand")))


def test_the_payment_request_stays_in_view_after_the_money_was_credited() -> None:
    issued = Happened(an(bitcoin.InvoiceIssued, payment_request="lnbc42"), second=0)
    credited = Happened(an(accounting.Deposited, deposit_id="i1"), second=1)

    for order in permutations([issued, credited]):
        (invoice,) = rows_after(*order)[InvoiceSeen]
        assert (invoice.state, invoice.payment_request, invoice.requested_at) == ("credited", "lnbc42", MIDNIGHT)


def test_the_feed_never_shows_a_preimage() -> None:
    paid = an(bitcoin.WithdrawalPaid, preimage="secret", amount_sat=7, fee_reserve_sat=2, fee_sat=1)
    (line,) = rows_after(Happened(paid))[ActivitySeen]

    amounts = {"amount_sat": 7, "fee_reserve_sat": 2, "fee_sat": 1}
    assert json.loads(line.data) == {"invoice_id": "i1", "account_id": "alice", **amounts}


def test_a_deposit_shows_what_was_asked_for_and_what_arrived_in_whatever_order_that_is_seen() -> None:
    history = [
        Happened(an(bitcoin.DepositRequested, amount_sat=70), second=0),
        Happened(an(bitcoin.InvoiceIssued, amount_sat=70), second=1),
        Happened(an(bitcoin.DepositPaid, amount_sat=75), second=2),
        Happened(an(accounting.Deposited, amount_sat=75, deposit_id="i1"), second=3),
    ]

    for order in permutations(history):
        (invoice,) = rows_after(*order)[InvoiceSeen]
        assert (invoice.amount_sat, invoice.received_sat, invoice.state) == (70, 75, "credited")


def test_a_withdrawal_shows_what_its_route_has_cost_and_the_proof() -> None:
    requested = Happened(an(bitcoin.WithdrawalRequested, fee_reserve_sat=3), second=0)
    paid = Happened(an(bitcoin.WithdrawalPaid, fee_reserve_sat=3, fee_sat=0, preimage="proof"), second=1)

    for order in permutations([requested, paid]):
        (invoice,) = rows_after(*order)[InvoiceSeen]
        assert (invoice.fee_reserve_sat, invoice.fee_sat, invoice.preimage) == (3, 0, "proof")


def test_nothing_that_names_another_amount_changes_what_was_asked_for() -> None:
    mine = Happened(an(bitcoin.WithdrawalRequested, amount_sat=70))
    other = Happened(an(accounting.WithdrawalRefunded, withdrawal_id="i1", amount_sat=71), second=1)

    assert rows_after(mine, other)[InvoiceSeen] == rows_after(mine)[InvoiceSeen]


@pytest.mark.parametrize(
    ("kind", "account_id"),
    [
        (crowdfunding.DonationRequested, "donor"),
        (crowdfunding.CampaignGoalReached, "owner"),
        (accounting.TransferDebited, "payer"),
        (accounting.TransferRejected, "payer"),
        (accounting.TransferRefunded, "payer"),
        (accounting.TransferCreditRefused, "payer"),
        (accounting.TransferSucceeded, "payee"),
    ],
)
def test_an_event_is_shown_to_whom_it_concerns(kind: type[Event], account_id: str) -> None:
    own = "owner" if kind is crowdfunding.CampaignGoalReached else "donor"
    names = {
        "account_id": own,
        "owner_account_id": "owner",
        "from_account_id": "payer",
        "to_account_id": "payee",
    }

    event = an(kind, **{name: value for name, value in names.items() if name in kind.__annotations__})

    assert feed_account(event) == account_id
