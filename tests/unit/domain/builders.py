"""Builders of commands for tests: good ones by default, each field to be changed by name."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

from domain.accounting.messages import Deposit, OpenAccount, RequestTransfer, Withdraw
from domain.auth.messages import RegisterAccount
from domain.bitcoin.bolt11 import written
from domain.bitcoin.messages import RequestDeposit, RequestWithdrawal
from domain.crowdfunding.messages import CreateCampaign, DonateToCampaign
from spark_actors.kernel.messages import Command
from tests.unit.domain.world import NOON, hash_of

ARGON2 = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaGhhc2hoYXNo"


def register(**fields: Any) -> RegisterAccount:
    return RegisterAccount(**{"account_id": "ann", "username": "Ann", "password_hash": ARGON2, **fields})


def deposit(**fields: Any) -> Deposit:
    return Deposit(**{"account_id": "ann", "deposit_id": "d1", "amount_sat": 100, **fields})


def withdraw(**fields: Any) -> Withdraw:
    return Withdraw(**{"account_id": "ann", "withdrawal_id": "w1", "amount_sat": 100, **fields})


def transfer(**fields: Any) -> RequestTransfer:
    values = {
        "transfer_id": "t1",
        "from_account_id": "ann",
        "to_account_id": "bob",
        "amount_sat": 40,
        "purpose": "rent",
        "reference": "May",
    }
    return RequestTransfer(**{**values, **fields})


def create_campaign(**fields: Any) -> CreateCampaign:
    values = {
        "campaign_id": "roof",
        "account_id": "bob",
        "title": "A new roof",
        "description": "It rains in.",
        "goal_sat": 100,
    }
    return CreateCampaign(**{**values, **fields})


def donate(**fields: Any) -> DonateToCampaign:
    values = {"campaign_id": "roof", "donation_id": "gift", "account_id": "ann", "amount_sat": 40}
    return DonateToCampaign(**{**values, **fields})


def request_deposit(**fields: Any) -> RequestDeposit:
    return RequestDeposit(**{"invoice_id": "in", "account_id": "ann", "amount_sat": 70, **fields})


@cache
def a_payment_request(
    word: str = "out",
    amount_msat: int | None = 70_000,
    *,
    expires_at: datetime = NOON + timedelta(hours=1),
    network: str = "bcrt",
) -> str:
    """What somebody outside asks for, who has the preimage of *word*."""
    return written(
        network=network,
        amount_msat=amount_msat,
        payment_hash=hash_of(word),
        payment_secret=sha256(word.encode()).hexdigest(),
        description=word,
        created_at=expires_at - timedelta(hours=1),
        expires_in=timedelta(hours=1),
        secret_key=7,
    )


def request_withdrawal(word: str = "out", asks_sat: int = 70, **fields: Any) -> RequestWithdrawal:
    """Pay what somebody outside asks for."""
    request = a_payment_request(word, asks_sat * 1_000)
    return RequestWithdrawal(**{"invoice_id": "out", "account_id": "ann", "payment_request": request, **fields})


def funded(account_id: str, amount_sat: int) -> tuple[Command, Command]:
    """An account that is open and holds so much."""
    opened = OpenAccount(account_id=account_id)
    return opened, deposit(account_id=account_id, deposit_id=f"seed-{account_id}", amount_sat=amount_sat)
