"""Which arrivals go on to the aggregates: what the guard lets its sender send, and the door understands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from spark_actors.actors.refused import Refused, RefusedMessages
from spark_actors.ingress.port import Arrival
from spark_actors.messaging.door import Admitted, Door, RefusedError
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.identity import FORBIDDEN, WHY_REQUIRED, Guard, Principal
from spark_actors.messaging.ports import Clock


class Taken(NamedTuple):
    """A command on its way: its envelope has an id of its own for each sender, the answer the sender's."""

    arrival: Arrival
    message_id: str
    envelope: Envelope


class Admission:
    """Checks arrivals, each for itself."""

    def __init__(self, door: Door, guard: Guard, refused: RefusedMessages, clock: Clock) -> None:
        self._door = door
        self._guard = guard
        self._clock = clock
        self.refused = refused
        """Where those go that are not let in."""

    def sort(self, arrivals: Sequence[Arrival]) -> tuple[list[Taken], list[Refused]]:
        """What goes on and what does not, both in order. Whatever goes wrong is of one arrival alone."""
        good: list[Taken] = []
        refused: list[Refused] = []
        now = self._clock()
        for arrival in arrivals:
            sender: Principal | None = None
            try:
                sender = self._guard.sender(arrival.subject, arrival.authorization, arrival.stored_at)
                admitted = self._admitted(arrival, now)
                good.append(Taken(arrival, admitted.envelope.message_id, self._guard.command(sender, admitted)))
            except RefusedError as error:
                is_kept = sender is not None and sender.is_trusted and error.code not in (FORBIDDEN, WHY_REQUIRED)
                refused.append(Refused(arrival, error, is_kept))
            except Exception as error:  # noqa: BLE001 - a bug; the message is kept whoever sent it, since it may be good
                refused.append(Refused(arrival, self.refused.internal(error, arrival), True))
        return good, refused

    def _admitted(self, arrival: Arrival, now: datetime) -> Admitted:
        """Raises RefusedError."""
        if arrival.oversize:
            limit = self._door.max_body_bytes
            raise RefusedError("oversized", f"body of {arrival.oversize}: expected at most {limit} bytes")
        return self._door.command(arrival.subject, arrival.body, now, arrival.headers)
