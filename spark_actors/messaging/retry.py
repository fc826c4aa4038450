"""When a message that its subscriber could not take is offered again, and when it is given up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from spark_actors.kernel.back_off import BackOff
from spark_actors.messaging.envelope import Receipt


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and with which back-off, a subscriber is offered a message that it could not take."""

    max_attempts: int
    back_off: BackOff


@dataclass
class Retry:
    """How often one message was offered in vain (what follows it in its key waits meanwhile), and when it is again."""

    due_at: datetime
    attempts: int = 0

    def refused(self, receipt: Receipt, policy: RetryPolicy, now: datetime, draw: float) -> bool:
        """It was not taken (any *receipt* but TAKEN); whether it is to be given up.

        LATER says that only others hold it up: it counts no attempt, and its delay does not grow.
        """
        if receipt is Receipt.LATER:
            self.due_at = now + timedelta(seconds=policy.back_off.seconds_after(1, draw))
            return False
        self.attempts += 1
        self.due_at = now + timedelta(seconds=policy.back_off.seconds_after(self.attempts, draw))
        return receipt is Receipt.POISON or self.attempts >= policy.max_attempts
