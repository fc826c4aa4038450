"""Answers to queries, and to commands as far as the broker takes them."""

from __future__ import annotations

from types import MappingProxyType

import structlog

from spark_actors.actors import tuning
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.messaging.answers import AnswerBody, Cut, error_body, view_answer
from spark_actors.messaging.bursts import BurstLog
from spark_actors.messaging.door import Door, RefusedError
from spark_actors.messaging.identity import Guard
from spark_actors.messaging.ports import Asker, Clock, DeskHandlers, QueryHandlers, Telemetry
from spark_actors.messaging.telemetry import AnswerCut

log = structlog.get_logger(__name__)


class CutAnswers:
    """Counts answers that the broker would not take in one piece, and logs them at a bounded rate."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.log = BurstLog("answers_cut", log.warning)

    def seen(self, answer: AnswerBody, subject: str, room: int) -> bytes:
        """The body of *answer*, to what came on *subject*."""
        if answer.cut is not Cut.NOTHING:
            self._telemetry(AnswerCut(answer.cut))
            self.log.note(answer.cut, subject=subject[: tuning.LOGGED_CHARACTERS], room_bytes=room)
        return answer.body


class Queries:
    """Answers queries, each by whom the application names for it, and what is asked of the runtime by its desk."""

    def __init__(
        self,
        door: Door,
        guard: Guard,
        answers: QueryHandlers,
        clock: Clock,
        telemetry: Telemetry,
        desk: DeskHandlers = MappingProxyType({}),
    ) -> None:
        self._door = door
        self._desk = desk
        self._guard = guard
        self._answers = answers
        self.cut_answers = CutAnswers(telemetry)
        self._unavailable = BurstLog("views_unavailable", log.warning)
        self._failed = BurstLog("views_failed", log.error)
        self._clock = clock

    @property
    def logs(self) -> tuple[BurstLog, ...]:
        """Whoever owns this has to settle and close them."""
        return self._unavailable, self._failed, self.cut_answers.log

    async def answer(self, subject: str, body: bytes, authorization: str, room: int) -> bytes:
        """The view as JSON of at most *room* bytes, or `{"error": {"code", "detail"}}`.

        Never raises for what a caller sent.
        """
        try:
            result = await self._result(subject, body, authorization)
            if result is not None:
                return self.cut_answers.seen(view_answer(result, room), subject, room)
        except RefusedError as error:
            return error_body(error)
        except StorageUnavailableError as error:
            self._unavailable.note("away", subject=subject, error=str(error))
            detail = "the read models cannot be reached just now; ask again"
            return error_body(RefusedError("unavailable", detail))
        except Exception as error:  # noqa: BLE001 - a bug in a view must not leave its caller waiting
            self._failed.note(type(error).__name__, subject=subject, exc_info=error)
            return error_body(RefusedError("failed", "the view could not be made; the daemon's log says why"))
        detail = f"{subject}: there is no such thing (yet: views lag behind a little)"
        return error_body(RefusedError("not_found", detail))

    async def _result(self, subject: str, body: bytes, authorization: str) -> object | None:
        """What the sender may know; None if there is no such thing, or it is somebody else's."""
        sender = self._guard.sender(subject, authorization, self._clock().timestamp())
        query = self._door.query(subject, body)
        self._guard.query(sender, query)
        if at_desk := self._desk.get(type(query)):
            return await at_desk(
                query, Asker(sender.name, sender.subject, sender.roles, sender.good_until, authorization)
            )
        result = await self._answers[type(query)](query)
        return result if result is not None and self._guard.may_see(sender, query, result) else None
