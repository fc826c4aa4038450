"""The audit of the live databases: whether every satoshi is accounted for and nothing is stuck.

Each schema is read in one snapshot, never two in one statement. What crosses contexts is compared page by page here.
The ledger's snapshot is taken last: whatever the others say has happened to money must be in it by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TypeAlias

import psycopg

from spark_actors.persistence.connections import PATIENT, Query, Row, connect
from spark_actors.persistence.errors import translated
from spark_actors.persistence.statements import load, load_for

PAGE_ROWS = 1_000
MESSAGING_CONTEXTS = ("auth", "accounting", "crowdfunding", "bitcoin")
"""The contexts that have sagas and an outbox."""
_ORDER = ("ingress", "auth", "crowdfunding", "bitcoin", "accounting")
"""In which the snapshots are taken."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong."""

    subject: str
    """What it is about: an account, a campaign, a message."""
    detail: str


@dataclass(frozen=True)
class Check:
    """One question of the audit, and what speaks against it."""

    name: str
    """A statement that is true when there are no findings."""
    findings: tuple[Finding, ...]
    """The first few, at most as many as were asked for."""
    is_alarming: bool = True
    """False for what is worth a look and still no fault, like a message that the ingress refused."""

    @property
    def is_passed(self) -> bool:
        return not (self.findings and self.is_alarming)


Movement: TypeAlias = tuple[str, str, int, str]
"""Debit account, credit account, satoshis, kind."""
Movements: TypeAlias = Mapping[str, Movement]
"""By idempotency key."""


def audit(
    dsn_by_context: Mapping[str, str], *, stuck_after: timedelta = timedelta(minutes=5), limit: int = 20
) -> list[Check]:
    """Check the live databases of all contexts; safe at any time, and it stops nobody.

    What waits is stuck after *stuck_after*. At most *limit* findings for each check. Raises StorageUnavailableError,
    or another StorageError.
    """
    with translated(), ExitStack() as stack:
        snapshots = {
            context: stack.enter_context(_snapshot(dsn_by_context[context], context, stuck_after, limit))
            for context in _ORDER
        }
        return [*_money_checks(snapshots), *_messaging_checks(snapshots)]


class _Snapshot:
    """One schema as it was at one moment."""

    def __init__(self, connection: psycopg.Connection, context: str, params: Mapping[str, object], limit: int) -> None:
        self._connection, self._params, self._limit = connection, params, limit
        self._money: Mapping[str, str] = load("audit")
        self._messaging: Mapping[str, Query] = load_for("audit_messaging", context)

    def check(self, name: str, statement: str) -> Check:
        """A check whose statement gives the findings."""
        return Check(name, tuple(Finding(*row) for row in self._rows(self._query(statement), {"limit": self._limit})))

    def compare(self, name: str, findings: Iterator[Finding]) -> Check:
        """A check whose findings are worked out here."""
        return Check(name, tuple(islice(findings, self._limit)))

    def pages(self, statement: str) -> Iterator[list[Row]]:
        """The rows of a statement in the order of their first column, page by page."""
        after = ""
        while page := self._rows(self._query(statement), {"after": after, "limit": PAGE_ROWS}):
            yield page
            after = page[-1][0]

    def movements(self, keys: Iterable[str]) -> Movements:
        """Those of the named movements that are in the ledger."""
        rows = self._rows(self._query("movements"), {"keys": list(keys)})
        return {key: (debit, credit, amount, kind) for key, debit, credit, amount, kind in rows}

    def _query(self, statement: str) -> Query:
        return self._messaging.get(statement) or self._money[statement].encode()

    def _rows(self, query: Query, params: Mapping[str, object]) -> list[Row]:
        return self._connection.execute(query, {**self._params, **params}).fetchall()


@contextmanager
def _snapshot(dsn: str, context: str, stuck_after: timedelta, limit: int) -> Iterator[_Snapshot]:
    with connect(dsn, PATIENT, prepare_threshold=None) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute("SELECT 1 FROM pg_class LIMIT 1")  # the first statement takes the snapshot
        yield _Snapshot(connection, context, {"stuck_after": stuck_after}, limit)


def _money_checks(snapshots: Mapping[str, _Snapshot]) -> list[Check]:
    ledger, campaigns, invoices = (snapshots[name] for name in ("accounting", "crowdfunding", "bitcoin"))
    return [
        ledger.check("the ledger sums to zero", "ledger_sum"),
        ledger.check("every balance equals its entries", "unbalanced_accounts"),
        ledger.check("no balance is negative", "negative_balances"),
        ledger.check("what is in transit equals the open transfers", "in_transit"),
        ledger.check("every movement takes up what it follows", "mismatched_follow_ups"),
        campaigns.check("every campaign's totals equal its donations", "campaign_totals"),
        campaigns.compare("every registered donation was paid", _unpaid_donations(campaigns, ledger)),
        campaigns.compare("every donation that was paid is registered", _lost_donations(campaigns, ledger)),
        invoices.compare("every deposit and withdrawal is in the ledger", _unbooked_invoices(invoices, ledger)),
    ]


