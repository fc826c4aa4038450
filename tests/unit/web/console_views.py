"""What the daemon might answer operators, with a text of a stranger wherever a stranger's text may stand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from spark_actors.kernel.messages import Query
from spark_actors.kernel.sagas import SagaState
from spark_actors.operations import messages as of
from tests.unit.web.views import NOW, PLAIN

STORY = "the-shop.story"
OPERATOR = of.WhoYouAre("operator zoe", "zoe", ("operator",), NOW)


def overview(text: str = PLAIN, **changes: Any) -> of.DeploymentOverview:
    line = of.ContextOverview(
        context="shop",
        outbox_pending=3,
        outbox_oldest_seconds=7_500,
        missed_events=1,
        dead_letters=1_234,
        tasks=5,
        parked_keys=2,
        parked_messages=9,
        parked_oldest_seconds=400_000,
        sagas_running=4,
        sagas_overdue=1,
        sagas_failed=0,
    )
    values = {
        "application": "Shop",
        "release": "1.2",
        "at": NOW,
        "is_ready": False,
        "problems": (text,),
        "contexts": (line, of.ContextOverview("ingress", *(0,) * 11)),
    }
    return of.DeploymentOverview(**{**values, **changes})


def contexts() -> of.ContextStates:
    facts = of.ContextFacts("shop", is_writing=True, may_lag=True, saga_kinds=("order",), subscribers=("views",))
    return of.ContextStates((facts,), (of.RelayLine("shop", "views", 12, 90, 1, 4),))


def nodes(text: str = PLAIN) -> of.ClusterState:
    node = of.NodeLine(
        node_id="n1",
        name="10.0.0.1",
        address="10.0.0.1",
        release="1.2",
        python="3.11",
        state="refused",
        reason=text,
        since=NOW,
        joined_at=NOW,
        silent_seconds=1,
        pid=17,
        metrics_url="",
        cpu_percent=3,
        memory_bytes=2**28,
        slots=4,
        actors=9,
    )
    place = of.PlaceLine("spark/shop/0", 2, "n1", "10.0.0.1", NOW, "")
    return of.ClusterState((node,), (place,), (of.ActorLine("spark/shop/0", "10.0.0.1", "1.2", 18, (text,)),))


def letter(text: str = PLAIN, **changes: Any) -> of.LetterLine:
    values = {
        "context": "shop",
        "letter_id": 17,
        "message_id": text,
        "name": text,
        "version": 1,
        "key": text,
        "subscriber": "views",
        "reason": text,
        "attempts": 3,
        "state": "waiting",
        "died_at": NOW,
        "occurred_at": NOW,
        "handled_at": None,
        "edited_into": "",
        "correlation_id": text,
        "causation_id": text,
        "body": '{"shop_id": "s1", "pieces": 3, "secret": "***"}',
    }
    return of.LetterLine(**{**values, **changes})


def letter_page(text: str = PLAIN) -> of.LetterPage:
    found = tuple(letter(text, letter_id=number, body="") for number in (19, 18, 17))
    return of.LetterPage(found, "further", (of.LetterBound("shop", 19, NOW),))


def groups(text: str = PLAIN) -> of.LetterGroups:
    return of.LetterGroups((of.LetterGroup("shop", text, text, "views", 2, NOW, NOW, 19),), is_whole=False)


def acted(text: str = PLAIN) -> of.LettersActed:
    return of.LettersActed(
        (
            of.LetterResult("shop", 17, text, "released", "", ""),
            of.LetterResult("shop", 18, text, "", "forgotten", text),
        ),
        "further",
        text,
    )


def keys(text: str = PLAIN, **changes: Any) -> of.KeyPage:
    values = {
        "context": "shop",
        "subscriber": "commands",
        "key": text,
        "state": "parked",
        "reason": text,
        "since": NOW,
        "by": text,
        "messages": 4,
        "first_message_id": "m1",
    }
    return of.KeyPage((of.KeyLine(**{**values, **changes}),), "further")


def saga(text: str = PLAIN) -> of.SagaLine:
    return of.SagaLine("shop", "order", text, text, SagaState.RUNNING, "shop.sold", text, NOW, NOW, NOW, NOW)


def story(text: str = PLAIN) -> of.Story:
    return of.Story((saga(text),), (of.Question(STORY, {"correlation_id": text}),))


def timeline(text: str = PLAIN) -> dict[str, Any]:
    def line(event: str, milliseconds: int) -> dict[str, Any]:
        at = NOW + timedelta(milliseconds=milliseconds)
        return {"at": at.isoformat(), "event": event, "key": text, "message_id": text, "data": {"note": text}}

    return {"lines": [line("shop.sold", 0), line("store.packed", 30), line("shop.sent", 90)]}


def tasks(text: str = PLAIN) -> of.TaskList:
    return of.TaskList((of.TaskLine("shop", text, "shop.remind", text, NOW, NOW, 2, text, text),))


def actions(text: str = PLAIN) -> of.ActionPage:
    line = of.ActionLine("shop", NOW, text, text, "retry", "views", text, text, text)
    return of.ActionPage((line,), "further")


def audit(text: str = PLAIN, **changes: Any) -> of.AuditState:
    values = {
        "is_running": True,
        "started_at": NOW,
        "ended_at": NOW,
        "is_passed": False,
        "problem": text,
        "checks": (of.CheckLine(text, False, (of.FindingLine(text, text),)), of.CheckLine("right", True, ())),
    }
    return of.AuditState(**{**values, **changes})


def for_operators(text: str = PLAIN) -> dict[type[Query], Any]:
    """An answer to every question of the console."""
    return {
        of.WhoAmI: OPERATOR,
        of.ViewDeployment: overview(text),
        of.ListContexts: contexts(),
        of.ListNodes: nodes(text),
        of.ListLetters: letter_page(text),
        of.GroupLetters: groups(text),
        of.ShowLetter: letter(text),
        of.RetryLetters: acted(text),
        of.RetryMatchingLetters: acted(text),
        of.DiscardLetters: acted(text),
        of.DiscardMatchingLetters: acted(text),
        of.EditLetter: acted(text),
        of.ListKeys: keys(text),
        **dict.fromkeys((of.PauseKey, of.ResumeKey, of.SkipKey), of.KeyActed("shop", "commands", text, "paused", "m1")),
        of.ListSagas: of.SagaPage((saga(text),), "further"),
        of.ShowStory: story(text),
        of.ListTasks: tasks(text),
        of.ListActions: actions(text),
        of.ShowAudit: audit(text),
    }
