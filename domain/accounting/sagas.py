"""Accounting's steps in the sagas of the others: open, credit, debit, transfer, refund.

What a step sends on behalf of another context carries its purpose, and accounting's events repeat it: so an event says
itself which saga it belongs to, if any, in whatever order events arrive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.accounting.messages import (
    CreditTransfer,
    Deposit,
    OpenAccount,
    Purpose,
    RefundTransfer,
    RefundWithdrawal,
    RequestTransfer,
    ReturnFeeReserve,
    TransferCreditRefused,
    TransferDebited,
    Withdraw,
)
from domain.auth.messages import AccountRegistered
from domain.bitcoin.messages import DepositPaid, WithdrawalFailed, WithdrawalPaid, WithdrawalRequested
from domain.crowdfunding.messages import DonationRequested
from spark_actors.kernel.messages import Event
from spark_actors.kernel.sagas import Step


def open_new_account(event: AccountRegistered) -> Sequence[OpenAccount]:
    return [OpenAccount(account_id=event.account_id, purpose=Purpose.SIGN_UP)]


def debit_donor(event: DonationRequested) -> Sequence[RequestTransfer]:
    return [
        RequestTransfer(
            transfer_id=event.donation_id,
            from_account_id=event.account_id,
            to_account_id=event.owner_account_id,
            amount_sat=event.amount_sat,
            purpose=Purpose.DONATION,
            reference=event.campaign_id,
        )
    ]


def credit_payee(event: TransferDebited) -> Sequence[CreditTransfer]:
    return [
        CreditTransfer(
            transfer_id=event.transfer_id,
            from_account_id=event.from_account_id,
            to_account_id=event.to_account_id,
            amount_sat=event.amount_sat,
            purpose=event.purpose,
            reference=event.reference,
        )
    ]


def refund_payer(event: TransferCreditRefused) -> Sequence[RefundTransfer]:
    return [
        RefundTransfer(
            transfer_id=event.transfer_id,
            from_account_id=event.from_account_id,
            to_account_id=event.to_account_id,
            amount_sat=event.amount_sat,
            purpose=event.purpose,
            reference=event.reference,
            reason=event.reason,
        )
    ]


def credit_deposit(event: DepositPaid) -> Sequence[Deposit]:
    return [
        Deposit(
            account_id=event.account_id,
            deposit_id=event.invoice_id,
            amount_sat=event.amount_sat,
            purpose=Purpose.GIFT if event.campaign_id else Purpose.INVOICE,
            reference=event.campaign_id,
        )
    ]


def debit_withdrawal(event: WithdrawalRequested) -> Sequence[Withdraw]:
    return [
        Withdraw(
            account_id=event.account_id,
            withdrawal_id=event.invoice_id,
            amount_sat=event.amount_sat,
            fee_reserve_sat=event.fee_reserve_sat,
            purpose=Purpose.INVOICE,
        )
    ]


def give_back_withdrawal(event: WithdrawalFailed) -> Sequence[RefundWithdrawal]:
    return [
        RefundWithdrawal(
            account_id=event.account_id,
            withdrawal_id=event.invoice_id,
            amount_sat=event.amount_sat,
            fee_reserve_sat=event.fee_reserve_sat,
            reason=event.reason,
            purpose=Purpose.INVOICE,
        )
    ]


def give_back_what_the_route_left(event: WithdrawalPaid) -> Sequence[ReturnFeeReserve]:
    if not event.is_change_due:
        return []
    return [
        ReturnFeeReserve(
            account_id=event.account_id,
            withdrawal_id=event.invoice_id,
            fee_reserve_sat=event.fee_reserve_sat,
            fee_sat=event.fee_sat,
            purpose=Purpose.INVOICE,
        )
    ]


STEPS: Mapping[type[Event], Step] = {
    AccountRegistered: open_new_account,
    DonationRequested: debit_donor,
    TransferDebited: credit_payee,
    TransferCreditRefused: refund_payer,
    DepositPaid: credit_deposit,
    WithdrawalRequested: debit_withdrawal,
    WithdrawalFailed: give_back_withdrawal,
    WithdrawalPaid: give_back_what_the_route_left,
}
