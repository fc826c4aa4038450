"""What an AggregateActor tells of its turns: metrics, and log lines where somebody has to look."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from spark_actors.actors.attempts import Ended, retry_reason
from spark_actors.actors.turn import LOCKED, CommandFailed
from spark_actors.kernel.decisions import ID_REUSED, Outcome
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import Telemetry
from spark_actors.messaging.telemetry import CommandsRefused, MessagesBuried, TurnRetried, TurnTaken

log = structlog.get_logger(__name__)


class TurnReports:
    """Tells; decides nothing."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def taken(
        self, context: str, commands: Sequence[Envelope], ended: Ended, answers: Sequence[Outcome], started: float
    ) -> None:
        """What was handled of *commands*, and how many of *answers* repeated what was known, or refused an id.

        What somebody else's lock has held up comes again, and is told then. *started*: of the monotonic clock.
        """
        settled = [answer for answer in answers if answer is not LOCKED]
        new = [
            command
            for command in commands
            if command.message_id not in ended.known and ended.outcomes[command.message_id] is not LOCKED
        ]
        counts = Counter((command.name, ended.outcomes[command.message_id].verdict) for command in new)
        reused = sum(answer is ID_REUSED for answer in settled)
        lasted = timedelta(seconds=time.monotonic() - started)
        self._telemetry(TurnTaken(context, counts, len(settled) - len(new) - reused, lasted))
        if reused:
            self._telemetry(CommandsRefused(ID_REUSED.reason, reused))

    def retried(self, context: str, error: Exception) -> None:
        """A turn could not be committed, for *error*, and is attempted again in some way."""
        reason = retry_reason(error)
        self._telemetry(TurnRetried(context, reason))
        log.debug("turn_retried", context=context, reason=reason, detail=str(error))

    def failed(self, context: str, failures: Sequence[CommandFailed]) -> None:
        """These wait as dead letters, and their keys are parked."""
        if failures:
            self._telemetry(MessagesBuried(context, len(failures)))
        for failed in failures:
            command = failed.command
            log.error(
                "key_parked",
                context=command.context,
                key=command.key,
                reason=failed.reason,
                message=command.name,
                message_id=command.message_id,
                correlation_id=command.correlation_id,
                exc_info=failed.error,
            )

    def released(self, context: str, commands: Sequence[Envelope], outcomes: Mapping[str, Outcome]) -> None:
        """These had waited for a key that was released, and were taken up."""
        for command in commands:
            log.info(
                "parked_command_taken_up",
                context=context,
                key=command.key,
                verdict=outcomes[command.message_id].verdict.value,
                message_id=command.message_id,
                correlation_id=command.correlation_id,
            )
