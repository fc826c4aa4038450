"""Dead letters: by cause, in lists, and one with its content; and what is done about one, several, or all that match.

*All* are those that matched and were dead when the page was made: it says how far it looked, and what has died since
stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from spark_actors.operations.messages import (
    DiscardLetters,
    DiscardMatchingLetters,
    EditLetter,
    GroupLetters,
    LetterBound,
    LetterGroups,
    LetterLine,
    LetterPage,
    LetterResult,
    LettersActed,
    ListLetters,
    RetryLetters,
    RetryMatchingLetters,
    ShowLetter,
)
from spark_actors.web.console.asking import (
    CONSOLE,
    Fields,
    FormProblemError,
    careful,
    chosen,
    list_path,
    moment_of,
    number_of,
    sentence,
    why_of,
)
from spark_actors.web.pages import NotAllowedError, NothingThereError, Page, Visit

LETTERS = f"{CONSOLE}/letters"
WAITING = "waiting"
STATES = (WAITING, "retried", "edited", "discarded")
ANY_STATE = "all"
"""In an address: of whatever state; nothing at all means those that wait."""
A_PAGE = 30
"""Letters on one page. With all else in its form fewer than the fields that a form may have."""
MOST_TO_EDIT = 16_000
"""Characters of a content that is corrected in a page: a form takes no more when each of them is escaped."""
MATCHING = ("cause", "reason", "name", "instance", "subscriber")
BY = ("context", "state", *MATCHING, "since")
TICKED = "letter."
"""Before the number of a letter: the name of its box."""
UNPROCESSABLE = 422


@careful
async def groups(visit: Visit) -> Page:
    """What waits, by cause."""
    found: LetterGroups = await visit.daemon.ask(GroupLetters())
    lines = [
        (each, list_path(LETTERS, context=each.context, cause=each.cause, name=each.name, subscriber=each.subscriber))
        for each in found.groups
    ]
    return Page("console/groups.html", {"groups": lines, "is_whole": found.is_whole})


@careful
async def letters(visit: Visit) -> Page:
    """Those that a filter in the address lets through."""
    said = chosen(visit.query, *BY)
    state = said.get("state", WAITING)
    after = visit.query.get("after", "")
    question = ListLetters(
        context=said.get("context", ""),
        state="" if state == ANY_STATE else state,
        **chosen(said, *MATCHING),
        since=moment_of(said, "since"),
        limit=A_PAGE,
        after=after,
    )
    found: LetterPage = await visit.daemon.ask(question)
    more = list_path(LETTERS, **said, after=found.next) if found.next else ""
    values = {
        "said": said,
        "states": [*((each, each) for each in STATES), (ANY_STATE, "all")],
        "letters": found.letters,
        "more": more,
        "bound": _bound(said, state, found),
        "is_whole": not more and not after,
    }
    return Page("console/letters.html", values)


def _bound(said: Fields, state: str, found: LetterPage) -> LetterBound | None:
    """How far the page has looked, if something can be done about what it shows: all of it waits in one context."""
    bounds = [each for each in found.bounds if each.context == said.get("context")]
    return bounds[0] if bounds and state == WAITING and found.letters else None


@careful
async def act_on_letters(visit: Visit) -> Page:
    """Retry or discard those that are ticked, or all that matched."""
    step = visit.form.get("step", "")
    action = _on_all(visit, step) if step.endswith("-all") else _on_ticked(visit, step)
    done: LettersActed | None = await visit.daemon.ask(action)
    return _acted_page(visit, done, list_path(LETTERS, **chosen(visit.form, *BY)))


def _on_ticked(visit: Visit, step: str) -> RetryLetters | DiscardLetters:
    """Raises FormProblemError."""
    numbers = tuple(
        number_of({name: name.removeprefix(TICKED)}, name) for name in visit.form if name.startswith(TICKED)
    )
    if not numbers:
        raise FormProblemError("Tick the letters that you mean. Nothing was done.")
    context, why = visit.form.get("context", ""), why_of(visit)
    if step == "discard":
        return DiscardLetters(context, numbers, why, request_id=visit.message_id)
    return RetryLetters(context, numbers, why, is_even_if_old=_even_if_old(visit), request_id=visit.message_id)


def _on_all(visit: Visit, step: str) -> RetryMatchingLetters | DiscardMatchingLetters:
    """Raises FormProblemError."""
    until = moment_of(visit.form, "died_until")
    if until is None:
        raise FormProblemError("The form does not say how far its page looked. Load the page again. Nothing was done.")
    common: dict[str, Any] = {
        "context": visit.form.get("context", ""),
        "up_to": number_of(visit.form, "up_to"),
        "died_until": until,
        "why": why_of(visit),
        **chosen(visit.form, *MATCHING),
        "since": moment_of(visit.form, "since"),
        "request_id": visit.message_id,
        "after": visit.form.get("after", ""),
    }
    if step == "discard-all":
        return DiscardMatchingLetters(**common)
    return RetryMatchingLetters(**common, is_even_if_old=_even_if_old(visit))


def _even_if_old(visit: Visit) -> bool:
    return bool(visit.form.get("old"))


def _acted_page(visit: Visit, done: LettersActed | None, back: str) -> Page:
    """What became of each. Raises FormProblemError if one is not there any more."""
    if done is None:
        raise FormProblemError("A letter that was named is not there any more. Nothing was done.")
    results = [(each, _told(each)) for each in done.results]
    kept = {name: value for name, value in visit.form.items() if name != "after"}
    values = {
        "results": results,
        "succeeded": sum(1 for _, told in results if told.is_done),
        "stopped": done.stopped,
        "next": done.next,
        "kept": {name: value for name, value in kept.items() if not name.startswith((TICKED, "message_id"))},
        "back": back,
    }
    return Page("console/acted.html", values)


class _Told(NamedTuple):
    """What became of a letter, in words."""

    is_done: bool
    words: str


def _told(of_one: LetterResult) -> _Told:
    if of_one.code:
        return _Told(False, sentence(of_one.code))
    first, _, rest = of_one.result.partition(" ")
    match first:
        case "released":
            return _Told(True, "Released: it is handled now, as the first of its key.")
        case "done" if rest == "before":
            return _Told(True, "It was done before, when this form was sent.")
        case "done":
            return _Told(True, "Sent again, and done.")
        case "handled":
            return _Told(True, "It had been handled before: there was nothing to do.")
        case "discarded":
            return _Told(True, "Given up for good. What waited behind it goes on.")
        case "edited":
            return _Told(True, f"A corrected message takes its place: {rest.removeprefix('into ')}.")
        case "parked":
            return _Told(True, "Sent again: it waits behind others of its key.")
        case _:
            return _Told(False, f"Sent again, and {of_one.result}.")


# --- one ---


@dataclass(frozen=True)
class _Content:
    """What of a letter is corrected: all of its content, or the data of the event that the door refused."""

    whole: dict[str, Any] | None
    """None: it is no JSON object, and only a whole one can take its place."""
    is_event: bool

    @property
    def fields(self) -> dict[str, Any]:
        if self.whole is None:
            return {}
        data = self.whole.get("data")
        return data if self.is_event and isinstance(data, dict) else self.whole

    def replaced(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The whole with other fields."""
        is_inside = self.is_event and self.whole is not None and isinstance(self.whole.get("data"), dict)
        return {**(self.whole or {}), "data": fields} if is_inside else fields


