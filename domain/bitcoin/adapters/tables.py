"""How invoices lie in Postgres."""

from __future__ import annotations

from domain.bitcoin.invoice import Invoice, InvoiceKind, InvoiceState
from spark_actors.persistence.rules import Rule
from spark_actors.persistence.tables import AggregateTable

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
    ),
)
