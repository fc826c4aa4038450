"""Answers what is asked of the runtime itself."""

from __future__ import annotations

from datetime import UTC, datetime

from spark_actors.messaging.ports import Asker, DeskHandlers
from spark_actors.operations.messages import WhoAmI, WhoYouAre


async def who_am_i(question: WhoAmI, asker: Asker) -> WhoYouAre:
    """By the token alone."""
    ends = datetime.fromtimestamp(asker.good_until, UTC)
    return WhoYouAre(asker.name, asker.subject, tuple(sorted(asker.roles)), ends)


DESK: DeskHandlers = {WhoAmI: who_am_i}
