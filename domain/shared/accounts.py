"""Ids of accounts."""

from __future__ import annotations

from spark_actors.kernel.ids import is_subject


def is_account_id(text: str) -> bool:
    """Whether *text* may name the account of a user, who acts under it.

    What begins with `@` is not: such ids belong to the ledger's own accounts.
    """
    return is_subject(text)
