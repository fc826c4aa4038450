"""The audit of a live database: a sound one passes, and every kind of damage is found and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from domain.accounting.account import LIGHTNING, ROUTING, Movement, MovementKind
from domain.application import APPLICATION
from domain.shared.money import Satoshis
from spark_actors.cli.audit import checks_of
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.sagas import SagaProgress, SagaState
from spark_actors.persistence import tuning
from spark_actors.persistence.audit import Check
from tests.fixtures.aggregates import (
    a_campaign,
    a_credit,
    a_debit,
    a_donation,
    a_movement,
    a_request,
    an_account,
    an_event,
    commit,
    created,
)
from tests.fixtures.letters import a_letter, progress
from tests.fixtures.pages import ROOT, block
from tests.fixtures.postgres import emptied
from tests.fixtures.stores import PostgresStores

NOW = datetime.now(UTC) + timedelta(minutes=15)
"""Nothing of this is old yet, however long the tests before these take: the module is read before the first of them."""
INVOICES = """
    INSERT INTO bitcoin.invoices VALUES
        ('d', 2, 'deposit', 'paid', 'alice', 600, now(), 'h1', 'r', now(), NULL, NULL, now(), NULL, NULL, 700),
        ('waits', 2, 'deposit', 'issued', 'alice', 700, now(), 'h4', 'r', now(), NULL, NULL, NULL, NULL, NULL, NULL),
        ('never', 2, 'deposit', 'failed', 'alice', 700, now(), NULL, NULL, NULL, NULL, 'amount_too_large', NULL, NULL,
         NULL, NULL),
        ('paid', 3, 'withdrawal', 'paid', 'alice', 70, now(), 'h2', 'r', now(), 'proof', NULL, now(), 5, 2, NULL),
        ('failed', 3, 'withdrawal', 'failed', 'alice', 70, now(), 'h3', 'r', now(), NULL, 'no_route', now(), 5, NULL,
         NULL),
        ('dear', 3, 'withdrawal', 'paid', 'alice', 70, now(), 'h5', 'r', now(), 'proof', NULL, now(), 5, 5, NULL),
        ('before', 3, 'withdrawal', 'paid', 'alice', 70, now(), 'h6', 'r', now(), 'proof', NULL, now(), NULL, NULL,
         NULL),
        ('open', 2, 'withdrawal', 'authorized', 'alice', 70, now(), 'h7', 'r', now(), NULL, NULL, NULL, 5, NULL, NULL)
"""


STATEMENT = """
    INSERT INTO bitcoin.node_statement_read VALUES
        ('payments', '9', now() - interval '1 hour', now()), ('receipts', '9', now() - interval '1 hour', now());
    INSERT INTO bitcoin.node_payments VALUES ('h2', 70, 2), ('h5', 70, 5), ('h6', 70, 1), ('h7', 70, 4);
    INSERT INTO bitcoin.node_payments VALUES ('past', 5, 0, now() - interval '2 hours');
    INSERT INTO bitcoin.node_receipts_unknown VALUES ('past', now() - interval '2 hours'), ('h4', now())
