"""Satoshis: whole, positive, and never more than there will ever be."""

from __future__ import annotations

from typing import Self

from spark_actors.kernel.errors import DomainError

SUPPLY_SAT = 21_000_000 * 100_000_000
"""The most satoshis there will ever be."""


class InvalidAmountError(DomainError, ValueError):
    """An amount is not a positive number of satoshis within the supply of bitcoin."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return f"amount {self.value} is refused: expected 1 to 2100000000000000 satoshis"


class Satoshis(int):
    """A positive amount of satoshis. Raises InvalidAmountError for zero, negatives and more than the supply.

    It is an `int`, so sums and differences are plain integers again: a balance may be zero, an amount may not.
    """

    __slots__ = ()

    def __new__(cls, value: int) -> Self:
        if not 0 < value <= SUPPLY_SAT:
            raise InvalidAmountError(value)
        return super().__new__(cls, value)

    @staticmethod
    def are(value: int) -> bool:
        """Whether *value* would be accepted as an amount."""
        return 0 < value <= SUPPLY_SAT
