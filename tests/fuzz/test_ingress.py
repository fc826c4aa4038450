"""The Ingress class under hostile messages: each is told and kept, and good ones in between pass in their order."""

from __future__ import annotations

import asyncio
import time

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
        mixed.append(arrived(message.subject, message.body, f"bad-{number}"))
        if number % GOOD_EVERY == 0:
            mixed.append(an_arrival(deposit(deposit_id=f"good-{number}"), f"good-{number}"))
    return mixed


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


def test_a_good_message_waits_for_those_before_it_and_no_longer() -> None:
    """A batch of messages of 64 kB each, of the kind that is dearest to check, in front of one that is good."""
    dear = b'{"x":[' + b"{}," * 21_000 + b"1]}"
    hostile = [arrived("spark.commands.accounting.deposit", dear, f"bad-{n}") for n in range(10)]
    scene = Scene(*hostile, an_arrival(deposit(), "good"))
    began = time.process_time()
    asyncio.run(played(scene, "good"))
    assert time.process_time() - began < 10 * 0.2
