"""Builders of commands for tests: good ones by default, each field to be changed by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from domain.accounting.messages import Deposit, OpenAccount, RequestTransfer, Withdraw
from domain.auth.messages import RegisterAccount
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


def request_withdrawal(**fields: Any) -> RequestWithdrawal:
    values = {
        "invoice_id": "out",
        "account_id": "ann",
        "amount_sat": 70,
        "payment_request": "lnbc-out",
        "payment_hash": hash_of("out"),
        "expires_at": NOON + timedelta(hours=1),
    }
    return RequestWithdrawal(**{**values, **fields})


def funded(account_id: str, amount_sat: int) -> tuple[Command, Command]:
    """An account that is open and holds so much."""
    opened = OpenAccount(account_id=account_id)
    return opened, deposit(account_id=account_id, deposit_id=f"seed-{account_id}", amount_sat=amount_sat)
