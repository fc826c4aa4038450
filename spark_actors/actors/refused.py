"""What is refused at the door: kept as a dead letter if a service or an operator sent it, and told at a bounded rate.

The rest is answered, counted and logged, but not kept: nobody could do anything with it, and strangers must not fill
the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from hashlib import sha256
from itertools import count
from typing import NamedTuple

import structlog

from spark_actors.actors import tuning
from spark_actors.ingress.port import Arrival
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.ids import derived_id
from spark_actors.messaging.bursts import BurstLog
from spark_actors.messaging.cloudevents import whole_event
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.ports import KEPT_IN_PART, Clock, DeadLetter, DeadLetters, Telemetry
from spark_actors.messaging.scrubbing import Scrubber, is_secret_name
from spark_actors.messaging.telemetry import CommandsRefused, MessagesBuried

log = structlog.get_logger(__name__)

INTERNAL = "internal"
"""Why a message was refused that met a bug."""
REFUSED = "ingress"
"""Who could not take what was refused at the door."""


class Refused(NamedTuple):
    """An arrival that does not go on."""

    arrival: Arrival
    error: RefusedError
    is_kept: bool


class RefusedMessages:
    """Keeps and tells what was refused, without the passwords that somebody has sent by mistake."""

    def __init__(self, dead_letters: DeadLetters, scrubber: Scrubber, clock: Clock, telemetry: Telemetry) -> None:
        self._dead_letters = dead_letters
        self._scrubber = scrubber
        self._clock = clock
        self._telemetry = telemetry
        self._refusals = BurstLog("senders_refused", log.warning)
        self._failures = BurstLog("arrivals_failed", log.error)

    @property
    def logs(self) -> tuple[BurstLog, ...]:
        """Whoever owns this has to settle and close them."""
        return self._refusals, self._failures

    def internal(self, error: Exception, arrival: Arrival) -> RefusedError:
        """A bug that this arrival has met: the log tells all, its sender only what kind it is."""
        kind = type(error).__name__
        self._failures.note(kind, subject=arrival.subject[: tuning.LOGGED_CHARACTERS], exc_info=error)
        return RefusedError(INTERNAL, f"{kind}; the daemon's log says more")

    async def keep(self, refused: Sequence[Refused]) -> None:
        """Return once those that are to be kept are durable (retried with back-off while the store is away).

        All are counted; those that are not kept are logged at a bounded rate, the others with their letters.
        """
        await self._bury([self._letter(each.arrival, each.error) for each in refused if each.is_kept])
        for each in refused:
            self._telemetry(CommandsRefused(each.error.code))
            if not each.is_kept:
                subject = each.arrival.subject[: tuning.LOGGED_CHARACTERS]
                self._refusals.note(each.error.code, last=each.error.detail, subject=subject)

    def to_erase(self, refused: Sequence[Refused], good: Collection[Arrival]) -> list[Arrival]:
        """Those that may hold a password, which shall not stay on the broker's disk either."""
        suspects = [each.arrival for each in refused] + [
            each for each in good if self._scrubber.is_about_passwords(each.subject)
        ]
        return [each for each in suspects if self._may_hold_password(each)]

    def _may_hold_password(self, arrival: Arrival) -> bool:
        """Also when nobody can tell, because of a bug."""
        try:
            if any(map(is_secret_name, arrival.headers)):
                return True
            return self._scrubber.may_hold_password(arrival.subject, whole_event(arrival.body, arrival.headers))
        except Exception as error:  # noqa: BLE001 - its neighbours are to be acknowledged
            self.internal(error, arrival)
            return True

    async def _bury(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        for attempts in count(1):
            try:
                await self._dead_letters.bury(letters)
                break
            except StorageUnavailableError:  # nothing is acknowledged before it is durable
                await asyncio.sleep(tuning.LETTER_BACK_OFF.seconds_after(attempts))
        self._telemetry(MessagesBuried("ingress", len(letters)))
        for letter in letters[: tuning.LOGGED_REFUSALS]:
            log.warning(
                "command_buried",
                message=letter.name[: tuning.LOGGED_CHARACTERS],
                message_id=letter.message_id,
                reason=letter.reason,
                correlation_id=letter.correlation_id,
            )
        if len(letters) > tuning.LOGGED_REFUSALS:
            log.warning("more_commands_refused", count=len(letters) - tuning.LOGGED_REFUSALS)

    def _letter(self, arrival: Arrival, error: RefusedError) -> DeadLetter:
        body = self._storable(arrival)
        digest = sha256(body).hexdigest()
        whole = arrival.oversize or f"{len(arrival.body)} bytes, SHA-256 {digest}"
        is_cut = arrival.oversize or len(body) > tuning.REFUSED_KEPT_BYTES
        note = f" [the first {len(body[: tuning.REFUSED_KEPT_BYTES])}{KEPT_IN_PART}{whole}]" if is_cut else ""
        identity = (f"{arrival.stored_at}", digest, arrival.oversize)  # the same when it is delivered again
        return DeadLetter(
            message_id=error.message_id or derived_id(arrival.subject, *identity),
            name=arrival.subject,
            key="",
            subscriber=REFUSED,
            reason=str(error)[: tuning.REASON_CHARACTERS - len(note)] + note,
            attempts=1,
            body=body[: tuning.REFUSED_KEPT_BYTES],
            correlation_id="",
            causation_id="",
            died_at=self._clock(),
        )

    def _storable(self, arrival: Arrival) -> bytes:
        """What may be kept of it: nothing if nobody can tell, because of a bug."""
        try:
            return self._scrubber.storable(arrival.subject, whole_event(arrival.body, arrival.headers))
        except Exception as error:  # noqa: BLE001 - its neighbours are to be acknowledged
            self.internal(error, arrival)
            return b""
