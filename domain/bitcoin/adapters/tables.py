"""How invoices lie in Postgres."""

from __future__ import annotations

from functools import partial

from domain.bitcoin.invoice import MAX_OPEN_DEPOSITS, MAX_OPEN_GIFTS, Invoice, InvoiceKind, InvoiceState
from spark_actors.persistence.rules import Rule
from spark_actors.persistence.tables import AggregateTable


def _pays_or_is_paid(invoice: Invoice) -> bool:
    """Whether it stands in the way of another with its payment hash; withdrawals of before there were fees do not."""
    if invoice.kind is InvoiceKind.DEPOSIT:
        return True
    return invoice.fee_reserve_sat is not None and invoice.state not in (InvoiceState.REJECTED, InvoiceState.FAILED)


_is_open = "held.kind = 'deposit' AND held.state IN ('requested', 'issued')"
_open_deposits = partial(Rule, name="open_deposits_bounded", of=Invoice, table="bitcoin.invoices", key="invoice_id")

INVOICES = AggregateTable(
    table="bitcoin.invoices",
    key="invoice_id",
    columns={
        "kind": "text",
        "state": "text",
        "account_id": "text",
        "amount_sat": "bigint",
        "requested_at": "timestamptz",
        "payment_hash": "text",
        "payment_request": "text",
        "expires_at": "timestamptz",
        "preimage": "text",
        "reason": "text",
        "settled_at": "timestamptz",
        "fee_reserve_sat": "bigint",
        "fee_sat": "bigint",
        "received_sat": "bigint",
        "campaign_id": "text",
    },
    state=lambda row: Invoice(row[0], InvoiceKind(row[1]), InvoiceState(row[2]), *row[3:]),
    rules=(
        Rule(
            name="payment_hash_unique",
            constraint="invoices_payment_hash_unique",
            of=Invoice,
            table="bitcoin.invoices",
            columns=("payment_hash", "kind"),
            key="invoice_id",
            where="held.state NOT IN ('rejected', 'failed')",
            concerns=lambda invoice: invoice.state not in (InvoiceState.REJECTED, InvoiceState.FAILED),
        ),
        Rule(
            name="own_invoice",
            constraint="invoices_no_withdrawal_of_a_deposit",
            of=Invoice,
            table="bitcoin.invoices",
            columns=("payment_hash",),
            key="invoice_id",
            where=(
                "held.kind = 'deposit'"
                " OR (held.fee_reserve_sat IS NOT NULL AND held.state NOT IN ('rejected', 'failed'))"
            ),
            concerns=_pays_or_is_paid,
        ),
        _open_deposits(
            constraint="invoices_open_deposits_of_an_account",
            columns=("account_id",),
            at_most=MAX_OPEN_DEPOSITS,
            where=f"{_is_open} AND held.campaign_id IS NULL",
            concerns=lambda invoice: invoice.is_open and invoice.campaign_id is None,
        ),
        _open_deposits(
            constraint="invoices_open_gifts_to_a_campaign",
            columns=("campaign_id",),
            at_most=MAX_OPEN_GIFTS,
            where=f"{_is_open} AND held.campaign_id IS NOT NULL",
            concerns=lambda invoice: invoice.is_open,
        ),
    ),
)