"""
"""What the node has paid, and an open deposit that was read before it was known; and what was before all this."""


OF_D = " WHERE idempotency_key = 'invoice/d'"
LONG_AGO = "UPDATE bitcoin.invoices SET settled_at = settled_at - interval '6 minutes'"


def debit_of(withdrawal_id: str) -> Movement:
    return Movement(f"withdrawal/{withdrawal_id}/debit", "alice", LIGHTNING, Satoshis(70), MovementKind.WITHDRAWAL, NOW)


def refund_of(withdrawal_id: str) -> Movement:
    key = f"withdrawal/{withdrawal_id}"
    return Movement(
        f"{key}/refund", LIGHTNING, "alice", Satoshis(70), MovementKind.WITHDRAWAL_REFUND, NOW, f"{key}/debit"
    )


def reserve_of(withdrawal_id: str) -> Movement:
    key = f"withdrawal/{withdrawal_id}/reserve"
    return Movement(key, "alice", ROUTING, Satoshis(5), MovementKind.FEE_RESERVE, NOW)


def reserve_back(withdrawal_id: str, kind: MovementKind, amount_sat: int, fee_sat: int | None = None) -> Movement:
    key, word = f"withdrawal/{withdrawal_id}", "change" if kind is MovementKind.FEE_CHANGE else "reserve_refund"
    return Movement(
        *(f"{key}/{word}", ROUTING, "alice", Satoshis(amount_sat), kind, NOW, f"{key}/reserve"), fee_sat=fee_sat
    )


def ended(saga_id: str, kind: str, state: SagaState = SagaState.COMPLETED) -> SagaProgress:
    return progress(saga_id, 5, state, kind=kind, at=NOW)


@pytest.fixture
def database(module_database: str) -> str:
    """The module's own, emptied: these tests write rows, and what one alters is in no other's way."""
    return emptied(module_database)


@pytest.fixture
def sound(stores: PostgresStores, connection: psycopg.Connection) -> PostgresStores:
    """A deposit, a donation, one that is on its way, and withdrawals that were paid and that failed."""
    paid_in = a_movement("invoice/d", kind=MovementKind.INVOICE_DEPOSIT, amount_sat=700)
    movements = [paid_in, a_debit("gift"), a_credit("gift"), a_debit("open")]
    movements += [debit_of(name) for name in ("paid", "failed", "dear", "before", "open")] + [refund_of("failed")]
    movements += [reserve_of(name) for name in ("paid", "failed", "dear", "open")]
    movements += [
        reserve_back("paid", MovementKind.FEE_CHANGE, 3, fee_sat=2),
        reserve_back("failed", MovementKind.FEE_REFUND, 5),
    ]
    held = 700 - 2 * 100 - 4 * 70 - 2 - 5 - 5
    accounts = [created("alice", an_account("alice", held)), created("bob", an_account("bob", 100))]
    commit(stores.unit_of_work("accounting"), accounts, records=movements)
    campaign = created("campaign", a_campaign("campaign", 100, 1))
    commit(stores.unit_of_work("crowdfunding"), [campaign], records=[a_request("gift"), a_donation("gift")])
    connection.execute(INVOICES)
    connection.execute(STATEMENT)
    stores.run(stores.saga_log("crowdfunding").merge([ended("gift", "donation"), progress("open", 0, at=NOW)]))
    withdrawals = [ended("paid", "withdrawal"), ended("failed", "withdrawal", SagaState.FAILED)]
    stores.run(stores.saga_log("bitcoin").merge([ended("d", "deposit"), *withdrawals]))
    return stores


def failed(checks: Sequence[Check]) -> dict[str, list[str]]:
    """What each failed check found."""
    return {check.name: [finding.subject for finding in check.findings] for check in checks if not check.is_passed}


def test_an_empty_deployment_passes(dsn_by_context: dict[str, str]) -> None:
    checks = checks_of(APPLICATION, dsn_by_context)
    assert failed(checks) == {}
    assert len({check.name for check in checks}) == len(checks)


def test_a_sound_deployment_passes(sound: PostgresStores, dsn_by_context: dict[str, str]) -> None:
    assert failed(checks_of(APPLICATION, dsn_by_context)) == {}


@dataclass(frozen=True)
class Damage:
    """What somebody did to the tables, and what the audit must say."""

    statements: list[str]
    found: dict[str, list[str]]
    """Subjects by check; other checks may find something too."""


DAMAGES = {
    "every balance equals its entries": Damage(
        ["UPDATE accounting.accounts SET balance_sat = 101 WHERE account_id = 'bob'"],
        {"every balance equals its entries": ["bob"], "the ledger sums to zero": ["ledger"]},
    ),
    "an account is missing": Damage(
        ["DELETE FROM accounting.accounts WHERE account_id = 'bob'"],
        {"every balance equals its entries": ["bob"], "the ledger sums to zero": ["ledger"]},
    ),
    "an account without entries": Damage(
        ["INSERT INTO accounting.accounts VALUES ('eve', 1, 'open', 5)"],
        {"every balance equals its entries": ["eve"], "the ledger sums to zero": ["ledger"]},
    ),
    "a negative balance": Damage(
        [
            "ALTER TABLE accounting.accounts DROP CONSTRAINT accounts_balance_not_negative",
            "UPDATE accounting.accounts SET balance_sat = -1 WHERE account_id = 'bob'",
        ],
        {
            "no balance is negative": ["bob"],
            "every balance equals its entries": ["bob"],
            "the ledger sums to zero": ["ledger"],
        },
    ),
    "a credit without a debit": Damage(
        [
            "INSERT INTO accounting.ledger VALUES ('k', '@in-transit', 'bob', 1, 'transfer_credit', NULL, now())",
            "UPDATE accounting.accounts SET balance_sat = 101 WHERE account_id = 'bob'",
        ],
        {
            "what is in transit equals the open transfers": ["@in-transit"],
            "every movement takes up what it follows": ["k"],
        },
    ),
    "a credit to another than the debit was for": Damage(
        [
            "UPDATE accounting.ledger SET payee = 'eve' WHERE idempotency_key = 'transfer/gift/debit'",
        ],
        {"every movement takes up what it follows": ["transfer/gift/credit"]},
    ),
    "a refund of another amount": Damage(
        [
            "UPDATE accounting.ledger SET amount_sat = 71 WHERE idempotency_key = 'withdrawal/failed/refund'",
            "UPDATE accounting.accounts SET balance_sat = balance_sat + 1 WHERE account_id = 'alice'",
        ],
        {"every movement takes up what it follows": ["withdrawal/failed/refund"]},
    ),
    "a refund to somebody else": Damage(
        [
            "UPDATE accounting.ledger SET credit_account = 'bob' WHERE idempotency_key = 'withdrawal/failed/refund'",
            "UPDATE accounting.accounts SET balance_sat = balance_sat + 70 WHERE account_id = 'bob'",
            "UPDATE accounting.accounts SET balance_sat = balance_sat - 70 WHERE account_id = 'alice'",
        ],
        {"every movement takes up what it follows": ["withdrawal/failed/refund"]},
    ),
    "a campaign that counts wrong": Damage(
        ["UPDATE crowdfunding.campaigns SET raised_sat = 99"],
        {"every campaign's totals equal its donations": ["campaign"]},
    ),
    "a donation that was accepted and lost": Damage(
        ["DELETE FROM crowdfunding.donations", "UPDATE crowdfunding.campaigns SET raised_sat = 0, donations = 0"],
        {"every donation that was paid is registered": ["gift"]},
    ),
    "a donation that nobody paid": Damage(
        [
            "INSERT INTO crowdfunding.donation_requests VALUES ('free', 'campaign', 'alice', 50, now())",
            "INSERT INTO crowdfunding.donations VALUES ('free', 'campaign', 'alice', 50, now())",
            "UPDATE crowdfunding.campaigns SET raised_sat = 150, donations = 2",
        ],
        {"every registered donation was paid": ["free"]},
    ),
    "a donation of another amount than was paid": Damage(
        [
            "ALTER TABLE crowdfunding.donations DROP CONSTRAINT donations_as_requested",
            "UPDATE crowdfunding.donations SET amount_sat = 90",
            "UPDATE crowdfunding.campaigns SET raised_sat = 90",
        ],
        {"every registered donation was paid": ["gift"]},
    ),
    "a paid deposit that credits nobody": Damage(
        [
            "DELETE FROM accounting.ledger WHERE idempotency_key = 'invoice/d'",
            LONG_AGO,
            "UPDATE accounting.ledger SET debit_account = '@lightning' WHERE idempotency_key = 'transfer/gift/debit'",
            "UPDATE accounting.accounts SET balance_sat = 0 WHERE account_id = 'alice'",
        ],
        {"every deposit and withdrawal is in the ledger": ["d"]},
    ),
    "a paid deposit in whose place somebody was credited by hand": Damage(
        ["UPDATE accounting.ledger SET idempotency_key = 'deposit/d', kind = 'manual_deposit'" + OF_D, LONG_AGO],
        {"every deposit and withdrawal is in the ledger": ["d"]},
    ),
    "a paid deposit of another amount than was credited": Damage(
        ["UPDATE bitcoin.invoices SET received_sat = 701 WHERE invoice_id = 'd'"],
        {"every deposit and withdrawal is in the ledger": ["d"]},
    ),
    "a deposit that was paid before it was noted when, and credits nobody": Damage(
        [
            "UPDATE accounting.ledger SET idempotency_key = 'invoice/e' WHERE idempotency_key = 'invoice/d'",
            "UPDATE bitcoin.invoices SET settled_at = NULL",
        ],
        {"every deposit and withdrawal is in the ledger": ["d"]},
    ),
    "a payment without a debit": Damage(
        ["UPDATE bitcoin.invoices SET amount_sat = 71 WHERE invoice_id = 'paid'"],
        {"every deposit and withdrawal is in the ledger": ["paid"]},
    ),
    "a failed withdrawal that nobody was refunded": Damage(
        [
            "DELETE FROM accounting.ledger WHERE idempotency_key = 'withdrawal/failed/refund'",
            LONG_AGO,
            "UPDATE accounting.accounts SET balance_sat = balance_sat - 70 WHERE account_id = 'alice'",
        ],
        {"every deposit and withdrawal is in the ledger": ["failed"]},
    ),
    "a reserve that was never set aside": Damage(
        [
            "DELETE FROM accounting.ledger WHERE idempotency_key = 'withdrawal/open/reserve'",
            "UPDATE accounting.accounts SET balance_sat = balance_sat + 5 WHERE account_id = 'alice'",
        ],
        {"every deposit and withdrawal is in the ledger": ["open"]},
    ),
    "a reserve that nothing was given back of": Damage(
        [
            "DELETE FROM accounting.ledger WHERE idempotency_key = 'withdrawal/paid/change'",
            "UPDATE accounting.accounts SET balance_sat = balance_sat - 3 WHERE account_id = 'alice'",
            LONG_AGO,
        ],
        {"every deposit and withdrawal is in the ledger": ["paid"]},
    ),
    "a fee that is not the one that the node has told": Damage(
        ["UPDATE bitcoin.invoices SET fee_sat = 1 WHERE invoice_id = 'paid'"],
        {"every deposit and withdrawal is in the ledger": ["paid"]},
    ),
    "a reserve that a failed withdrawal did not get back": Damage(
        [
            "DELETE FROM accounting.ledger WHERE idempotency_key = 'withdrawal/failed/reserve_refund'",
            "UPDATE accounting.accounts SET balance_sat = balance_sat - 5 WHERE account_id = 'alice'",
            LONG_AGO,
        ],
        {"every deposit and withdrawal is in the ledger": ["failed"]},
    ),
    "a change of more than was left": Damage(
        [
            "UPDATE accounting.ledger SET amount_sat = 4 WHERE idempotency_key = 'withdrawal/paid/change'",
            "UPDATE accounting.accounts SET balance_sat = balance_sat + 1 WHERE account_id = 'alice'",
        ],
        {
            "every movement takes up what it follows": ["withdrawal/paid/change"],
            "every deposit and withdrawal is in the ledger": ["paid"],
            "what is held for routes equals open reserves and fees": ["@routing"],
        },
    ),
    "a withdrawal that was paid and refunded": Damage(
        ["UPDATE bitcoin.invoices SET state = 'paid', preimage = 'proof', reason = NULL WHERE invoice_id = 'failed'"],
        {"every deposit and withdrawal is in the ledger": ["failed"]},
    ),
    "a saga that is late unseen": Damage(
        ["UPDATE crowdfunding.sagas SET deadline_at = now() - interval '1 hour' WHERE saga_id = 'open'"],
        {"crowdfunding: no saga is late unseen": ["donation open"]},
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found_and_named(
    sound: PostgresStores, connection: psycopg.Connection, dsn_by_context: dict[str, str], damage: Damage
) -> None:
    for statement in damage.statements:
        connection.execute(statement.encode())
    found = failed(checks_of(APPLICATION, dsn_by_context))
    assert {name: found.get(name) for name in damage.found} == damage.found


OF_THE_NODE, OF_NOBODY = "what the node has paid is what the books paid out", "what the node has received is somebody's"
SEEN = "INSERT INTO bitcoin.node_payments VALUES"
DIFFERENCES = {
    "a payment for nobody": ([f"{SEEN} ('h9', 7, 1)"], OF_THE_NODE, "h9", "no withdrawal of the books"),
    "a payment of what was given back": ([f"{SEEN} ('h3', 70, 0)"], OF_THE_NODE, "failed", "is failed"),
    "a payment of what was not to be paid yet": (
        ["UPDATE bitcoin.invoices SET state = 'requested' WHERE invoice_id = 'open'"],
        *(OF_THE_NODE, "open", "is requested"),
    ),
    "another amount": (
        ["UPDATE bitcoin.node_payments SET amount_sat = 71 WHERE payment_hash = 'h2'"],
        *(OF_THE_NODE, "paid", "paid 71, the withdrawal is of 70"),
    ),
    "another amount of what is under way": (
        ["UPDATE bitcoin.node_payments SET amount_sat = 71 WHERE payment_hash = 'h7'"],
        *(OF_THE_NODE, "open", "paid 71, the withdrawal is of 70"),
    ),
    "another fee": (
        ["UPDATE bitcoin.node_payments SET fee_sat = 3 WHERE payment_hash = 'h2'"],
        *(OF_THE_NODE, "paid", "a fee of 3, the books say 2"),
    ),
    "a fee beyond what was set aside": (
        ["UPDATE bitcoin.node_payments SET fee_sat = 9 WHERE payment_hash = 'h5'"],
        *(OF_THE_NODE, "dear", "a fee of 9, 4 more than was set aside: the loss is the operator's"),
    ),
    "a withdrawal that the node knows nothing of": (
        ["DELETE FROM bitcoin.node_payments WHERE payment_hash = 'h2'", LONG_AGO],
        *(OF_THE_NODE, "paid", "the node knows nothing of it"),
    ),
    "a receipt for nobody": (
        ["INSERT INTO bitcoin.node_receipts_unknown VALUES ('h9')"],
        *(OF_NOBODY, "h9", "for nobody here"),
    ),
}


@pytest.mark.parametrize(("statements", "check", "subject", "detail"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_the_node_says_and_the_books_do_not_is_found_once_and_not_when_it_is_explained(
    sound: PostgresStores,
    connection: psycopg.Connection,
    dsn_by_context: dict[str, str],
    statements: list[str],
    check: str,
    subject: str,
    detail: str,
) -> None:
    for statement in statements:
        connection.execute(statement.encode())
    checks = checks_of(APPLICATION, dsn_by_context)
    assert failed(checks) == {check: [subject]}
    assert [finding.detail for each in checks for finding in each.findings if detail not in finding.detail] == []
    row = connection.execute("SELECT payment_hash FROM bitcoin.invoices WHERE invoice_id = %s", [subject]).fetchone()
    explained = block(ROOT / "docs/operations.md", "INSERT INTO bitcoin.node_explained").text
    connection.execute(explained.replace("5ec3...", row[0] if row else subject).encode())
    assert failed(checks_of(APPLICATION, dsn_by_context)) == {}


@pytest.mark.parametrize(
    "reading",
    [
        "DELETE FROM bitcoin.node_statement_read",
        "UPDATE bitcoin.node_statement_read SET begun_at = NULL, complete_at = NULL",
        "UPDATE bitcoin.node_statement_read SET complete_at = now() - interval '8 minutes'",
        "UPDATE bitcoin.node_statement_read SET begun_at = now() - interval '5 minutes'",
    ],
    ids=["never read", "not read through yet", "not read since", "read first when it was paid already"],
)
def test_what_a_statement_does_not_reach_is_not_missed_in_it(
    sound: PostgresStores, connection: psycopg.Connection, dsn_by_context: dict[str, str], reading: str
) -> None:
    connection.execute("DELETE FROM bitcoin.node_payments")
    connection.execute(LONG_AGO)
    assert failed(checks_of(APPLICATION, dsn_by_context)) == {OF_THE_NODE: ["paid", "dear", "before"]}
    connection.execute(reading.encode())
    assert failed(checks_of(APPLICATION, dsn_by_context)) == {}


def test_a_withdrawal_that_failed_before_the_same_request_was_paid_is_no_difference(
    sound: PostgresStores, connection: psycopg.Connection, dsn_by_context: dict[str, str]
) -> None:
    connection.execute("UPDATE bitcoin.invoices SET payment_hash = 'h2' WHERE invoice_id = 'failed'")
    assert failed(checks_of(APPLICATION, dsn_by_context)) == {}


def test_a_saga_that_is_late_and_seen_passes(
    sound: PostgresStores, connection: psycopg.Connection, dsn_by_context: dict[str, str]
) -> None:
    connection.execute("UPDATE crowdfunding.sagas SET deadline_at = now() - interval '1 hour', overdue_since = now()")
    assert failed(checks_of(APPLICATION, dsn_by_context)) == {}


NOT_YET = "UPDATE accounting.ledger SET idempotency_key = 'invoice/e' WHERE idempotency_key = 'invoice/d'"


@pytest.mark.parametrize(
    ("statements", "is_found"),
    [
        ([NOT_YET], False),
        ([NOT_YET, LONG_AGO], True),
        # Whatever the saga's row says: it may be wrong itself.
        ([NOT_YET, LONG_AGO, "UPDATE bitcoin.sagas SET state = 'running'"], True),
        ([NOT_YET, LONG_AGO, "DELETE FROM bitcoin.sagas"], True),
        (["UPDATE accounting.ledger SET idempotency_key = 'deposit/d', kind = 'deposit'" + OF_D, LONG_AGO], False),
    ],
)
def test_a_paid_deposit_is_credited_within_the_patience(
    sound: PostgresStores,
    connection: psycopg.Connection,
    dsn_by_context: dict[str, str],
    statements: list[str],
    is_found: bool,
) -> None:
    for statement in statements:
        connection.execute(statement.encode())
    found = failed(checks_of(APPLICATION, dsn_by_context)).get("every deposit and withdrawal is in the ledger", [])
    assert found == (["d"] if is_found else [])
    assert failed(checks_of(APPLICATION, dsn_by_context, stuck_after=timedelta(hours=1))) == {}


def test_contexts_in_two_databases_are_held_against_each_other(
    sound: PostgresStores,
    connection: psycopg.Connection,
    dsn_by_context: dict[str, str],
    template_database: str,
    new_database: Callable[[str], str],
) -> None:
    elsewhere = new_database(template_database)
    with psycopg.connect(elsewhere, autocommit=True) as other:
        other.execute(INVOICES)
    connection.execute("DELETE FROM bitcoin.invoices")
    apart = {**dsn_by_context, "bitcoin": elsewhere}
    assert failed(checks_of(APPLICATION, apart)) == {}
    with psycopg.connect(elsewhere, autocommit=True) as other:
        other.execute(
            "INSERT INTO bitcoin.invoices VALUES"
            " ('lost', 2, 'deposit', 'paid', 'alice', 700, now(), 'h9', 'r', now(), NULL, NULL, now())"
        )
        other.execute(LONG_AGO)
    assert failed(checks_of(APPLICATION, apart)) == {"every deposit and withdrawal is in the ledger": ["lost"]}


def test_a_story_that_failed_beside_one_that_is_under_way_is_no_lost_donation(
    sound: PostgresStores, dsn_by_context: dict[str, str]
) -> None:
    commit(sound.unit_of_work("accounting"), records=[a_credit("open")])  # paid, and not yet registered
    refused = progress("open", 1, SagaState.FAILED, at=NOW, story="another")
    sound.run(sound.saga_log("crowdfunding").merge([refused]))
    found = failed(checks_of(APPLICATION, dsn_by_context))
    assert "every donation that was paid is registered" not in found
    sound.run(sound.saga_log("crowdfunding").merge([ended("open", "donation")]))
    assert failed(checks_of(APPLICATION, dsn_by_context))["every donation that was paid is registered"] == ["open"]


def test_a_transfer_under_the_id_of_a_donation_that_was_refused_is_no_lost_donation(
    sound: PostgresStores, dsn_by_context: dict[str, str]
) -> None:
    request = replace(a_request("open"), account_id="carol")
    commit(sound.unit_of_work("crowdfunding"), records=[request])
    commit(sound.unit_of_work("accounting"), records=[a_credit("open")])
    sound.run(sound.saga_log("crowdfunding").merge([ended("open", "donation", SagaState.FAILED)]))
    assert "every donation that was paid is registered" not in failed(checks_of(APPLICATION, dsn_by_context))


def test_only_what_waits_for_long_is_stuck(stores: PostgresStores, dsn_by_context: dict[str, str]) -> None:
    commit(stores.unit_of_work("auth"), events=[an_event("new", occurred_at=NOW)])
    assert failed(checks_of(APPLICATION, dsn_by_context)) == {}
    commit(stores.unit_of_work("auth"), events=[an_event("old", occurred_at=NOW - timedelta(hours=1))])
    assert failed(checks_of(APPLICATION, dsn_by_context)) == {"auth: nothing is stuck in the outbox": ["old"]}
    assert failed(checks_of(APPLICATION, dsn_by_context, stuck_after=timedelta(hours=2))) == {}


def test_an_event_that_nobody_took_fails_and_a_message_that_was_refused_is_only_told(
    stores: PostgresStores, dsn_by_context: dict[str, str]
) -> None:
    stores.run(stores.dead_letters("ingress").bury([a_letter("nonsense")]))
    checks = checks_of(APPLICATION, dsn_by_context)
    assert failed(checks) == {}
    assert [finding.subject for check in checks for finding in check.findings] == ["nonsense"]
    stores.run(stores.dead_letters("bitcoin").bury([a_letter("event")]))
    assert failed(checks_of(APPLICATION, dsn_by_context)) == {"bitcoin: every event was taken": ["event"]}


def test_findings_are_told_up_to_a_limit_and_found_on_every_page(
    sound: PostgresStores,
    connection: psycopg.Connection,
    dsn_by_context: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuning, "AUDIT_PAGE_ROWS", 2)
    connection.execute(
        "INSERT INTO crowdfunding.donation_requests"
        " SELECT 'z' || number, 'campaign', 'alice', 1, now() FROM generate_series(1, 7) AS number;"
        "INSERT INTO crowdfunding.donations"
        " SELECT 'z' || number, 'campaign', 'alice', 1, now() FROM generate_series(1, 7) AS number;"
        "UPDATE crowdfunding.campaigns SET raised_sat = 107, donations = 8"
    )
    everything = {"every registered donation was paid": [f"z{number}" for number in range(1, 8)]}
    assert failed(checks_of(APPLICATION, dsn_by_context)) == everything
    assert len(failed(checks_of(APPLICATION, dsn_by_context, limit=3))["every registered donation was paid"]) == 3


def test_a_database_that_is_away_is_reported_as_such(dsn_by_context: dict[str, str]) -> None:
    with pytest.raises(StorageUnavailableError):
        checks_of(APPLICATION, {**dsn_by_context, "bitcoin": "host=/nowhere dbname=spark"})
