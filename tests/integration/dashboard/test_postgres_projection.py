"""The projection on Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.accounting import messages as accounting
from domain.auth.messages import AccountRegistered
from domain.bitcoin import messages as bitcoin
from domain.crowdfunding import messages as crowdfunding
from domain.dashboard.projection import rows_of
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
from domain.dashboard.views import ViewAccountOverview, ViewActivity, ViewInvoice
from spark_actors.kernel.errors import ConstraintError, StorageUnavailableError
from spark_actors.kernel.messages import Event
from tests.fixtures.dashboard import Dashboard
from tests.fixtures.dashboard_events import MIDNIGHT, Happened, an, deliveries, histories
from tests.fixtures.postgres import emptied

TABLES: Mapping[type[RowSeen], str] = {
    AccountSeen: "accounts",
    CampaignSeen: "campaigns",
    DonationSeen: "donations",
    InvoiceSeen: "invoices",
    GiftSeen: "gifts",
}


def test_no_kind_of_row_is_left_out() -> None:
    assert {*TABLES, ActivitySeen} == set(get_args(RowSeen))


@pytest.fixture
def database(module_database: str) -> str:
    """The module's own, emptied: these tests only write rows."""
    return emptied(module_database)


def stored(dashboard: Dashboard, kind: type[RowSeen]) -> dict[str, Any]:
    rows = [kind(**row) for row in dashboard.rows(f"SELECT * FROM dashboard.{TABLES[kind]}")]
    return {row.key: row for row in rows}


def expected(history: Sequence[Happened], kind: type[RowSeen]) -> dict[str, Any]:
    rows = merged_rows(row for happened in history for row in rows_of(happened.event, happened.occurrence))
    return {row.key: row for row in rows.get(kind, ())}


@pytest.mark.parametrize(
    ("kind", "mine", "theirs"),
    [
        (DonationSeen, crowdfunding.DonationRequested, crowdfunding.DonationRejected),
        (DonationSeen, crowdfunding.DonationRequested, crowdfunding.DonationRegistered),
        (InvoiceSeen, bitcoin.DepositRequested, accounting.Deposited),
    ],
)
def test_nothing_that_names_another_account_changes_a_row(
    dashboard: Dashboard, kind: type[RowSeen], mine: type[Event], theirs: type[Event]
) -> None:
    dashboard.apply(Happened(an(mine, account_id="alice")))
    before = stored(dashboard, kind)

    dashboard.apply(Happened(an(theirs, account_id="bob"), second=1))

    assert stored(dashboard, kind) == before


# Not shrunk: that takes minutes here, and the same property of the domain's own merge is shrunk in the unit tests.
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_postgres_merges_as_the_domain_says_in_any_order_of_delivery(dashboard: Dashboard, data: st.DataObject) -> None:
    dashboard.rows(
        "TRUNCATE dashboard.accounts, dashboard.campaigns, dashboard.donations, dashboard.invoices, dashboard.gifts,"
        " dashboard.activity"
    )
    history = data.draw(histories())

    for batch in data.draw(deliveries(history)):
        dashboard.apply(*batch)

    for kind in TABLES:
        assert stored(dashboard, kind) == expected(history, kind)
    shown = [row["message_id"] for row in dashboard.rows("SELECT message_id FROM dashboard.activity")]
    assert sorted(shown) == sorted(expected(history, ActivitySeen))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_arrives_late_still_fills_what_was_unknown(dashboard: Dashboard, order: tuple[int, ...]) -> None:
    history = [
        Happened(an(bitcoin.DepositRequested), 1, 0),
        Happened(an(bitcoin.InvoiceIssued, payment_request="lnbc42", payment_hash="hash"), 2, 1),
        Happened(an(accounting.Deposited, deposit_id="i1"), 1, 2),
    ]

    for position in order:
        dashboard.apply(history[position])

    invoice = dashboard.ask(ViewInvoice(invoice_id="i1"))
    assert (invoice.state, invoice.requested_at) == ("credited", MIDNIGHT)
    assert (invoice.payment_request, invoice.payment_hash) == ("lnbc42", "hash")
    assert invoice.expires_at is not None


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_was_seen_once_of_a_campaign_or_an_account_is_never_forgotten(
    dashboard: Dashboard, order: tuple[int, ...]
) -> None:
    campaign = [
        Happened(an(crowdfunding.CampaignCreated, account_id="alice", title="Wells"), 1, 0),
        Happened(an(crowdfunding.DonationRegistered, raised_sat=70, donations=2), 3, 1),
        Happened(an(crowdfunding.CampaignGoalReached), 3, 1),
    ]
    account = [
        Happened(an(AccountRegistered, username="satoshi"), 1, 0),
        Happened(an(accounting.AccountOpened, balance_sat=0), 1, 1),
        Happened(an(accounting.WithdrawalAccepted, balance_sat=30), 2, 2),
    ]

    for position in order:
        dashboard.apply(campaign[position], account[position])

    overview = dashboard.ask(ViewAccountOverview(account_id="alice"))
    assert (overview.username, overview.is_open, overview.balance_sat) == ("satoshi", True, 30)
    (shown,) = overview.campaigns
    assert (shown.title, shown.goal_reached, shown.raised_sat, shown.donations) == ("Wells", True, 70, 2)


