"""Whether every satoshi is accounted for: what the contexts say of money, held against the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from domain.crowdfunding.messages import invoice_of_gift
from spark_actors.persistence.audit import Check, Finding, Snapshot
from spark_actors.persistence.connections import Row
from spark_actors.persistence.statements import load

ORDER = ("auth", "crowdfunding", "bitcoin", "accounting")
"""The ledger's snapshot is taken last: whatever the others say has happened to money must be in it by then."""

_SQL = {name: text.encode() for name, text in load(__package__, "money.sql").items()}

MovementRow: TypeAlias = tuple[str, str, int, str]
"""Debit account, credit account, satoshis, kind."""
Movements: TypeAlias = Mapping[str, MovementRow]
"""By idempotency key."""


def _movements(ledger: Snapshot, keys: Iterable[str]) -> Movements:
    """Those of the named movements that are in the ledger."""
    rows = ledger.rows(_SQL["movements"], keys=list(keys))
    return {key: (debit, credit, amount, kind) for key, debit, credit, amount, kind in rows}


def checks(snapshots: Mapping[str, Snapshot]) -> list[Check]:
    """The checks of all contexts together."""
    ledger, campaigns, invoices = (snapshots[name] for name in ("accounting", "crowdfunding", "bitcoin"))
    return [
        ledger.check("the ledger sums to zero", _SQL["ledger_sum"]),
        ledger.check("every balance equals its entries", _SQL["unbalanced_accounts"]),
        ledger.check("no balance is negative", _SQL["negative_balances"]),
        ledger.check("what is in transit equals the open transfers", _SQL["in_transit"]),
        ledger.check("what is held for routes equals open reserves and fees", _SQL["fees"]),
        ledger.check("every movement takes up what it follows", _SQL["mismatched_follow_ups"]),
        campaigns.check("every campaign's totals equal its donations", _SQL["campaign_totals"]),
        campaigns.compare("every registered donation was paid", _unpaid_donations(campaigns, ledger)),
        campaigns.compare("every donation that was paid is registered", _lost_donations(campaigns, ledger)),
        campaigns.compare("every gift is registered if and as it was paid", _mismatched_gifts(campaigns, ledger)),
        invoices.compare("every deposit and withdrawal is in the ledger", _unbooked_invoices(invoices, ledger)),
        invoices.check("what the node has paid is what the books paid out", _SQL["node_payments"]),
        invoices.check("what the node has received is somebody's", _SQL["node_receipts"]),
    ]


def _unpaid_donations(campaigns: Snapshot, ledger: Snapshot) -> Iterator[Finding]:
    for page in campaigns.pages(_SQL["donations_page"]):
        credits = _movements(ledger, (f"transfer/{donation_id}/credit" for donation_id, _, _ in page))
        debits = _movements(ledger, (f"transfer/{donation_id}/debit" for donation_id, _, _ in page))
        for donation_id, account_id, amount_sat in page:
            debit = debits.get(f"transfer/{donation_id}/debit")
            credit = credits.get(f"transfer/{donation_id}/credit")
            if debit is None or credit is None or (debit[0], credit[2]) != (account_id, amount_sat):
                yield Finding(
                    donation_id, f"registered {amount_sat} of {account_id}, debited {debit}, credited {credit}"
                )


def _lost_donations(campaigns: Snapshot, ledger: Snapshot) -> Iterator[Finding]:
    for page in campaigns.pages(_SQL["ended_donations_page"]):
        keys = (f"transfer/{row[0]}/{step}" for row in page for step in ("debit", "credit"))
        found = _movements(ledger, keys)
        for donation_id, state, is_registered, account_id, amount_sat in page:
            debit, credit = (found.get(f"transfer/{donation_id}/{step}") for step in ("debit", "credit"))
            # A transfer may have had this id before, so that the donation was refused.
            is_its_own = account_id is None or (debit is not None and (debit[0], debit[2]) == (account_id, amount_sat))
            is_paid = credit is not None and is_its_own
            if is_paid != is_registered:
                yield Finding(donation_id, f"ended {state}, paid: {is_paid}, registered: {is_registered}")


def _mismatched_gifts(campaigns: Snapshot, ledger: Snapshot) -> Iterator[Finding]:
    for page in campaigns.pages(_SQL["gifts_page"]):
        keys = {row[0]: f"invoice/{invoice_of_gift(row[0])}" for row in page}
        found = _movements(ledger, keys.values())
        for gift_id, owner, amount_sat in page:
            credit = found.get(keys[gift_id])
            if (credit[1:3] if credit else None) != ((owner, amount_sat) if amount_sat else None):
                yield Finding(gift_id, f"registered {amount_sat} for {owner}, credited {credit}")


def _unbooked_invoices(invoices: Snapshot, ledger: Snapshot) -> Iterator[Finding]:
    for page in invoices.pages(_SQL["invoices_page"]):
        found = _movements(ledger, (key for row in page for key in _keys_of(row[1], row[0])))
        for row in page:
            if objection := _INVOICE_RULES[row[1]](row, found):
                yield Finding(row[0], f"{row[1]} of {row[4]} for {row[3]} is {row[2]}: {objection}")


def _keys_of(kind: str, invoice_id: str) -> Sequence[str]:
    if kind == "deposit":
        return (f"invoice/{invoice_id}", f"deposit/{invoice_id}")
    return tuple(f"withdrawal/{invoice_id}/{step}" for step in _STEPS)


_STEPS = ("debit", "refund", "reserve", "change", "reserve_refund")
"""Of a withdrawal: the ends of the keys of its movements."""


def _deposit_objection(row: Row, found: Movements) -> str:
    invoice_id, _, _, account_id, amount_sat, had_time, *_ = row
    own, former = (found.get(key) for key in _keys_of("deposit", invoice_id))
    # Of a row that does not say whence the money came, the amount and the account must do; one by hand is another's.
    credit = own or (former if former is not None and former[3] == "deposit" else None)
    if credit is None:
        return "it is not credited" if had_time else ""
    return "" if credit[1:3] == (account_id, amount_sat) else f"credited {credit}"


def _withdrawal_objection(row: Row, found: Movements) -> str:
    invoice_id, _, state, account_id, amount_sat, had_time, reserve_sat, fee_sat = row
    debit, refund, reserve, change, reserve_refund = (found.get(key) for key in _keys_of("withdrawal", invoice_id))
    if debit is None or (debit[0], debit[2]) != (account_id, amount_sat):
        return f"debited {debit}"
    if (reserve[0], reserve[2]) != (account_id, reserve_sat) if reserve else reserve_sat > 0:
        return f"{reserve_sat} were to be set aside for the route, booked is {reserve}"
    if (state == "paid" and refund is not None) or (state == "failed" and had_time and refund is None):
        return f"refunded {refund}"
    if (state != "failed" and reserve_refund) or (state == "failed" and had_time and reserve and not reserve_refund):
        return f"of {reserve_sat} set aside for the route, refunded {reserve_refund}"
    left_sat = reserve_sat - fee_sat if state == "paid" else 0
    if (change[2] if change else 0) != left_sat and (change or had_time):
        return f"of {reserve_sat} set aside for the route, {left_sat} are left, given back {change}"
    return ""


_INVOICE_RULES: Mapping[str, Callable[[Row, Movements], str]] = {
    "deposit": _deposit_objection,
    "withdrawal": _withdrawal_objection,
}
