"""Transfers: the payer's debit puts the money in transit, then the payee's credit or the payer's refund takes it out.

Each step is one command on one account, so no transaction spans two accounts.
"""

from __future__ import annotations

from datetime import datetime

from domain.accounting.account import IN_TRANSIT, Account, Movement, MovementKind, can_pay, refuse
from domain.accounting.messages import (
    CreditTransfer,
    Reason,
    RefundTransfer,
    RequestTransfer,
    TransferCreditRefused,
    TransferDebited,
    TransferRefunded,
    TransferSucceeded,
)
from domain.shared.accounts import is_account_id
from domain.shared.money import Satoshis
from spark_actors.kernel.decisions import Decision, done, rejected
from spark_actors.kernel.ids import is_id, is_key


def request_transfer(account: Account | None, command: RequestTransfer, now: datetime) -> Decision[Account]:
    """The debit step, from the payer into transit."""
    if objection := _objection(command):
        return refuse(command, objection)
    payer = can_pay(account, command.amount_sat)
    if isinstance(payer, Reason):
        return refuse(command, payer)
    amount = Satoshis(command.amount_sat)
    debited = payer.debited(amount)
    movement = Movement(
        f"transfer/{command.transfer_id}/debit",
        payer.account_id,
        IN_TRANSIT,
        amount,
        MovementKind.TRANSFER_DEBIT,
        now,
        payee=command.to_account_id,
    )
    event = TransferDebited(
        transfer_id=command.transfer_id,
        from_account_id=payer.account_id,
        to_account_id=command.to_account_id,
        amount_sat=command.amount_sat,
        purpose=command.purpose,
        reference=command.reference,
        balance_sat=debited.balance_sat,
    )
    return done(debited, event, records=(movement,))


def credit_transfer(account: Account | None, command: CreditTransfer, now: datetime) -> Decision[Account]:
    """The credit step, from transit to the payee.

    The store refuses if nothing is in transit under this id, or another amount, or for another payee. Only a refusal
    that sends the money back has an event; of any other nothing will come.
    """
    if not is_key(command.transfer_id):
        return refuse(command, Reason.INVALID_ID)
    if not Satoshis.are(command.amount_sat):
        return refuse(command, Reason.INVALID_AMOUNT)
    if account is None or not account.is_open:
        return _send_back(command, Reason.UNKNOWN_ACCOUNT)
    amount, key = Satoshis(command.amount_sat), f"transfer/{command.transfer_id}"
    if not account.has_room_for(amount):
        return _send_back(command, Reason.BALANCE_LIMIT)
    credited = account.credited(amount)
    movement = Movement(
        f"{key}/credit", IN_TRANSIT, account.account_id, amount, MovementKind.TRANSFER_CREDIT, now, f"{key}/debit"
    )
    event = TransferSucceeded(
        transfer_id=command.transfer_id,
        from_account_id=command.from_account_id,
        to_account_id=credited.account_id,
        amount_sat=command.amount_sat,
        purpose=command.purpose,
        reference=command.reference,
        balance_sat=credited.balance_sat,
    )
    return done(credited, event, records=(movement,))


def refund_transfer(account: Account | None, command: RefundTransfer, now: datetime) -> Decision[Account]:
    """The compensation, from transit back to the payer.

    The store refuses if nothing is in transit under this id, or another amount, or of another payer.
    """
    if not is_key(command.transfer_id):
        return refuse(command, Reason.INVALID_ID)
    if not Satoshis.are(command.amount_sat):
        return refuse(command, Reason.INVALID_AMOUNT)
    if account is None:
        return refuse(command, Reason.UNKNOWN_ACCOUNT)
    amount, key = Satoshis(command.amount_sat), f"transfer/{command.transfer_id}"
    refunded = account.credited(amount)
    movement = Movement(
        f"{key}/refund", IN_TRANSIT, account.account_id, amount, MovementKind.TRANSFER_REFUND, now, f"{key}/debit"
    )
    event = TransferRefunded(
        transfer_id=command.transfer_id,
        from_account_id=refunded.account_id,
        to_account_id=command.to_account_id,
        amount_sat=command.amount_sat,
        purpose=command.purpose,
        reference=command.reference,
        balance_sat=refunded.balance_sat,
        reason=command.reason,
    )
    return done(refunded, event, records=(movement,))


def _send_back(command: CreditTransfer, reason: Reason) -> Decision[Account]:
    event = TransferCreditRefused(
        transfer_id=command.transfer_id,
        from_account_id=command.from_account_id,
        to_account_id=command.to_account_id,
        amount_sat=command.amount_sat,
        purpose=command.purpose,
        reference=command.reference,
        reason=reason,
    )
    return rejected(reason, event)


def _objection(command: RequestTransfer) -> Reason | None:
    if not is_id(command.transfer_id):
        return Reason.INVALID_ID
    if command.from_account_id == command.to_account_id:
        return Reason.OWN_ACCOUNT
    if not is_account_id(command.to_account_id):
        return Reason.UNKNOWN_ACCOUNT
    return None
