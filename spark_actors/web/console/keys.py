"""Keys whose messages wait: why, since when, how many; and what is done about one."""

from __future__ import annotations

from dataclasses import replace

from spark_actors.operations.messages import KeyActed, KeyLine, KeyPage, ListKeys, PauseKey, ResumeKey, SkipKey
from spark_actors.web.console.asking import (
    CONSOLE,
    FormProblemError,
    careful,
    chosen,
    list_path,
    sentence,
    why_of,
)
from spark_actors.web.pages import NotAllowedError, Page, Visit

KEYS = f"{CONSOLE}/keys"
BY = ("context", "subscriber", "instance", "state", "reason")
STATES = (("", "all"), ("parked", "parked"), ("paused", "paused"), ("released", "released"))
UNPROCESSABLE = 422


@careful
async def keys(visit: Visit) -> Page:
    """Those that a filter in the address lets through, the longest first."""
    said = chosen(visit.query, *BY)
    found: KeyPage = await visit.daemon.ask(ListKeys(**said, after=visit.query.get("after", "")))
    more = list_path(KEYS, **said, after=found.next) if found.next else ""
    return Page("console/keys.html", {"said": said, "states": STATES, "keys": found.keys, "more": more})


@careful
async def key(visit: Visit) -> Page:
    """One, whether something waits for it or not."""
    return await _key_page(visit)


@careful
async def act_on_key(visit: Visit) -> Page:
    """Pause it, resume it, or give up what waits in front."""
    try:
        done: KeyActed | None = await visit.daemon.ask(_action(visit))
    except FormProblemError as error:
        return replace(await _key_page(visit, said=str(error)), status=UNPROCESSABLE)
    except NotAllowedError as error:
        if error.code not in ("malformed_data", "refused", "forgotten"):
            raise
        return replace(await _key_page(visit, said=sentence(error.code), detail=error.detail), status=UNPROCESSABLE)
    if done is None:
        raise FormProblemError("Nothing waits for this key any more. Nothing was done.")
    return await _key_page(visit, done=_told(done))


def _action(visit: Visit) -> PauseKey | ResumeKey | SkipKey:
    """Raises FormProblemError."""
    place = (visit.path["context"], visit.path["instance"], why_of(visit), visit.path["subscriber"])
    is_even_if_old, request = bool(visit.form.get("old")), visit.message_id
    match visit.form.get("step", ""):
        case "pause":
            return PauseKey(*place, request_id=request)
        case "skip":
            first = visit.form.get("first_message", "")
            if not first:
                raise FormProblemError("The form does not say which message is to be given up. Nothing was done.")
            return SkipKey(*place, first_message=first, is_even_if_old=is_even_if_old, request_id=request)
        case _:
            return ResumeKey(*place, is_even_if_old=is_even_if_old, request_id=request)


def _told(done: KeyActed) -> str:
    if done.skipped:
        return f"The message {done.skipped} is given up. What waited behind it is handled now, in order."
    if done.state == "paused":
        return "Paused: its messages wait, in order, until it is resumed."
    return "Resumed: what waited is handled now, in order."


async def _key_page(visit: Visit, *, said: str = "", detail: str = "", done: str = "") -> Page:
    context, subscriber, instance = (visit.path[name] for name in ("context", "subscriber", "instance"))
    found: KeyPage = await visit.daemon.ask(ListKeys(context, subscriber, instance, limit=1))
    line: KeyLine | None = found.keys[0] if found.keys else None
    values = {
        "context": context,
        "subscriber": subscriber,
        "instance": instance,
        "line": line,
        "said": said,
        "detail": detail,
        "done": done,
    }
    return Page("console/key.html", values)
