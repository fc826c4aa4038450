"""What is paid over Lightning in the words of the command line: in, to a campaign, and out. The node is simulated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import pytest

from domain.bitcoin.adapters.requests import Behaviour, simulated_invoice
from spark_actors.cli.errors import ExitCode
from tests.fixtures.daemon import Daemon, eventually

OWNER = "lightning-owner"
CAMPAIGN = "lightning-well"
MOST_FEE_SAT = 50


@pytest.fixture(scope="module")
def daemon(running: Daemon) -> Daemon:
    """With an account that owns a campaign."""
    for command in (
        ("accounting.open-account", f"account_id={OWNER}"),
        (
            "crowdfunding.create-campaign",
            *(f"campaign_id={CAMPAIGN}", f"account_id={OWNER}", "title=A well", "description=Water", "goal_sat=5000"),
        ),
    ):
        sent = running.cli("send", *command)
        assert sent.returncode == 0, sent.stdout + sent.stderr
    return running


def typed(daemon: Daemon, *arguments: str, expected: ExitCode = ExitCode.DONE) -> str:
    done = daemon.cli(*arguments)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout if expected is ExitCode.DONE else done.stdout + done.stderr


def seen(daemon: Daemon, *arguments: str) -> Mapping[str, Any]:
    view: Mapping[str, Any] = json.loads(typed(daemon, *arguments, "--json"))
    return view


def balance_sat(daemon: Daemon) -> int:
    return int(seen(daemon, "view", "dashboard.account-overview", f"account_id={OWNER}")["balance_sat"])


def an_invoice(amount_sat: int, behaviour: Behaviour = Behaviour.PAY) -> str:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    return simulated_invoice(amount_sat, expires_at, nonce=str(uuid4()), behaviour=behaviour).payment_request


def test_a_deposit_is_drawn_and_credited(daemon: Daemon) -> None:
    before_sat = balance_sat(daemon)
    told = typed(daemon, "deposit", "2000", "--account", OWNER)
    assert "█" in told
    assert "lightning:LN" in told
    assert told.splitlines()[-1] == "credited: 2,000 sat"
    assert balance_sat(daemon) == before_sat + 2_000


def test_a_gift_is_drawn_counts_and_is_a_receipt(daemon: Daemon) -> None:
    told = typed(daemon, "give", CAMPAIGN, "700", "--name", "Zoë", "--message", "Keep dry")
    assert "█" in told
    assert told.splitlines()[-1] == "registered: 700 sat"
    gift = seen(daemon, "give", CAMPAIGN, "300")
    assert (gift["state"], gift["amount_sat"], gift["campaign_id"]) == ("registered", 300, CAMPAIGN)
    assert gift["payment_request"].startswith("lnbcrt")


def test_a_withdrawal_tells_the_proof_of_its_payment(daemon: Daemon) -> None:
    typed(daemon, "deposit", "1000", "--account", OWNER)
    told = typed(daemon, "withdraw", an_invoice(500), "--account", OWNER, "--max-fee", str(MOST_FEE_SAT))
    paid, proof = told.splitlines()
    assert paid.startswith("paid: 500 sat")
    assert len(bytes.fromhex(proof.rpartition(" ")[2])) == 32


def test_a_withdrawal_that_cannot_be_paid_says_why_and_costs_nothing(daemon: Daemon) -> None:
    typed(daemon, "deposit", "1000", "--account", OWNER)
    before_sat = balance_sat(daemon)
    invoice = an_invoice(500, Behaviour.FAIL)
    told = typed(daemon, "withdraw", invoice, "--account", OWNER, expected=ExitCode.REFUSED)
    assert told == "refunded (no_route): 500 sat\n"
    assert balance_sat(daemon) == before_sat


def test_what_has_failed_is_accepted_under_another_id_and_given_back_untried(daemon: Daemon) -> None:
    typed(daemon, "deposit", "1000", "--account", OWNER)
    invoice = an_invoice(500, Behaviour.FAIL)
    typed(daemon, "withdraw", invoice, "--account", OWNER, expected=ExitCode.REFUSED)
    before_sat = balance_sat(daemon)
    told = typed(daemon, "withdraw", invoice, "--account", OWNER, expected=ExitCode.REFUSED)
    assert told == "refunded (payment_tried_before): 500 sat\n"
    assert balance_sat(daemon) == before_sat


def test_what_is_owed_under_way_and_to_be_sent_is_measured_beside_the_nodes_balance(daemon: Daemon) -> None:
    wanted = (
        'spark_books_amount{context="accounting",what="owed_sat"}',
        'spark_books_amount{context="bitcoin",what="in_flight_sat"}',
        'spark_books_amount{context="bitcoin",what="to_send_sat"}',
        'spark_outside_amount{service="lightning",what="balance_sat"}',
    )

    def is_there() -> bool:
        with urlopen(f"{daemon.card.metrics_url}/metrics", timeout=10) as response:
            text = response.read().decode()
        return all(name in text for name in wanted)

    assert eventually(is_there)
    assert json.loads(typed(daemon, "status", "--json"))["status"]["warnings"] == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("deposit", "0", "--account", OWNER), "invalid_amount"),
        (("give", "no-such-campaign", "5"), "unknown_campaign"),
        (("withdraw", "lnbcrt1nonsense", "--account", OWNER), "invalid_payment_request"),
    ],
)
def test_what_the_business_refuses_is_refused_in_words(daemon: Daemon, words: tuple[str, ...], why: str) -> None:
    assert why in typed(daemon, *words, expected=ExitCode.REJECTED)


def test_an_operator_says_whose_account_is_meant(daemon: Daemon) -> None:
    assert "--account" in typed(daemon, "deposit", "5", expected=ExitCode.USAGE)
