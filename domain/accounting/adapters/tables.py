"""How accounts and the ledger lie in Postgres."""

from __future__ import annotations

from functools import partial

from domain.accounting.account import Account, AccountStatus, Movement, MovementKind
from spark_actors.persistence.rules import Rule
from spark_actors.persistence.tables import AggregateTable, Book

LEDGER = "accounting.ledger"

_of_movements = partial(Rule, of=Movement, table=LEDGER)
_takes_up = partial(_of_movements, name="takes_up_what_it_follows", constraint="ledger_takes_up_what_it_follows")
"""One trigger; here it is a rule for each way in which a movement may not fit."""

RULES = (
    _of_movements(
        name="movement_key_unique",
        constraint="ledger_idempotency_key_unique",
        columns=("idempotency_key",),
    ),
    _of_movements(
        name="follows_known_movement",
        constraint="ledger_follows_known_movement",
        columns=("follows",),
        refers_to=("idempotency_key",),
    ),
    _takes_up(
        columns=("follows", "takes_up_sat", "debit_account"),
        refers_to=("idempotency_key", "amount_sat", "credit_account"),
    ),
    _takes_up(
        columns=("follows", "credit_account"),
        refers_to=("idempotency_key", "payee"),
        once_unknown=("payee",),
        concerns=lambda movement: movement.kind is MovementKind.TRANSFER_CREDIT,
    ),
    _takes_up(
        columns=("follows", "credit_account"),
        refers_to=("idempotency_key", "debit_account"),
        concerns=lambda movement: movement.kind is not MovementKind.TRANSFER_CREDIT,
    ),
    _of_movements(
        name="follows_once",
        constraint="ledger_follows_once",
        columns=("follows",),
    ),
    _of_movements(
        name="invoice_credited_once",
        constraint="ledger_credits_an_invoice_once",
        columns=("deposit_id",),
        expressions={"deposit_id": "substr(held.idempotency_key, strpos(held.idempotency_key, '/') + 1)"},
        where="held.kind IN ('deposit', 'invoice_deposit')",
        concerns=lambda movement: movement.kind in (MovementKind.DEPOSIT, MovementKind.INVOICE_DEPOSIT),
    ),
)

ACCOUNTS = AggregateTable(
    table="accounting.accounts",
    key="account_id",
    columns={"status": "text", "balance_sat": "bigint", "drawn_on": "date", "drawn_sat": "bigint"},
    state=lambda row: Account(
        row[0], status=AccountStatus(row[1]), balance_sat=row[2], drawn_on=row[3], drawn_sat=row[4]
    ),
    books=(
        Book(
            record=Movement,
            table=LEDGER,
            columns={
                "idempotency_key": "text",
                "debit_account": "text",
                "credit_account": "text",
                "amount_sat": "bigint",
                "kind": "text",
                "follows": "text",
                "payee": "text",
                "fee_sat": "bigint",
                "recorded_at": "timestamptz",
            },
            keeps_senders=True,
        ),
    ),
    rules=RULES,
    checks={"accounts_balance_not_negative": lambda account: account.balance_sat >= 0},
)
