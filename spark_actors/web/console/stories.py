"""Sagas: which run, are late or have failed, and the story of one across all contexts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from datetime import datetime
from typing import Any

from spark_actors.kernel.messages import MessageType, Query
from spark_actors.kernel.sagas import SagaState
from spark_actors.operations.messages import ListSagas, Question, SagaPage, ShowStory, Story
from spark_actors.web.console.asking import CONSOLE, careful, chosen, list_path
from spark_actors.web.pages import NotAllowedError, NothingThereError, Page, Visit

SAGAS = f"{CONSOLE}/sagas"
STORIES_AT_ONCE = 5
"""Of one id, on one page."""
STATES = (("", "all"), *((each.value, each.value) for each in SagaState))
HUES = 6
"""Colours of contexts."""
WIDTH, NARROWEST = 1_000, 6
"""Of the axis of time, and of a bar on it, in units of its picture."""


@careful
async def sagas(visit: Visit) -> Page:
    """Those that a filter in the address lets through, the newest first."""
    said = chosen(visit.query, "kind", "state", "saga_id", "overdue")
    wanted = {name: value for name, value in said.items() if name != "overdue"}
    question = ListSagas(**wanted, is_overdue="overdue" in said, after=visit.query.get("after", ""))
    found: SagaPage = await visit.daemon.ask(question)
    more = list_path(SAGAS, **said, after=found.next) if found.next else ""
    return Page("console/sagas.html", {"said": said, "states": STATES, "sagas": found.sagas, "more": more})


@careful
async def story(visit: Visit) -> Page:
    """One, with its events in order."""
    kind, saga_id = visit.path["kind"], visit.path["saga_id"]
    found: Story | None = await visit.daemon.ask(ShowStory(kind, saga_id, limit=STORIES_AT_ONCE))
    if found is None:
        raise NothingThereError("such saga")
    falls = await asyncio.gather(*(_fall(visit, each) for each in found.timelines))
    values = {"kind": kind, "saga_id": saga_id, "stories": list(zip(found.sagas, falls, strict=True))}
    is_final = all(each.state is not SagaState.RUNNING for each in found.sagas)
    return Page("console/story.html", values, is_final=is_final)


async def _fall(visit: Visit, question: Question) -> Sequence[Bar]:
    """The events of a story as the application tells them; none if it does not."""
    if not question.query:
        return ()
    try:
        answer = await visit.daemon.ask(query_of(question))
    except NotAllowedError as error:
        if error.code == "unauthenticated":
            raise
        return ()
    return waterfall(answer["lines"] if answer else ())


def query_of(question: Question) -> Query:
    """What the daemon names as to be asked next, as a query whose answer is plain values."""
    named: Any = make_dataclass("Named", question.data, bases=(Query,), frozen=True)
    named.TYPE = MessageType(question.query, 1, "query", "")
    named.RESULT = dict[str, Any]
    asked: Query = named(**question.data)
    return asked


@dataclass(frozen=True)
class Bar:
    """An event of a story, and on the axis of time how long after the one before it came."""

    at: datetime
    after_ms: int
    """Since the first event."""
    context: str
    event: str
    key: str
    data: Mapping[str, Any]
    left: int
    width: int
    """In units of the picture, which is `WIDTH` wide."""
    hue: int
    """That of its context."""


def waterfall(lines: Sequence[Mapping[str, Any]]) -> Sequence[Bar]:
    """Each event as a bar from the one before it to itself; *lines* in order, as a timeline has them."""
    moments = [datetime.fromisoformat(line["at"]) for line in lines]
    if not moments:
        return ()
    first = min(moments)
    whole = max((max(moments) - first).total_seconds(), 1e-6)
    hues: dict[str, int] = {}
    bars, before = list[Bar](), first
    for line, at in zip(lines, moments, strict=True):
        context, _, event = str(line["event"]).partition(".")
        hue = hues.setdefault(context, len(hues) % HUES)
        begin, end = sorted((before, at))
        left = min(round((begin - first).total_seconds() / whole * WIDTH), WIDTH - NARROWEST)
        width = max(round((end - begin).total_seconds() / whole * WIDTH), NARROWEST)
        after_ms = round((at - first).total_seconds() * 1_000)
        bars.append(
            Bar(
                at,
                after_ms,
                context,
                event,
                str(line["key"]),
                line.get("data", {}),
                left,
                min(width, WIDTH - left),
                hue,
            )
        )
        before = at
    return bars
