"""Why accounting refuses a command, and the event that says so: the saga, of which the command was a step, goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from domain.accounting.messages import (
    AccountOpeningRejected,
    CreditTransfer,
    Deposit,
    DepositRejected,
    OpenAccount,
    Purpose,
    Reason,
    RefundTransfer,
    RefundWithdrawal,
    RequestTransfer,
    ReturnFeeReserve,
    TransferCreditRefused,
    TransferRefundRejected,
    TransferRejected,
    Withdraw,
    WithdrawalRefundRejected,
    WithdrawalRejected,
)
from domain.shared.accounts import is_account_id
from domain.shared.money import SUPPLY_SAT, Satoshis
from spark_actors.kernel.decisions import Decision, rejected
from spark_actors.kernel.errors import BrokenRuleError
from spark_actors.kernel.ids import is_id, is_key
from spark_actors.kernel.messages import Command, Event

S = TypeVar("S")

BROUGHT_IN = frozenset({Purpose.INVOICE, Purpose.GIFT})
"""What the deposits of invoices are for: the sagas ask for them, under ids of their own."""


def objection_to(command: Command) -> Reason | None:
    """What is wrong with any command of this context in itself, whatever the account; None if nothing is."""
    match command:
        case Deposit():
            may_be_id = is_key if command.purpose in BROUGHT_IN else is_id
            if not may_be_id(command.deposit_id):
                return Reason.INVALID_ID
            if command.account_id.startswith("@") or not may_be_id(command.account_id):
                return Reason.INVALID_ACCOUNT_ID
            return _amount_objection(command.amount_sat)
        case RequestTransfer():
            if not is_id(command.transfer_id):
                return Reason.INVALID_ID
            if command.from_account_id == command.to_account_id:
                return Reason.OWN_ACCOUNT
            if not is_account_id(command.to_account_id):
                return Reason.UNKNOWN_ACCOUNT
            return _amount_objection(command.amount_sat)
        case CreditTransfer() | RefundTransfer():
            return _amount_objection(command.amount_sat) if is_key(command.transfer_id) else Reason.INVALID_ID
        case Withdraw() | RefundWithdrawal():
            may_be_id = is_id if isinstance(command, Withdraw) else is_key
            if not may_be_id(command.withdrawal_id):
                return Reason.INVALID_ID
            return _amount_objection(command.amount_sat) or _reserve_objection(command.fee_reserve_sat)
        case ReturnFeeReserve():
            if not is_key(command.withdrawal_id):
                return Reason.INVALID_ID
            is_sound = 0 <= command.fee_sat < command.fee_reserve_sat <= SUPPLY_SAT
            return None if is_sound else Reason.INVALID_AMOUNT
        case OpenAccount():
            return None if is_account_id(command.account_id) else Reason.INVALID_ACCOUNT_ID
        case _:
            raise BrokenRuleError("knows_its_own_commands", command.TYPE.name, "a command of accounting")


def _amount_objection(amount_sat: int) -> Reason | None:
    return None if Satoshis.are(amount_sat) else Reason.INVALID_AMOUNT


def _reserve_objection(fee_reserve_sat: int) -> Reason | None:
    return None if 0 <= fee_reserve_sat <= SUPPLY_SAT else Reason.INVALID_AMOUNT


def refuse(command: Command, reason: Reason) -> Decision[S]:
    """Refuse any command of this context: its event says what was asked and why not.

    Of a credit only a refusal that sends the money back has an event; of any other nothing will come, nor of a reserve
    that is not given back.
    """
    event = _rejection(command, reason)
    return rejected(reason, event) if event else rejected(reason)


_SENDS_BACK = frozenset({Reason.UNKNOWN_ACCOUNT, Reason.BALANCE_LIMIT})
"""Why what is in transit cannot be credited to its payee."""


def _rejection(command: Command, reason: Reason) -> Event | None:
    match command:
        case OpenAccount():
            return AccountOpeningRejected(account_id=command.account_id, reason=reason, purpose=command.purpose)
        case Deposit():
            return DepositRejected(
                account_id=command.account_id,
                deposit_id=command.deposit_id,
                amount_sat=command.amount_sat,
                reason=reason,
                purpose=command.purpose,
            )
        case Withdraw():
            return WithdrawalRejected(
                account_id=command.account_id,
                withdrawal_id=command.withdrawal_id,
                amount_sat=command.amount_sat,
                fee_reserve_sat=command.fee_reserve_sat,
                reason=reason,
                purpose=command.purpose,
            )
        case RefundWithdrawal():
            return WithdrawalRefundRejected(
                account_id=command.account_id,
                withdrawal_id=command.withdrawal_id,
                amount_sat=command.amount_sat,
                reason=reason,
                purpose=command.purpose,
            )
        case ReturnFeeReserve():
            return None
        case RequestTransfer():
            return _of_transfer(TransferRejected, command, reason)
        case CreditTransfer():
            return _of_transfer(TransferCreditRefused, command, reason) if reason in _SENDS_BACK else None
        case RefundTransfer():
            return _of_transfer(TransferRefundRejected, command, reason)
        case _:
            raise BrokenRuleError("refuses_its_own_commands", command.TYPE.name, "a command of accounting")


def _of_transfer(
    event: type[TransferRejected | TransferCreditRefused | TransferRefundRejected],
    command: RequestTransfer | CreditTransfer | RefundTransfer,
    reason: Reason,
) -> Event:
    return event(
        transfer_id=command.transfer_id,
        from_account_id=command.from_account_id,
        to_account_id=command.to_account_id,
        amount_sat=command.amount_sat,
        purpose=command.purpose,
        reference=command.reference,
        reason=reason,
    )


KEY_TAKEN: Mapping[type[Command], Reason] = {
    Deposit: Reason.DUPLICATE_DEPOSIT,
    Withdraw: Reason.DUPLICATE_WITHDRAWAL,
    RefundWithdrawal: Reason.ALREADY_REFUNDED,
    ReturnFeeReserve: Reason.ALREADY_RETURNED,
    RequestTransfer: Reason.DUPLICATE_TRANSFER,
    CreditTransfer: Reason.DUPLICATE_TRANSFER,
    RefundTransfer: Reason.ALREADY_REFUNDED,
}

NOTHING_TO_FOLLOW: Mapping[type[Command], Reason] = {
    RefundWithdrawal: Reason.UNKNOWN_WITHDRAWAL,
    ReturnFeeReserve: Reason.UNKNOWN_WITHDRAWAL,
    CreditTransfer: Reason.UNKNOWN_TRANSFER,
    RefundTransfer: Reason.UNKNOWN_TRANSFER,
}

FOLLOWED_BEFORE: Mapping[type[Command], Reason] = {
    RefundWithdrawal: Reason.ALREADY_REFUNDED,
    ReturnFeeReserve: Reason.ALREADY_RETURNED,
    CreditTransfer: Reason.TRANSFER_ENDED,
    RefundTransfer: Reason.TRANSFER_ENDED,
}

NOT_WHAT_WAS_DEBITED: Mapping[type[Command], Reason] = {
    RefundWithdrawal: Reason.NOT_THIS_WITHDRAWAL,
    ReturnFeeReserve: Reason.NOT_THIS_WITHDRAWAL,
    CreditTransfer: Reason.NOT_THIS_TRANSFER,
    RefundTransfer: Reason.NOT_THIS_TRANSFER,
}
