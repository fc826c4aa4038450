"""The Supervisor of a context: relays its outbox, watches its sagas' deadlines, keeps its tables in order."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from spark_actors.actors import tuning
from spark_actors.actors.lane_runner import LaneRunner, RelayLimits
from spark_actors.actors.loop import Loop, time_to_grow
from spark_actors.actors.parking import CommandReleases, ParkedKeys
from spark_actors.actors.ports import RelayPorts
from spark_actors.actors.watch import Watch
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.messaging.relay import Relay
from spark_actors.messaging.retry import RetryPolicy
from spark_actors.messaging.routing import Subscriptions


class OutboxRelay:
    """Hands the events of one outbox to their subscribers, at least once and in order per aggregate.

    A reader fills the lanes, each lane runs at its subscriber's speed, a settler empties the outbox. A row leaves it
    only after each subscriber has taken it, or it waits durably for its key to be released or for a subscriber that is
    far behind.
    """

    def __init__(
        self,
        context: str,
        ports: RelayPorts,
        subscriptions: Subscriptions,
        *,
        limits: RelayLimits,
        policy: RetryPolicy,
    ) -> None:
        self._outbox = ports.outbox
        self._wake_ups = ports.wake_ups
        self._limits = limits
        names = sorted(subscriptions.subscribers_of(context))
        self._relay = Relay(subscriptions.of, policy, subscribers=names, in_flight=limits.in_flight, draw=ports.draw)
        self._keys = ParkedKeys(self._relay, ports.outbox.parking)
        self._lanes = {
            name: LaneRunner(context, lane, self._keys, ports, limits=limits, has_moved=self._lane_has_moved)
            for name, lane in self._relay.lanes.items()
        }
        self._is_full = False
        """Whether the reader waits for room rather than for rows."""
        self._reader = Loop(f"read outbox {context}", self.read)
        self._settler = Loop(f"settle outbox {context}", self.settle)
        self._listener = Loop(f"listen {context}", self._listen)
        self._looker = Loop(f"parked keys {context}", self.look)
        self._keeper = Loop(f"keep missed events of {context}", self.keep_missed)

    @property
    def loops(self) -> list[Loop]:
        lanes = [lane.loop for lane in self._lanes.values()]
        return [self._reader, self._settler, self._listener, self._looker, self._keeper, *lanes]

    def start(self) -> None:
        for loop in self.loops:
            loop.start()

    async def stop(self) -> None:
        """Read no more, let the batches in hand end, settle them."""
        await self._listener.cancel()
        await self._reader.stop()
        await self._looker.stop()
        for lane in self._lanes.values():
            await lane.loop.stop()
        await self._keeper.stop()
        await self._settler.stop()
        with suppress(StorageUnavailableError):  # what is not settled now comes again after the next start
            await self.settle()

    async def read(self) -> float:
        """Take in what waits in the outbox, as far as there is room."""
        limit = min(self._limits.batch, self._relay.room)
        self._is_full = limit <= 0
        if self._is_full:
            return self._limits.poll_seconds
        rows = await self._outbox.pending(skip=self._relay.positions, limit=limit)
        # By an earlier relay, or one that still lives: what it has kept comes before what is read now.
        self._relay.set_aside(self._outbox.kept_for)
        self._relay.take_in(rows, is_all=len(rows) < limit)
        for lane in self._lanes.values():
            lane.loop.wake()
        if self._relay.behind:
            self._keeper.wake()
        self._settler.wake()
        if len(rows) == limit:
            return 0
        if rows:
            await asyncio.sleep(time_to_grow(len(rows), tuning.RELAY_GROWTH_SECONDS))
        return self._limits.poll_seconds

    async def keep_missed(self) -> float:
        """Keep what the subscribers that are set aside do not get now, so that the outbox need not hold it."""
        for subscriber in self._relay.behind:
            await self._lanes[subscriber].keep_missed()
        return self._limits.poll_seconds

    async def look(self) -> float:
        """See which keys are parked; the more there are, the more rarely."""
        keys = await self._keys.look()
        for lane in self._lanes.values():
            lane.wake_if_released()
        return max(tuning.PARKED_LOOK_SECONDS, keys / tuning.PARKED_KEYS_A_SECOND)

    async def settle(self) -> float:
        """Delete the rows that every subscriber is through with."""
        positions = self._relay.to_settle()
        if positions:
            try:
                await self._outbox.settle(positions)
            except Exception:
                self._relay.not_settled(positions)
                raise
            self._relay.settled(positions)
            if self._is_full:
                self._reader.wake()
            else:
                await asyncio.sleep(tuning.SETTLE_PACE_SECONDS)
        return self._limits.poll_seconds

    async def _listen(self) -> float:
        if await self._wake_ups.wait(timedelta(seconds=self._limits.poll_seconds)):
            self._reader.wake()
        return 0

    def _lane_has_moved(self) -> None:
        self._settler.wake()
        if self._is_full:  # there may be room now, whatever the other lanes have still in hand
            self._reader.wake()


class Supervisor:
    """Relay and watch of one context, as one actor."""

    def __init__(self, watch: Watch, relay: OutboxRelay, releases: CommandReleases) -> None:
        self._releases = releases.loop
        self._watch = watch
        self._relay = relay

    async def start(self) -> None:
        self._watch.start()
        self._relay.start()
        self._releases.start()

    async def stop(self) -> None:
        """Finish what is in hand."""
        await self._releases.stop()
        await self._relay.stop()
        await self._watch.stop()

    def problems(self) -> list[str]:
        """Why it cannot do its work just now."""
        loops = [*self._watch.loops, *self._relay.loops, self._releases]
        return [loop.problem for loop in loops if loop.problem]
