"""What the relay of one outbox does next: the decisions, without the I/O.

Each row is fanned out to the lanes of its subscribers (see `lane`) and may be settled when all of them are through with
it. The outbox is the truth: what is in memory when the process ends is read again, and handed over at least once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from spark_actors.messaging import tuning
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.lane import Lane, weight
from spark_actors.messaging.ports import ParkedKey, PendingMessage
from spark_actors.messaging.retry import RetryPolicy

Route = Callable[[Envelope], Sequence[str]]
"""The subscribers that an event must be handed to."""


class Relay:
    """Bookkeeping of one context's relay: which rows are in memory, and which subscribers are not through with them."""

    def __init__(
        self,
        route: Route,
        policy: RetryPolicy,
        *,
        subscribers: Collection[str],
        in_flight: int,
        draw: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """*subscribers*: all whom *route* may name. *in_flight*: how many rows one may have in hand while it keeps up.

        They are known from the start: who has had nothing yet has the least to do.
        """
        self._route = route
        self._in_flight = in_flight
        self.lanes: Mapping[str, Lane] = {
            name: Lane(name, policy, in_flight=in_flight, through=self._count_down, draw=draw) for name in subscribers
        }
        self._waiting_for: dict[int, int] = {}
        """Position -> how many subscribers are not through with it. Zero: to be settled."""
        self._weights: dict[int, int] = {}
        """Position -> weight, of those that weigh more than 1."""
        self._load = 0
        self._settleable: list[int] = []

    @property
    def positions(self) -> Collection[int]:
        """Every position taken in and not settled yet."""
        return self._waiting_for.keys()

    @property
    def load(self) -> int:
        """How much is taken in and not settled yet: rows, of which a large one weighs as many (see `weight`)."""
        return self._load

    @property
    def room(self) -> int:
        """How many more rows may be taken in, so that the subscriber with the least to do has its part in hand.

        It is the least, so that a subscriber that is slow does not starve the others; those that are set aside do not
        count. HOARD_FACTOR bounds what may gather for all: this is the back-pressure on the reader.
        """
        direct = [lane.in_hand for lane in self.lanes.values() if not lane.is_set_aside]
        return min(
            self._in_flight - min(direct, default=0),
            self._in_flight * tuning.HOARD_FACTOR - self._load,
        )

    def take_in(self, rows: Sequence[PendingMessage], *, is_all: bool = False) -> None:
        """Queue rows for their subscribers; a row known already is passed over. *is_all*: the outbox has no more."""
        for row in rows:
            position = row.position
            if position in self._waiting_for:
                continue
            subscribers = self._route(row.envelope)
            self._waiting_for[position] = len(subscribers)
            heavy = weight(row)
            self._load += heavy
            if heavy > 1:
                self._weights[position] = heavy
            for subscriber in subscribers:
                self.lanes[subscriber].add(row)
            if not subscribers:
                self._settleable.append(position)
        if is_all:
            for lane in self.lanes.values():
                lane.outbox_was_read()
        if self._load > self._in_flight * tuning.FAR_BEHIND_FACTOR:
            self._set_slow_aside()

    def _set_slow_aside(self) -> None:
        """All of them: there may be no room for another event that would show who is slow besides the slowest."""
        for lane in self.lanes.values():
            if not lane.is_set_aside and lane.size > self._in_flight:
                lane.set_aside()

    def set_aside(self, subscribers: Collection[str]) -> None:
        """Events of an earlier time wait for these where they are kept: they get those first, see `Lane.set_aside`."""
        for name, lane in self.lanes.items():
            if name in subscribers:
                lane.set_aside(is_inherited=True)

    @property
    def behind(self) -> list[str]:
        """Subscribers that are set aside."""
        return [name for name, lane in self.lanes.items() if lane.is_set_aside]

    @property
    def changes(self) -> int:
        """How often a lane has parked or freed a key: what was read before such a change is out of date."""
        return sum(lane.changes for lane in self.lanes.values())

    def sync(self, keys: Sequence[ParkedKey], changes: int, now: datetime) -> bool:
        """Take in which keys are parked, for any subscriber; whether it was taken in.

        *changes* is what the attribute said when *keys* was asked for. Keys of others than the subscribers (those of
        commands) are passed over.
        """
        if changes != self.changes:
            return False
        states: dict[str, dict[str, str]] = {name: {} for name in self.lanes}
        for key in keys:
            if key.subscriber in states:
                states[key.subscriber][key.key] = key.state
        for name, lane in self.lanes.items():
            lane.sync(states[name], now)
        return True

    def to_settle(self) -> list[int]:
        """Positions that every subscriber is through with and that have not been handed out by this call before."""
        positions, self._settleable = self._settleable, []
        return positions

    def settled(self, positions: Sequence[int]) -> None:
        """These have left the outbox."""
        for position in positions:
            if self._waiting_for.pop(position, None) is not None:
                self._load -= self._weights.pop(position, 1)

    def not_settled(self, positions: Sequence[int]) -> None:
        """These could not be settled yet; `to_settle` gives them again."""
        self._settleable.extend(positions)

    def _count_down(self, position: int) -> None:
        """One subscriber less for which the outbox must hold this."""
        left = self._waiting_for[position] = self._waiting_for[position] - 1
        if left == 0:
            self._settleable.append(position)
