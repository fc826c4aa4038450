"""Whether the Lightning node has what it is to pay out next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnderWay:
    """Withdrawals that are debited and have not ended, each with what is set aside for its route."""

    in_flight_sat: int
    to_send_sat: int
    """Of these: what nobody may have sent yet. The rest the node has taken off its balance, or has paid."""


@dataclass(frozen=True)
class HotWallet:
    """What the node can spend, and what waits to be sent. The balance must not be the newer of the two: what is sent
    between two looks would then be missing in it, and still wait."""

    balance_sat: int
    under_way: UnderWay

    @property
    def missing_sat(self) -> int:
        """What it takes, at the least, until all can be sent; 0: nothing."""
        return max(0, self.under_way.to_send_sat - self.balance_sat)

    def __str__(self) -> str:
        return (
            f"the Lightning node can spend {self.balance_sat} sat, withdrawals that wait to be sent take"
            f" {self.under_way.to_send_sat} sat: {self.missing_sat} sat are missing"
        )
