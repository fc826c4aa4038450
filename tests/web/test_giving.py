"""The pages for people who give, in a browser, on a running daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Page

from domain.bitcoin.adapters.requests import simulated_invoice
from spark_actors.web.rendering import qr
from tests.fixtures.daemon import Daemon, environment, eventually, first_line
from tests.web.browser import Eye
from tests.web.conftest import Arrives

RECOVERED_MS = 5_000
BACK_SECONDS = 30


def invoice_of_a_wallet(nonce: str, amount_sat: int = 1_200) -> str:
    return simulated_invoice(amount_sat, datetime.now(UTC) + timedelta(hours=1), nonce=nonce).payment_request


def test_a_giver_finds_a_way_through_every_screen(arrives: Arrives, tmp_path: Path) -> None:
    """Each in each theme and width: no fault of access, nothing to scroll sideways."""
    eye = Eye(Path(os.environ.get("SPARK_PICTURES") or tmp_path))
    ada = arrives()
    eye.look(ada.page, "campaigns-none")
    ada.go("/sign-up")
    eye.look(ada.page, "sign-up")
    ada.sign_up("ada")
    eye.look(ada.page, "account-new")
    ada.go("/new-campaign")
    ada.fill(title="A public well", story="Clean water for the village.\n\nEvery satoshi counts.", goal="21,000")
    ada.press("Preview")
    ada.sees("Preview")
    eye.look(ada.page, "new-campaign")
    ada.press("Begin the campaign")
    ada.sees("This is your campaign")
    eye.look(ada.page, "own-campaign")
    campaign = ada.page.url.removeprefix(ada.url).partition("?")[0]

    zoe = arrives()
    zoe.go(f"{campaign}?amount=1000")
    zoe.fill(gift_name="Zoë", gift_message="Keep dry, and drink well!")
    eye.look(zoe.page, "campaign")
    zoe.press("Get an invoice to pay")
    zoe.sees("Scan the code with a Lightning wallet")
    eye.look(zoe.page, "gift")
    zoe.sees("Thank you. Your gift has arrived")
    eye.look(zoe.page, "gift-arrived")
    ada.sees("Keep dry, and drink well!")  # without a reload

    bob = arrives()
    bob.sign_up("bob")
    bob.go("/deposit?amount=5000")
    eye.look(bob.page, "deposit-form")
    bob.press("Get an invoice")
    bob.sees("Scan the code with a Lightning wallet")
    text = bob.page.locator("#invoice").text_content() or ""
    drawn = bob.page.locator("svg.qr path").get_attribute("d") or "none"
    assert drawn in qr(f"LIGHTNING:{text.upper()}", "")
    bob.sees("It has arrived")
    eye.look(bob.page, "deposit-credited")
    bob.go(f"{campaign}?amount=1000")
    bob.press("Give from my account")
    bob.sees("Thank you. Your gift has arrived.")
    eye.look(bob.page, "receipt")
    ada.sees("2,000 sat")  # without a reload

    bob.go("/withdraw")
    bob.fill(invoice="lnbcrt1nonsense")
    bob.press("See what it costs")
    bob.sees("This is no Lightning invoice")
    eye.look(bob.page, "withdraw-refused")
    bob.fill(invoice=invoice_of_a_wallet("bob"))
    bob.press("See what it costs")
    bob.sees("Taken from the account")
    eye.look(bob.page, "withdraw-review")
    bob.press("Pay 1,200 sat")
    bob.sees("The invoice was paid")
    eye.look(bob.page, "withdrawal")
    bob.go("/account")
    bob.sees("Gift to A public well")
    eye.look(bob.page, "account")
    ada.go("/my-campaigns")
    eye.look(ada.page, "my-campaigns")
    ada.press("Log out")
    ada.page.get_by_role("link", name="Log in").click()
    eye.look(ada.page, "log-in")
    assert eye.faults == []


def test_it_all_works_without_scripts(arrives: Arrives) -> None:
    ada = arrives(has_scripts=False)
    ada.sign_up("ada-plain")
    campaign = ada.begin_campaign("A plain well")
    zoe = arrives(has_scripts=False)
    zoe.go(campaign)
    zoe.fill(gift_amount="1,500", gift_name="Zoë")
    zoe.press("Get an invoice to pay")
    zoe.sees("Scan the code with a Lightning wallet")
    zoe.sees("Thank you. Your gift has arrived")
    bob = arrives(has_scripts=False)
    bob.sign_up("bob-plain")
    bob.deposit("5000")
    bob.go(campaign)
    bob.fill(donate_amount="500")
    bob.press("Give from my account")
    bob.sees("Thank you. Your gift has arrived.")
    bob.go("/withdraw")
    bob.fill(invoice=invoice_of_a_wallet("bob-plain"))
    bob.press("See what it costs")
    bob.press("Pay 1,200 sat")
    bob.sees("The invoice was paid")
    ada.go(campaign)
    ada.sees("2,000 sat")
    ada.go("/account")
    ada.sees("Gift from somebody to A plain well")
    ada.press("Log out")
    ada.sees("Sign up")


@pytest.mark.parametrize("has_scripts", [True, False])
def test_a_form_that_is_sent_again_counts_once(arrives: Arrives, has_scripts: bool) -> None:
    name = "eve" if has_scripts else "eve-plain"
    ada = arrives()
    ada.sign_up(f"{name}-owner")
    campaign = ada.begin_campaign(f"The well of {name}")
    eve = arrives(has_scripts=has_scripts)
    eve.sign_up(name)
    eve.deposit("5000")
    eve.go(campaign)
    eve.fill(donate_amount="500")
    eve.page.get_by_role("button", name="Give from my account").dblclick(no_wait_after=True)
    eve.sees("Thank you. Your gift has arrived.")
    eve.page.reload()
    eve.page.go_back()
    eve.fill(donate_amount="500")
    eve.press("Give from my account")
    eve.sees("Thank you. Your gift has arrived.")
    eve.go(campaign)
    eve.sees("by 1 gift")
    eve.go("/account")
    eve.sees("4,500 sat")


def test_who_is_logged_out_finds_the_way_back_and_sees_nothing_of_anybody(arrives: Arrives) -> None:
    ada = arrives()
    ada.sign_up("carl")
    ada.go("/deposit?amount=700")
    ada.press("Get an invoice")
    ada.sees("Scan the code with a Lightning wallet")
    path = ada.page.url.removeprefix(ada.url).partition("?")[0]
    stranger = arrives()
    stranger.sign_up("mallory")
    answer = stranger.page.request.get(f"{ada.url}{path}")
    assert answer.status == 404
    ada.press("Log out")
    ada.go("/deposit")
    ada.sees("You have no account yet?")
    ada.fill(username="carl", password="correct horse")
    ada.press("Log in")
    ada.sees("You get an invoice, pay it")


def focused(page: Page) -> str:
    return str(
        page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.tagName, e.id || e.textContent.trim(), s.outlineStyle !== 'none'].join(' ') })()"
        )
    )


def test_every_control_is_reached_and_seen_by_keyboard(arrives: Arrives) -> None:
    page = arrives().open("/log-in")
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(focused(page))
    assert reached == [
        "A To the content true",
        "A Satoshi Spark true",
        "A Campaigns true",
        "A Log in true",
        "A Sign up true",
        "INPUT username true",
        "INPUT password true",
        "BUTTON Log in true",
        "A Sign up true",
    ]


def asked(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=10) as response:
        answer: dict[str, object] = json.load(response)
    return answer


def test_a_daemon_without_its_pages_is_ready_and_starts_them_again(arrives: Arrives, served: Daemon) -> None:
    ada = arrives()
    base = served.card.metrics_url
    pid = int((served.data_dir / "web" / "web.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: (served.data_dir / "web" / "web.pid").read_text() != str(pid), BACK_SECONDS)
    assert asked(f"{base}/readyz")["ready"] is True
    assert eventually(lambda: asked(f"{base}/status")["web"] == {"url": ada.url, "state": "ready"}, BACK_SECONDS)
    ada.page.locator("#away").wait_for(state="hidden")
    ada.complaints.clear()  # of what it asked for meanwhile
    assert f"web {ada.url}  " in served.ready_line


def test_pages_are_served_alone_beside_a_daemon(arrives: Arrives, served: Daemon) -> None:
    command = [sys.executable, "-m", "spark_actors.cli", "web", "--data-dir", str(served.data_dir)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = first_line(process, BACK_SECONDS).split()[-1]
        assert url != served.card.web_url
        assert eventually(lambda: is_served(url), BACK_SECONDS)
    finally:
        process.terminate()
        assert process.wait(BACK_SECONDS) == 0
        process.communicate()


def is_served(url: str) -> bool:
    """Whether there are campaigns: not so before the broker is reached."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return "Give a spark" in answer.read().decode()
    except HTTPError:
        return False


def test_pages_outlive_the_daemon(arrives: Arrives, served: Daemon) -> None:
    """They say that it is away, go on by themselves when it is back, and what is sent then counts once."""
    ada, bob = arrives(), arrives()
    ada.sign_up("olga")
    campaign = ada.begin_campaign("A well that outlives")
    bob.sign_up("otto")
    bob.deposit("5000")
    bob.go(campaign)
    bob.fill(donate_amount="500")
    served.kill()
    ada.page.locator("#away").wait_for(state="visible")
    bob.page.locator("#away").wait_for(state="visible")
    served.left_behind()
    served.start()
    for person in (ada, bob):
        person.page.locator("#away").wait_for(state="hidden", timeout=RECOVERED_MS)
    bob.press("Give from my account")
    bob.sees("Thank you. Your gift has arrived.")
    ada.sees("by 1 gift")
    for person in (ada, bob):
        person.complaints.clear()  # of what they asked for meanwhile
        logs = "".join(file.read_text(errors="replace") for file in (served.data_dir / "logs").iterdir())
        assert all(token not in logs for token in person.tokens)
    audit = served.cli("audit")
    assert audit.returncode == 0, audit.stdout
