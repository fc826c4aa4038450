"""The Ingress class under hostile messages: each is told and kept, and good ones in between pass in their order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from msgspec import structs

from spark_actors.ingress.port import Arrival
from tests.fuzz.checks import run_many
from tests.fuzz.hostile import Hostile, big, messages
from tests.unit.actors.test_ingress import Scene, an_arrival, arrived
from tests.unit.domain.builders import deposit

HOSTILE, BIG, GOOD_EVERY = 400, 20, 10


def arrivals(hostile: list[Hostile]) -> list[Arrival]:
    """The hostile ones, and after every few a good one."""
    mixed = []
    for number, message in enumerate(hostile):
        came = arrived(message.subject, message.body, f"bad-{number}")
        mixed.append(structs.replace(came, headers=dict(message.headers)))
        if number % GOOD_EVERY == 0:
            mixed.append(an_arrival(deposit(deposit_id=f"good-{number}"), f"good-{number}"))
    return mixed


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """How many Python functions are called meanwhile: work, whatever the machine's speed."""
    calls = [0]

    def count(frame: FrameType, event: str, arg: object) -> None:
        calls[0] += event == "call"

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def played(scene: Scene, last: str) -> None:
    scene.hosts.gate.set()
    await scene.ingress.start()
    await scene.until(f"acknowledged {last}")
    await scene.ingress.stop()


def test_hostile_messages_are_told_and_kept_and_good_ones_pass_in_order() -> None:
    hostile: list[Hostile] = []
    run_many(messages, hostile.append, HOSTILE)
    run_many(big(), hostile.append, BIG)
    mixed = arrivals(hostile)
    scene = Scene(*mixed)
    asyncio.run(played(scene, mixed[-1].receipt))
    history = scene.broker.history
    assert {f"acknowledged {arrival.receipt}" for arrival in mixed} <= set(history)
    committed = [entry for entry in history if entry.startswith("committed good-")]
    assert committed == [f"committed {arrival.receipt}" for arrival in mixed if arrival.receipt.startswith("good-")]
    outcomes = [scene.broker.replies[arrival.reply_to]["outcome"] for arrival in mixed]
    assert set(outcomes) == {"done", "failed"}
    refused = {arrival.body for arrival in mixed if scene.broker.replies[arrival.reply_to]["outcome"] == "failed"}
    letters = asyncio.run(scene.letters.newest(10_000))
    assert len({letter.body for letter in letters}) > len(refused) // 2
    assert all(letter.reason and len(letter.body) <= 16_384 for letter in letters)


def test_a_good_message_waits_while_those_before_it_are_looked_through_once() -> None:
    """A batch of messages of 39 kB each, of the kind that is dearest to check, in front of one that is good."""
    objects = 13_000
    dear = b'{"x":[' + b"{}," * objects + b"1]}"
    hostile = [arrived("spark.commands.accounting.deposit", dear, f"bad-{n}") for n in range(10)]
    scene = Scene(*hostile, an_arrival(deposit(), "good"))
    with counted_calls() as calls:
        asyncio.run(played(scene, "good"))
    assert objects <= calls[0] / len(hostile) < 1.5 * objects