@careful
async def letter(visit: Visit) -> Page:
    """One with its content."""
    return _letter_page(await _asked(visit), _text_to_edit)


@careful
async def act_on_letter(visit: Visit) -> Page:
    """Retry, edit or discard it. What cannot be sent comes back with what is wrong with it."""
    shown = await _asked(visit)
    try:
        done: LettersActed | None = await visit.daemon.ask(_on_one(visit, shown))
        result = done.results[0] if done and done.results else None
        if result is None or result.code not in ("usage", "refused", "forgotten"):
            return _acted_page(visit, done, _path(shown))
        said, detail = sentence(result.code), result.problem
    except FormProblemError as error:
        said, detail = str(error), ""
    except NotAllowedError as error:
        if error.code not in ("malformed_data", "refused"):
            raise
        said, detail = sentence(error.code), error.detail
    page = _letter_page(await _asked(visit), lambda _: visit.form.get("content") or _text_to_edit(shown))
    return replace(page, values={**page.values, "said": said, "detail": detail}, status=UNPROCESSABLE)


async def _asked(visit: Visit) -> LetterLine:
    """Raises NothingThereError."""
    number = visit.path["letter_id"]
    if number.isascii() and number.isdigit() and len(number) < 19:
        found: LetterLine | None = await visit.daemon.ask(ShowLetter(visit.path["context"], int(number)))
        if found is not None:
            return found
    raise NothingThereError("such dead letter")


def _path(shown: LetterLine) -> str:
    return f"{LETTERS}/{shown.context}/{shown.letter_id}"


def _letter_page(shown: LetterLine, text_to_edit: Any) -> Page:
    content = _content(shown)
    whole = json.dumps(content.whole, indent=2, ensure_ascii=False) if content.whole is not None else shown.body
    values = {
        "letter": shown,
        "whole": whole,
        "text": text_to_edit(shown),
        "is_event": content.fields is not content.whole and content.whole is not None,
        "may_be_edited": len(shown.body) <= MOST_TO_EDIT,
        "can_be_acted_on": shown.state == WAITING,
        "said": "",
        "detail": "",
    }
    return Page("console/letter.html", values)


def _content(shown: LetterLine) -> _Content:
    try:
        whole = json.loads(shown.body)
    except ValueError:
        whole = None
    return _Content(whole if isinstance(whole, dict) else None, is_event=shown.context == "ingress")


def _text_to_edit(shown: LetterLine) -> str:
    content = _content(shown)
    return shown.body if content.whole is None else json.dumps(content.fields, indent=2, ensure_ascii=False)


def _on_one(visit: Visit, shown: LetterLine) -> RetryLetters | DiscardLetters | EditLetter:
    """Raises FormProblemError."""
    why, request = why_of(visit), visit.message_id
    match visit.form.get("step", ""):
        case "discard":
            return DiscardLetters(shown.context, (shown.letter_id,), why, request_id=request)
        case "edit":
            changed = _changed(_content(shown), visit.form.get("content", ""))
            return EditLetter(shown.context, shown.letter_id, why, **changed, request_id=request)
        case _:
            old = _even_if_old(visit)
            return RetryLetters(shown.context, (shown.letter_id,), why, is_even_if_old=old, request_id=request)


def _changed(content: _Content, text: str) -> Mapping[str, Any]:
    """What of *text* is another than it was: only the changed fields, so that what is not shown stays as it is; all of
    it where a field was taken out. Raises FormProblemError."""
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise FormProblemError(f"The content is no JSON: {error}. Nothing was done.") from None
    if not isinstance(fields, dict):
        raise FormProblemError("The content must be one JSON object, in braces. Nothing was done.")
    if content.whole is None or content.fields.keys() - fields.keys():
        return {"content": content.replaced(fields)}
    nothing = object()
    changes = {name: value for name, value in fields.items() if value != content.fields.get(name, nothing)}
    if not changes:
        raise FormProblemError("Nothing was changed. To have it handled as it is, retry it.")
    return {"changes": changes}
