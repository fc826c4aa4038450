"""Everything that is known about one id: whatever the daemon can be asked about it, on one page."""

from __future__ import annotations

import asyncio

from spark_actors.operations.messages import (
    ListActions,
    ListKeys,
    ListLetters,
    ListSagas,
    ListTasks,
)
from spark_actors.web.console.asking import FormProblemError, careful
from spark_actors.web.pages import Page, Visit

LINES = 30
"""Of each kind."""
ACTIONS_SEARCHED = 200


@careful
async def search(visit: Visit) -> Page:
    """Letters, keys, sagas, tasks and actions that have to do with an id."""
    wanted = visit.query.get("q", "").strip()
    if not wanted:
        raise FormProblemError("Say which id: that of an aggregate or of a saga.")
    answers = await asyncio.gather(
        visit.daemon.ask(ListKeys(instance=wanted, limit=LINES)),
        visit.daemon.ask(ListLetters(state="", instance=wanted, limit=LINES)),
        visit.daemon.ask(ListSagas(saga_id=wanted, limit=LINES)),
        visit.daemon.ask(ListTasks(instance=wanted, limit=LINES)),
        visit.daemon.ask(ListActions(limit=ACTIONS_SEARCHED)),
    )
    keys, letters, sagas, tasks, done = answers
    values = {
        "wanted": wanted,
        "keys": keys.keys,
        "letters": letters.letters,
        "sagas": sagas.sagas,
        "tasks": tasks.tasks,
        "actions": [each for each in done.actions if wanted in (each.key, each.message_id)],
        "searched": ACTIONS_SEARCHED,
    }
    return Page("console/search.html", values)
