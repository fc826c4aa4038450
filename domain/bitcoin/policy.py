"""What an operator lets be withdrawn, and what is set aside for the fee: a value by which the domain decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from domain.bitcoin.bolt11 import PaymentRequest
from domain.bitcoin.messages import Reason

TIME_TO_PAY = timedelta(seconds=60)
"""How long a request must still be payable: until then it is debited and handed to the node."""


@dataclass(frozen=True)
class Policy:
    """As the settings make it; by default as `default.toml` says."""

    network: str = "bcrt"
    """Prefix of the payment requests that may be paid, without `ln`: bc, tb, tbs or bcrt."""
    smallest_sat: int = 1
    largest_sat: int = 10_000_000
    longest_life: timedelta = timedelta(days=7)
    """For how long a request may still be payable: what is not known to be sent is given back only after that."""
    least_reserve_sat: int = 2
    reserve_percent: float = 1.0

    def objection_to(self, request: PaymentRequest, now: datetime) -> Reason | None:
        """Why it may not be paid; None if it may."""
        if request.network != self.network:
            return Reason.WRONG_NETWORK
        amount_sat, life = request.amount_sat, request.expires_at - now
        if amount_sat is None:
            return Reason.NO_AMOUNT
        if not request.is_whole:
            return Reason.AMOUNT_NOT_WHOLE
        if life < TIME_TO_PAY:
            return Reason.INVOICE_EXPIRED
        if life > self.longest_life:
            return Reason.EXPIRES_TOO_LATE
        if amount_sat < self.smallest_sat:
            return Reason.AMOUNT_TOO_SMALL
        return Reason.AMOUNT_TOO_LARGE if amount_sat > self.largest_sat else None

    def fee_reserve_sat(self, amount_sat: int, max_fee_sat: int | None) -> int:
        """What is debited beside the amount: the most that the route may cost, and never more than *max_fee_sat*."""
        reserve_sat = max(self.least_reserve_sat, ceil(amount_sat * self.reserve_percent / 100))
        return reserve_sat if max_fee_sat is None else min(reserve_sat, max_fee_sat)
