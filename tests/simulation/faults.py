"""What goes wrong in a run, and when: all of it is drawn from the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from spark_actors.messaging.crash_points import CrashPoint

POINTS = (
    "turn.load",
    "turn.commit",
    "outbox.pending",
    "outbox.settle",
    "sagas.merge",
    "tasks.add",
    "tasks.put_off",
    "tasks.remove",
    "letters.bury",
    "projection.apply",
    "broker.pull",
    "broker.reply",
    "broker.acknowledge",
    "node.pay",
    "node.create_invoice",
    "call.take_turn",
    "call.take_events",
    "children.start",
    "children.begin",
    "cluster.seat",
    "ray.nodes",
)
"""Where a process meets the world outside. At each it may be killed or refused, before the call or after it; beside
these there are the code's own crash points."""


@dataclass(frozen=True)
class Profile:
    """How hard a run is on the system. Probabilities are for each time that a point is passed."""

    crash: float
    error: float
    favourites: tuple[str, ...]
    """Points, such as `turn.commit.after`, at which this run is especially likely to go wrong."""
    refusal: float
    """For each event and subscriber: it is refused a few times before it is taken, or until somebody mends the bug."""
    redelivery: float
    """For each message: the broker delivers it twice, late, or forgets its acknowledgement."""
    blows: tuple[int, ...]
    """How likely each kind of blow is: a kill, a double, a stop, an outage of store or broker, the end of all."""
    chaos_seconds: float
    """Mean time between two blows: a killed or stopped process, an outage. Zero: none."""
    slowness: float
    """Mean seconds that a call takes."""
    zombie: float
    """Share of the killed processes that are only out of sight, and go on."""
    poll_seconds: float
    loses_hints: bool
    shifts: tuple[int, ...]
    """How likely each thing that becomes of a node is: it joins, is to leave, loses power, is cut off, is frozen."""
    shift_seconds: float
    """Mean time between two of these. Zero: there is one node, and it stays."""
    tells: bool
    """Whether nodes send heartbeats of their own."""
    change_seconds: float
    """Mean time between two changes of the number of slots. Zero: none."""

    @property
    def polls(self) -> bool:
        return self.poll_seconds < POLL_OFF_SECONDS


POLL_OFF_SECONDS = 1e6
"""As good as never: whatever waits for a poll waits for ever."""


def drawn_profile(random: Random) -> Profile:
    """From a fair day to the worst one; which faults come together differs, since some hide what others show."""
    temper = random.choice((0.0, 0.3, 1.0, 1.0))
    is_poll_off = random.random() < 0.25
    names = [*CrashPoint, *(f"{point}.{side}" for point in POINTS for side in ("before", "after"))]
    return Profile(
        crash=temper * random.choice((0.0, 0.001, 0.004)),
        error=temper * random.choice((0.0, 0.005, 0.02)),
        favourites=tuple(random.sample(names, random.choice((1, 2, 3)))) if temper else (),
        refusal=temper * random.choice((0.0, 0.0, 0.1)),
        redelivery=temper * random.choice((0.0, 0.05, 0.3)),
        blows=tuple(random.choices((0, 1, 4), k=5)) + (random.choice((0, 1)),),
        chaos_seconds=random.choice((0.7, 1.5, 4.0)) / temper if temper else 0.0,
        slowness=random.choice((0.0005, 0.005, 0.03)),
        zombie=random.choice((0.0, 0.5)),
        poll_seconds=POLL_OFF_SECONDS if is_poll_off else random.choice((1.0, 2.0)),
        loses_hints=not is_poll_off and random.random() < 0.5,
        shifts=(4, *random.choices((0, 1, 4), k=4)),
        shift_seconds=random.choice((0.0, 1.0, 3.0, 8.0)),
        tells=random.random() < 0.5,
        change_seconds=random.choice((0.0, 1.0, 2.0, 5.0)),
    )


FAVOURITE = 0.08
"""How likely a favourite point goes wrong each time; half of the times it is a crash."""


class Faults:
    """The one source of chance of a run. Switched off, nothing goes wrong any more and calls are fast."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.profile = drawn_profile(random)
        self.is_on = True

    def happens(self, probability: float) -> bool:
        return self.is_on and probability > 0 and self.random.random() < probability

    def strikes(self, point: str) -> str:
        """What goes wrong at a point: `crash`, `error` or nothing."""
        if not self.is_on:
            return ""
        draw = self.random.random()
        extra = FAVOURITE if point in self.profile.favourites else 0.0
        if draw < self.profile.crash + extra / 2:
            return "crash"
        return "error" if draw > 1 - self.profile.error - extra / 2 else ""

    def delay(self) -> float:
        """Seconds that a call takes; now and then one takes fifty times as long."""
        mean = self.profile.slowness if self.is_on else 0.0005
        draw = self.random.expovariate(1 / mean)
        return draw * 50 if self.is_on and self.random.random() < 0.01 else draw

    def pick(self, items: Sequence[str]) -> str:
        return self.random.choice(items)
