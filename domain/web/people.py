"""Signing up, logging in and out."""

from __future__ import annotations

from domain.auth.adapters.passwords import hash_password
from domain.auth.messages import LogIn as AskToLogIn
from domain.auth.messages import Reason, RegisterAccount, Session
from domain.web.asking import NEW
from domain.web.campaigns import UNPROCESSABLE
from domain.web.sentences import problem_of, sentence
from spark_actors.web.pages import Answer, LogIn, LogOut, NotAllowedError, Page, Sent, Visit, local_path

LEAST_CHARACTERS, MOST_CHARACTERS = 8, 200
"""Of a password."""
HOME = "/account"
UNBELIEVED = "unauthenticated"
"""What the daemon says of a former session, of other keys: it is forgotten, or it would stand in the way for ever."""
_TAKEN = (Reason.USERNAME_TAKEN, Reason.DUPLICATE_ACCOUNT)
_WHY_NOT = {
    "wrong_credentials": "No user has this name and password.",
    "too_many_attempts": "That was tried too often. Wait a minute, then try again.",
    "busy": "Too many people log in just now. Try again in a moment.",
}


async def sign_up_form(visit: Visit) -> Page:
    """The form to sign up."""
    return _sign_up_page(visit)


async def log_in_form(visit: Visit) -> Page:
    """The form to log in."""
    return _log_in_page(visit)


async def sign_up(visit: Visit) -> Answer:
    """Sign up under a name, and log in. Who has signed up by this very form before is logged in, too."""
    username, password = visit.form.get("username", "").strip().lower(), visit.form.get("password", "")
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        return _sign_up_page(visit, f"Choose a password of {LEAST_CHARACTERS} characters or more.")
    hashed = await visit.daemon.in_thread(hash_password, password)
    command = RegisterAccount(account_id=username, username=username, password_hash=hashed)
    outcome = await visit.daemon.send(command, visit.message_id)
    if outcome.reason == UNBELIEVED:
        return LogOut("/sign-up")
    if (problem := problem_of(outcome)) and outcome.reason not in _TAKEN:
        return _sign_up_page(visit, problem)
    if outcome.sent is Sent.UNDER_WAY:
        return _log_in_page(visit, "Your account is being made. Log in as soon as it is there, in a moment.")
    try:
        session: Session = await visit.daemon.ask(AskToLogIn(username=username, password=password))
    except NotAllowedError:
        return _sign_up_page(visit, problem) if problem else _log_in_page(visit, "You are signed up. Log in.")
    return LogIn(session.token, f"{_then(visit)}?{NEW}=1" if _then(visit) == HOME else _then(visit))


async def log_in(visit: Visit) -> Answer:
    """Log in, and go where one wanted to."""
    username, password = visit.form.get("username", "").strip(), visit.form.get("password", "")
    try:
        session: Session = await visit.daemon.ask(AskToLogIn(username=username, password=password))
    except NotAllowedError as error:
        if error.code == UNBELIEVED:
            return LogOut("/log-in")
        return _log_in_page(visit, _WHY_NOT.get(error.code) or sentence(error.code))
    return LogIn(session.token, _then(visit))


async def log_out(visit: Visit) -> LogOut:
    """Forget who it is."""
    return LogOut()


def _then(visit: Visit) -> str:
    return local_path(visit.form.get("then") or visit.query.get("then", ""), HOME)


def _sign_up_page(visit: Visit, problem: str = "") -> Page:
    return _page("sign_up.html", visit, problem)


def _log_in_page(visit: Visit, problem: str = "") -> Page:
    return _page("log_in.html", visit, problem)


def _page(template: str, visit: Visit, problem: str) -> Page:
    values = {"username": visit.form.get("username", ""), "then": _then(visit), "problem_text": problem}
    return Page(template, values, status=UNPROCESSABLE if problem else 200)
