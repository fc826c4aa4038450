"""Accounting in its simplest form: what each command should have answered, given those that came before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from domain.accounting.account import deposit_entry
from domain.accounting.messages import (
    CreditTransfer,
    Deposit,
    OpenAccount,
    Reason,
    RefundTransfer,
    RefundWithdrawal,
    RequestTransfer,
    Withdraw,
)
from domain.shared.messages import Command


class LedgerModel:
    """One command after the other, on plain numbers: no versions, no batches, no messages."""

    def __init__(self) -> None:
        self.balances: Counter[str] = Counter()
        self.known: set[str] = set()
        self.open: set[str] = set()
        self.moved: set[str] = set()
        """Keys of what was moved."""

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
        key, _ = deposit_entry(command)
        if key in self.moved:
            return Reason.DUPLICATE_DEPOSIT
        return self._move(key, command.account_id, command.amount_sat)

    def _withdraw(self, command: Withdraw) -> Reason | None:
        return self._debit(f"withdrawal/{command.withdrawal_id}/debit", command.account_id, command.amount_sat)

    def _refund_withdrawal(self, command: RefundWithdrawal) -> Reason | None:
        key = f"withdrawal/{command.withdrawal_id}"
        if command.account_id not in self.known:
            return Reason.UNKNOWN_ACCOUNT
        if f"{key}/debit" not in self.moved:
            return Reason.UNKNOWN_WITHDRAWAL
        if f"{key}/refund" in self.moved:
            return Reason.ALREADY_REFUNDED
        return self._move(f"{key}/refund", command.account_id, command.amount_sat)

    def _request_transfer(self, command: RequestTransfer) -> Reason | None:
        if command.from_account_id == command.to_account_id:
            return Reason.OWN_ACCOUNT
        refused = self._debit(f"transfer/{command.transfer_id}/debit", command.from_account_id, command.amount_sat)
        return Reason.DUPLICATE_TRANSFER if refused is Reason.DUPLICATE_WITHDRAWAL else refused

    def _credit_transfer(self, command: CreditTransfer) -> Reason | None:
        key = f"transfer/{command.transfer_id}"
        if command.to_account_id not in self.open:
            return Reason.UNKNOWN_ACCOUNT
        if f"{key}/credit" in self.moved:
            return Reason.DUPLICATE_TRANSFER
        return self._end(key, "credit", command.to_account_id, command.amount_sat)

    def _refund_transfer(self, command: RefundTransfer) -> Reason | None:
        key = f"transfer/{command.transfer_id}"
        if f"{key}/refund" in self.moved:
            return Reason.ALREADY_REFUNDED
        return self._end(key, "refund", command.from_account_id, command.amount_sat)

    def _end(self, key: str, step: str, account_id: str, amount_sat: int) -> Reason | None:
        if f"{key}/debit" not in self.moved:
            return Reason.UNKNOWN_TRANSFER
        if not self.moved.isdisjoint((f"{key}/credit", f"{key}/refund")):
            return Reason.TRANSFER_ENDED
        return self._move(f"{key}/{step}", account_id, amount_sat)

    def _debit(self, key: str, account_id: str, amount_sat: int) -> Reason | None:
        if account_id not in self.open:
            return Reason.UNKNOWN_ACCOUNT
        if self.balances[account_id] < amount_sat:
            return Reason.INSUFFICIENT_FUNDS
        if key in self.moved:
            return Reason.DUPLICATE_WITHDRAWAL
        return self._move(key, account_id, -amount_sat)

    def _move(self, key: str, account_id: str, amount_sat: int) -> Reason | None:
        self.moved.add(key)
        self.known.add(account_id)
        self.balances[account_id] += amount_sat
        return None


_RULES: Mapping[type[Command], Callable[[LedgerModel, Any], Reason | None]] = {
    OpenAccount: LedgerModel._open,
    Deposit: LedgerModel._deposit,
    Withdraw: LedgerModel._withdraw,
    RefundWithdrawal: LedgerModel._refund_withdrawal,
    RequestTransfer: LedgerModel._request_transfer,
    CreditTransfer: LedgerModel._credit_transfer,
    RefundTransfer: LedgerModel._refund_transfer,
}
