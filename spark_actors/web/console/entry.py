"""Who comes into the console: with a token, which is all that operators have."""

from __future__ import annotations

from spark_actors.operations.messages import WhoAmI, WhoYouAre
from spark_actors.web.console.asking import CONSOLE
from spark_actors.web.pages import Answer, Audience, LogIn, LogOut, NotAllowedError, Page, Visit, local_path

LOG_IN = f"{CONSOLE}/log-in"
UNPROCESSABLE = 422
MAY_LOOK = (Audience.OPERATOR, Audience.READER)


async def log_in_form(visit: Visit) -> Page:
    """The form for a token."""
    return _form(visit)


async def log_in(visit: Visit) -> Answer:
    """Have the daemon say whose token it is, and let operators and readers in."""
    token = "".join(visit.form.get("token", "").split())  # as terminals break long lines
    if not token:
        return _form(visit, "Paste a token.")
    try:
        who: WhoYouAre | None = await visit.daemon.with_token(token).ask(WhoAmI())
    except NotAllowedError:
        who = None
    if who is None:
        return _form(visit, "The daemon does not believe this token. It may be over, or one of another deployment.")
    if not set(who.roles) & set(MAY_LOOK):
        roles = ", ".join(who.roles)
        return _form(visit, f"This is a token of {who.name} ({roles}). The console is for operators and readers.")
    return LogIn(token, _then(visit))


async def log_out(visit: Visit) -> LogOut:
    """Forget who it is."""
    return LogOut(LOG_IN)


def _then(visit: Visit) -> str:
    then = local_path(visit.form.get("then") or visit.query.get("then", ""), CONSOLE)
    return CONSOLE if then.startswith(LOG_IN) else then


def _form(visit: Visit, problem: str = "") -> Page:
    values = {"then": _then(visit), "problem_text": problem}
    return Page("console/log_in.html", values, status=UNPROCESSABLE if problem else 200)
