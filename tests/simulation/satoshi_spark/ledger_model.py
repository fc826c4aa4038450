"""Accounting in its simplest form: what each command should have answered, given those that came before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from domain.accounting.account import IN_TRANSIT, LIGHTNING, ROUTING
from domain.accounting.messages import (
    CreditTransfer,
    Deposit,
    OpenAccount,
    Purpose,
    Reason,
    RefundTransfer,
    RefundWithdrawal,
    RequestTransfer,
    ReturnFeeReserve,
    Withdraw,
)
from spark_actors.kernel.messages import Command

Key: TypeAlias = tuple[str, ...]
"""Names a movement; nothing is moved twice under one. Whoever asks for it, all ids of one kind are one space, but for
deposits: those of invoices and those made by hand never meet."""


class LedgerModel:
    """One command after the other, on plain numbers: no versions, no batches, no messages."""

    def __init__(self) -> None:
        self.balances: Counter[str] = Counter()
        self.known: set[str] = set()
        self.open: set[str] = set()
        self.moved: set[Key] = set()
        self.movements: Counter[tuple[str, str, int]] = Counter()
        """Debit account, credit account and amount of each, and how many such there are."""

    def answer(self, command: Command) -> str:
        """Why it is refused; empty if it takes effect."""
        reason = _RULES[type(command)](self, command)
        return str(reason) if reason else ""

    def _open(self, command: OpenAccount) -> Reason | None:
        if command.account_id in self.open:
            return Reason.ALREADY_OPEN
        self.open.add(command.account_id)
        self.known.add(command.account_id)
        return None

    def _deposit(self, command: Deposit) -> Reason | None:
        is_by_hand = command.purpose != Purpose.INVOICE
        key = ("deposit" if is_by_hand else "invoice", command.deposit_id)
        if key in self.moved:
            return Reason.DUPLICATE_DEPOSIT
        return self._move(key, LIGHTNING, command.account_id, command.amount_sat)

    def _withdraw(self, command: Withdraw) -> Reason | None:
        key = ("withdrawal", command.withdrawal_id)
        refused = self._debit(key, command.account_id, LIGHTNING, command.amount_sat, command.fee_reserve_sat)
        if refused is None and command.fee_reserve_sat:
            self._move((*key, "reserve"), command.account_id, ROUTING, command.fee_reserve_sat)
        return refused

    def _refund_withdrawal(self, command: RefundWithdrawal) -> Reason | None:
        key = ("withdrawal", command.withdrawal_id)
        if command.account_id not in self.known:
            return Reason.UNKNOWN_ACCOUNT
        if key not in self.moved:
            return Reason.UNKNOWN_WITHDRAWAL
        if (*key, "refund") in self.moved:
            return Reason.ALREADY_REFUNDED
        if command.fee_reserve_sat:
            self._move((*key, "reserve_refund"), ROUTING, command.account_id, command.fee_reserve_sat)
        return self._move((*key, "refund"), LIGHTNING, command.account_id, command.amount_sat)

    def _return_fee_reserve(self, command: ReturnFeeReserve) -> Reason | None:
        key = ("withdrawal", command.withdrawal_id)
        if (*key, "reserve") not in self.moved:
            return Reason.UNKNOWN_WITHDRAWAL
        if not self.moved.isdisjoint(((*key, "change"), (*key, "reserve_refund"))):
            return Reason.ALREADY_RETURNED
        return self._move((*key, "change"), ROUTING, command.account_id, command.fee_reserve_sat - command.fee_sat)

    def _request_transfer(self, command: RequestTransfer) -> Reason | None:
        if command.from_account_id == command.to_account_id:
            return Reason.OWN_ACCOUNT
        refused = self._debit(_transfer(command), command.from_account_id, IN_TRANSIT, command.amount_sat)
        return Reason.DUPLICATE_TRANSFER if refused is Reason.DUPLICATE_WITHDRAWAL else refused

    def _credit_transfer(self, command: CreditTransfer) -> Reason | None:
        key = _transfer(command)
        if command.to_account_id not in self.open:
            return Reason.UNKNOWN_ACCOUNT
        if (*key, "credit") in self.moved:
            return Reason.DUPLICATE_TRANSFER
        return self._end(key, "credit", command.to_account_id, command.amount_sat)

    def _refund_transfer(self, command: RefundTransfer) -> Reason | None:
        key = _transfer(command)
        if (*key, "refund") in self.moved:
            return Reason.ALREADY_REFUNDED
        return self._end(key, "refund", command.from_account_id, command.amount_sat)

    def _end(self, key: Key, step: str, account_id: str, amount_sat: int) -> Reason | None:
        if key not in self.moved:
            return Reason.UNKNOWN_TRANSFER
        if not self.moved.isdisjoint(((*key, "credit"), (*key, "refund"))):
            return Reason.TRANSFER_ENDED
        return self._move((*key, step), IN_TRANSIT, account_id, amount_sat)

    def _debit(self, key: Key, account_id: str, payee: str, amount_sat: int, more_sat: int = 0) -> Reason | None:
        if account_id not in self.open:
            return Reason.UNKNOWN_ACCOUNT
        if self.balances[account_id] < amount_sat + more_sat:
            return Reason.INSUFFICIENT_FUNDS
        if key in self.moved:
            return Reason.DUPLICATE_WITHDRAWAL
        return self._move(key, account_id, payee, amount_sat)

    def _move(self, key: Key, payer: str, payee: str, amount_sat: int) -> Reason | None:
        self.moved.add(key)
        self.known |= {payer, payee}
        self.balances[payer] -= amount_sat
        self.balances[payee] += amount_sat
        self.movements[payer, payee, amount_sat] += 1
        return None


def _transfer(command: RequestTransfer | CreditTransfer | RefundTransfer) -> Key:
    return ("transfer", command.transfer_id)


_RULES: Mapping[type[Command], Callable[[LedgerModel, Any], Reason | None]] = {
    OpenAccount: LedgerModel._open,
    Deposit: LedgerModel._deposit,
    Withdraw: LedgerModel._withdraw,
    RefundWithdrawal: LedgerModel._refund_withdrawal,
    ReturnFeeReserve: LedgerModel._return_fee_reserve,
    RequestTransfer: LedgerModel._request_transfer,
    CreditTransfer: LedgerModel._credit_transfer,
    RefundTransfer: LedgerModel._refund_transfer,
}