def test_one_event_that_cannot_be_stored_keeps_its_whole_batch_out_and_the_next_batch_passes(
    dashboard: Dashboard,
) -> None:
    good = Happened(an(AccountRegistered, account_id="alice"))
    bad = Happened(an(AccountRegistered, account_id="bob", username="b\0b"))

    with pytest.raises(ConstraintError):
        dashboard.apply(good, bad)
    assert dashboard.ask(ViewAccountOverview(account_id="alice")) is None

    dashboard.apply(good)
    assert dashboard.ask(ViewAccountOverview(account_id="alice")).username == "satoshi"


def test_a_row_that_breaks_a_rule_is_refused_by_the_name_of_the_rule(dashboard: Dashboard) -> None:
    debt = Happened(an(accounting.TransferDebited, balance_sat=-1))

    with pytest.raises(ConstraintError) as refused:
        dashboard.apply(debt, Happened(an(crowdfunding.CampaignCreated)))

    assert refused.value.constraint == "accounts_balance_not_negative"
    assert dashboard.ask(ViewActivity()).lines == ()


def test_no_events_need_no_database(dashboard: Dashboard) -> None:
    dashboard.runner.run(dashboard.pool.close())

    dashboard.apply()


def test_a_database_that_is_away_is_told_apart_from_a_row_that_cannot_be_stored(dashboard: Dashboard) -> None:
    dashboard.runner.run(dashboard.pool.close())

    with pytest.raises(StorageUnavailableError):
        dashboard.apply(Happened(an(AccountRegistered)))


def test_batches_that_touch_the_same_rows_at_once_do_not_lock_each_other_out(dashboard: Dashboard) -> None:
    def batch(start: int, step: int) -> list[Happened]:
        accounts = [f"account-{number:02}" for number in range(40)][::step]
        return [
            Happened(an(accounting.Deposited, account_id=account, deposit_id=account, balance_sat=start), start, start)
            for account in accounts
        ]

    dashboard.apply_at_once(*(batch(version, (-1) ** version) for version in range(1, 13)))

    assert {row["balance_sat"] for row in dashboard.rows("SELECT balance_sat FROM dashboard.accounts")} == {12}


def test_a_batch_takes_one_round_trip(dashboard: Dashboard, tmp_path: Path) -> None:
    history = [
        Happened(an(kind))
        for kind in (
            AccountRegistered,
            accounting.Deposited,
            crowdfunding.CampaignCreated,
            crowdfunding.DonationRequested,
        )
    ]
    dashboard.apply(*history)  # makes the partition

    assert dashboard.round_trips_of(*history, protocol=tmp_path / "protocol") == 1
