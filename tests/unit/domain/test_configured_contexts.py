"""What the settings say of money reaches the decisions, and by default it is what the file of settings says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.accounting.account import Account, AccountStatus
from domain.accounting.context import MOST_A_DAY_SAT
from domain.accounting.messages import Purpose, Withdraw
from domain.application import APPLICATION
from domain.bitcoin.adapters.installed import policy
from domain.bitcoin.messages import RequestWithdrawal
from domain.bitcoin.policy import Policy
from domain.settings import SparkSettings
from spark_actors.kernel.context import mistakes
from tests.unit.domain.builders import a_payment_request, request_withdrawal, withdraw
from tests.unit.domain.world import NOON

OTHER = {
    "network": "tb",
    "withdrawals": {"smallest_sat": 3, "largest_sat": 5_000, "day_sat": 70, "longest_days": 2},
    "fees": {"least_sat": 9, "percent": 0.5},
}


def test_by_default_contexts_decide_as_the_file_of_settings_says() -> None:
    assert policy(SparkSettings()) == Policy()
    assert SparkSettings().lightning.withdrawals.day_sat == MOST_A_DAY_SAT


def test_a_policy_is_what_the_settings_say() -> None:
    assert policy(SparkSettings(lightning=OTHER)) == Policy(
        network="tb",
        smallest_sat=3,
        largest_sat=5_000,
        longest_life=timedelta(days=2),
        least_reserve_sat=9,
        reserve_percent=0.5,
    )


def test_handlers_decide_by_the_settings() -> None:
    settings: Any = SparkSettings(lightning=OTHER)
    bitcoin, accounting = (APPLICATION.installed(name).as_set(settings) for name in ("bitcoin", "accounting"))
    asked = request_withdrawal(payment_request=a_payment_request(network="tb"))
    withdrawal = bitcoin.commands[RequestWithdrawal].missing(asked, NOON).state
    assert withdrawal is not None
    assert withdrawal.fee_reserve_sat == 9
    account = Account("ann", 1_000, AccountStatus.OPEN)
    too_much = withdraw(amount_sat=71, purpose=Purpose.INVOICE)
    assert accounting.commands[Withdraw].existing(account, too_much, NOON).outcome.reason == "day_limit"


@pytest.mark.parametrize("name", ["bitcoin", "accounting"])
def test_a_configured_context_is_the_same_but_for_its_handlers(name: str) -> None:
    installed = APPLICATION.installed(name)
    configured = installed.as_set(SparkSettings(lightning=OTHER))
    assert mistakes(configured) == []
    assert set(configured.commands) == set(installed.context.commands)
    for part in ("messages", "upcasters", "steps", "sagas", "tasks", "views"):
        assert getattr(configured, part) == getattr(installed.context, part)
    assert set(configured.refusals) == set(installed.context.refusals)


def test_a_context_that_nothing_configures_is_as_it_is() -> None:
    installed = APPLICATION.installed("auth")
    assert installed.as_set(SparkSettings()) is installed.context