def _messaging_checks(snapshots: Mapping[str, _Snapshot]) -> list[Check]:
    return [
        *(
            snapshots[name].check(f"{name}: no saga is late unseen", "unseen_overdue_sagas")
            for name in MESSAGING_CONTEXTS
        ),
        *(
            snapshots[name].check(f"{name}: nothing is stuck in the outbox", "stuck_messages")
            for name in MESSAGING_CONTEXTS
        ),
        *(snapshots[name].check(f"{name}: every event was taken", "dead_letters") for name in MESSAGING_CONTEXTS),
        Check(
            "ingress: every message was understood",
            snapshots["ingress"].check("", "dead_letters").findings,
            is_alarming=False,
        ),
    ]


def _unpaid_donations(campaigns: _Snapshot, ledger: _Snapshot) -> Iterator[Finding]:
    for page in campaigns.pages("donations_page"):
        credits = ledger.movements(f"transfer/{donation_id}/credit" for donation_id, _, _ in page)
        debits = ledger.movements(f"transfer/{donation_id}/debit" for donation_id, _, _ in page)
        for donation_id, account_id, amount_sat in page:
            debit = debits.get(f"transfer/{donation_id}/debit")
            credit = credits.get(f"transfer/{donation_id}/credit")
            if debit is None or credit is None or (debit[0], credit[2]) != (account_id, amount_sat):
                yield Finding(
                    donation_id, f"registered {amount_sat} of {account_id}, debited {debit}, credited {credit}"
                )


def _lost_donations(campaigns: _Snapshot, ledger: _Snapshot) -> Iterator[Finding]:
    for page in campaigns.pages("ended_donations_page"):
        keys = (f"transfer/{row[0]}/{step}" for row in page for step in ("debit", "credit"))
        found = ledger.movements(keys)
        for donation_id, state, is_registered, account_id, amount_sat in page:
            debit, credit = (found.get(f"transfer/{donation_id}/{step}") for step in ("debit", "credit"))
            # A transfer may have had this id before, so that the donation was refused.
            is_its_own = account_id is None or (debit is not None and (debit[0], debit[2]) == (account_id, amount_sat))
            is_paid = credit is not None and is_its_own
            if is_paid != is_registered:
                yield Finding(donation_id, f"ended {state}, paid: {is_paid}, registered: {is_registered}")


def _unbooked_invoices(invoices: _Snapshot, ledger: _Snapshot) -> Iterator[Finding]:
    for page in invoices.pages("invoices_page"):
        found = ledger.movements(key for row in page for key in _keys_of(row[1], row[0]))
        for row in page:
            if objection := _INVOICE_RULES[row[1]](row, found):
                yield Finding(row[0], f"{row[1]} of {row[4]} for {row[3]} is {row[2]}: {objection}")


def _keys_of(kind: str, invoice_id: str) -> Sequence[str]:
    if kind == "deposit":
        return (f"invoice/{invoice_id}", f"deposit/{invoice_id}")
    return (f"withdrawal/{invoice_id}/debit", f"withdrawal/{invoice_id}/refund")


def _deposit_objection(row: Row, found: Movements) -> str:
    invoice_id, _, _, account_id, amount_sat, had_time = row
    own, former = (found.get(key) for key in _keys_of("deposit", invoice_id))
    # Of a row that does not say whence the money came, the amount and the account must do; one by hand is another's.
    credit = own or (former if former is not None and former[3] == "deposit" else None)
    if credit is None:
        return "it is not credited" if had_time else ""
    return "" if credit[1:3] == (account_id, amount_sat) else f"credited {credit}"


def _withdrawal_objection(row: Row, found: Movements) -> str:
    invoice_id, _, state, account_id, amount_sat, had_time = row
    debit, refund = (found.get(key) for key in _keys_of("withdrawal", invoice_id))
    if debit is None or (debit[0], debit[2]) != (account_id, amount_sat):
        return f"debited {debit}"
    if (state == "paid" and refund is not None) or (state == "failed" and had_time and refund is None):
        return f"refunded {refund}"
    return ""


_INVOICE_RULES: Mapping[str, Callable[[Row, Movements], str]] = {
    "deposit": _deposit_objection,
    "withdrawal": _withdrawal_objection,
}
