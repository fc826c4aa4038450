"""Forms become commands: of the visitor, under the id that the form was rendered with, and told about in words."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from domain.auth.messages import LogIn, RegisterAccount, Session
from domain.bitcoin.messages import RequestDeposit, RequestWithdrawal
from domain.crowdfunding.messages import CreateCampaign, DonateToCampaign, RequestGift
from domain.web.asking import amount_of
from spark_actors.web.pages import NotAllowedError, Outcome, Sent
from tests.fixtures.web import Browser, CannedDaemon, elements, texts, token
from tests.unit.web.views import NOW, everything

ID = "0b0f7e9c-52a1-4d5e-9a43-6f2c1f0d8a11"


DONE = Outcome(Sent.DONE)


def user(outcome: Outcome = DONE) -> Browser:
    browser = Browser(CannedDaemon(everything(), outcome=outcome))
    browser.log_in("ada", "user")
    return browser


def test_giving_from_the_account_leads_to_its_receipt() -> None:
    browser = user()
    answer = browser.post("/campaigns/well", step="donate", amount="1,000", message_id=ID)
    donation = DonateToCampaign(campaign_id="well", donation_id=ID, account_id="ada", amount_sat=1_000)
    assert browser.daemon.sent == [(donation, ID, token("ada", "user"))]
    assert (answer.status_code, answer.headers["location"]) == (303, f"/donations/{ID}?new=1")


def test_giving_without_an_account_leads_to_an_invoice() -> None:
    browser = Browser(CannedDaemon(everything()))
    answer = browser.post(
        "/campaigns/a/b", step="give", amount="2000", name=" Zoë ", message="keep\r\ndry", message_id=ID
    )
    gift = RequestGift(campaign_id="a/b", gift_id=ID, amount_sat=2_000, name="Zoë", message="keep dry")
    assert browser.daemon.sent == [(gift, ID, "")]
    assert answer.headers["location"] == f"/gifts/{ID}?new=1"


def test_a_deposit_leads_to_its_invoice() -> None:
    browser = user()
    answer = browser.post("/deposit", amount="5 000", message_id=ID)
    assert browser.daemon.sent[0][0] == RequestDeposit(invoice_id=f"deposit-{ID}", account_id="ada", amount_sat=5_000)
    assert answer.headers["location"] == f"/deposits/deposit-{ID}?new=1"


def test_a_withdrawal_is_for_the_amount_that_was_shown() -> None:
    browser = user()
    answer = browser.post("/withdraw", step="confirm", invoice="lnbcrt1", amount="1200", message_id=ID)
    wanted = RequestWithdrawal(
        invoice_id=f"withdrawal-{ID}", account_id="ada", payment_request="lnbcrt1", amount_sat=1_200
    )
    assert browser.daemon.sent[0][0] == wanted
    assert answer.headers["location"] == f"/withdrawals/withdrawal-{ID}?new=1"


def test_a_campaign_has_its_title_in_its_address() -> None:
    browser = user()
    answer = browser.post(
        "/new-campaign", title="A Wéll, now!", story="Water.\r\n\r\nMore.", goal="21,000", step="open", message_id=ID
    )
    wanted = CreateCampaign(
        campaign_id="a-w-ll-now-0b0f7e9c",
        account_id="ada",
        title="A Wéll, now!",
        description="Water.\n\nMore.",
        goal_sat=21_000,
    )
    assert browser.daemon.sent[0][0] == wanted
    assert answer.headers["location"] == "/campaigns/a-w-ll-now-0b0f7e9c?new=1"


def test_a_title_without_such_letters_makes_an_address_all_the_same() -> None:
    browser = user()
    browser.post("/new-campaign", title="水井", story="", goal="1", step="open", message_id=ID)
    assert browser.daemon.sent[0][0].key == "0b0f7e9c"


@pytest.mark.parametrize("sent", [Sent.REJECTED, Sent.REFUSED])
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/campaigns/well", {"step": "donate", "amount": "1"}),
        ("/campaigns/well", {"step": "give", "amount": "1"}),
        ("/deposit", {"amount": "1"}),
        ("/withdraw", {"step": "confirm", "invoice": "lnbc1", "amount": "1"}),
        ("/new-campaign", {"title": "t", "goal": "1", "step": "open"}),
    ],
)
def test_a_refusal_is_told_beside_the_form_which_has_a_new_id(path: str, form: dict[str, str], sent: Sent) -> None:
    answer = user(Outcome(sent, "insufficient_funds")).post(path, message_id=ID, **form)
    assert answer.status_code == 422
    assert "There is not enough in the account." in texts(answer.text)
    ids = [field.get("value") for field in elements(answer.text, "input") if field.get("name") == "message_id"]
    assert ID not in ids
    for each in ids:
        UUID(each)


def test_what_is_under_way_leads_on_like_what_is_done() -> None:
    answer = user(Outcome(Sent.UNDER_WAY)).post("/deposit", amount="1", message_id=ID)
    assert answer.headers["location"] == f"/deposits/deposit-{ID}?new=1"


@pytest.mark.parametrize(
    "amount", ["", "0", "-1", "1.5", "1,5", "0.001", "1e3", "ten", "10,00", "1.000", "２", "9" * 17, "1_000 000,00"]
)
def test_what_is_no_amount_in_satoshis_is_not_sent(amount: str) -> None:
    assert amount_of(amount) is None
    browser = user()
    for path, form in (
        ("/deposit", {}),
        ("/campaigns/well", {"step": "donate"}),
        ("/campaigns/well", {"step": "give"}),
    ):
        answer = browser.post(path, amount=amount, **form)
        assert answer.status_code == 422
        assert "whole satoshis" in texts(answer.text)
    assert browser.daemon.sent == []


@pytest.mark.parametrize(
    ("text", "amount_sat"),
    [
        ("1", 1),
        (" 21000 ", 21_000),
        ("21,000", 21_000),
        ("1 000 000", 1_000_000),
        ("1'000", 1_000),
    ],
)
def test_thousands_may_be_set_apart(text: str, amount_sat: int) -> None:
    assert amount_of(text) == amount_sat


def test_an_id_that_is_none_is_replaced() -> None:
    browser = user()
    browser.post("/deposit", amount="1", message_id="../../etc")
    UUID(browser.daemon.sent[0][1])


def test_while_the_daemon_is_away_the_form_can_be_sent_again_under_its_id() -> None:
    browser = user()
    browser.daemon.is_away = True
    answer = browser.post("/deposit", amount="5000", message_id=ID)
    kept = {field.get("name"): field.get("value") for field in elements(answer.text, "input")}
    assert answer.status_code == 503
    assert (kept["amount"], kept["message_id"]) == ("5000", ID)
    assert "however often, it counts once" in texts(answer.text)


def test_a_password_is_never_shown_again() -> None:
    browser = Browser(CannedDaemon(is_away=True))
    for path in ("/sign-up", "/log-in"):
        answer = browser.post(path, username="ada", password="correct horse")
        assert answer.status_code == 503
        assert "correct horse" not in answer.text


def signed_up(outcome: Outcome, login: object) -> Browser:
    daemon = CannedDaemon({LogIn: login}, outcome=outcome)
    return Browser(daemon)


SESSION = Session(account_id="ada", token=token("ada", "user"), expires_at=NOW)
NO = NotAllowedError("wrong_credentials", "no user has this name and password")


def test_who_signs_up_is_logged_in_with_a_hash_that_is_not_their_password() -> None:
    browser = signed_up(Outcome(Sent.DONE), SESSION)
    answer = browser.post("/sign-up", username=" Ada ", password="correct horse", message_id=ID)
    command = browser.daemon.sent[0][0]
    assert isinstance(command, RegisterAccount)
    assert (command.account_id, command.username) == ("ada", "ada")
    assert command.password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert answer.headers["location"] == "/account?new=1"
    assert answer.headers["set-cookie"].startswith(f"spark-9465={SESSION.token};")


def test_signing_up_twice_by_one_form_logs_in_twice() -> None:
    """Its hash has another salt each time, so that the daemon knows no repeat in it."""
    answer = signed_up(Outcome(Sent.REJECTED, "username_taken"), SESSION).post(
        "/sign-up", username="ada", password="correct horse"
    )
    assert answer.status_code == 303


def test_a_name_that_somebody_else_has_is_told_to_be_taken() -> None:
    answer = signed_up(Outcome(Sent.REJECTED, "username_taken"), NO).post(
        "/sign-up", username="ada", password="correct horse"
    )
    assert answer.status_code == 422
    assert "Somebody else has this name." in texts(answer.text)
    assert "correct horse" not in answer.text


def test_a_short_password_is_not_taken() -> None:
    browser = signed_up(Outcome(Sent.DONE), SESSION)
    assert browser.post("/sign-up", username="ada", password="1234567").status_code == 422
    assert browser.daemon.sent == []


@pytest.mark.parametrize(
    ("code", "words"),
    [("wrong_credentials", "No user has"), ("too_many_attempts", "too often"), ("busy", "Too many people")],
)
def test_a_login_that_is_refused_says_why_and_keeps_the_name(code: str, words: str) -> None:
    answer = signed_up(Outcome(Sent.DONE), NotAllowedError(code, "")).post("/log-in", username="ada", password="x")
    assert answer.status_code == 422
    assert words in texts(answer.text)
    assert 'value="ada"' in answer.text
    assert "set-cookie" not in answer.headers


def test_a_login_leads_where_one_wanted_to() -> None:
    browser = signed_up(Outcome(Sent.DONE), SESSION)
    assert browser.post("/log-in", username="ada", password="x", then="/deposit").headers["location"] == "/deposit"
    assert browser.post("/log-in", username="ada", password="x", then="//evil").headers["location"] == "/account"


def test_logging_out_takes_the_token_and_kept_pages_away() -> None:
    answer = user().post("/log-out")
    assert re.match(r'spark-9465="?"?; .*Max-Age=0', answer.headers["set-cookie"])
    assert answer.headers["clear-site-data"] == '"cache"'


def test_a_former_session_that_is_not_believed_does_not_stand_in_the_way() -> None:
    browser = signed_up(Outcome(Sent.REFUSED, "unauthenticated"), NotAllowedError("unauthenticated", ""))
    for path in ("/log-in", "/sign-up"):
        answer = browser.post(path, username="ada", password="correct horse")
        assert (answer.status_code, answer.headers["location"]) == (303, path)
        assert "Max-Age=0" in answer.headers["set-cookie"]
