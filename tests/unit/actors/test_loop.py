"""The shape of all background work: a step again and again, at once when woken, ever more slowly when it fails."""

from __future__ import annotations

import asyncio

from spark_actors.actors.loop import Loop
from spark_actors.actors.tuning import LOOP_BACK_OFF


def test_a_loop_outlives_a_step_that_raises() -> None:
    async def play() -> list[int]:
        rounds: list[int] = []

        async def step() -> float:
            rounds.append(len(rounds))
            if len(rounds) == 1:
                raise OSError("away")
            return 60

        loop = Loop("a loop", step)
        loop.start()
        while not loop.problem:
            await asyncio.sleep(0)
        loop.wake()
        while loop.problem:
            await asyncio.sleep(0)
        await loop.stop()
        return rounds

    assert asyncio.run(play()) == [0, 1]


def test_a_loop_that_is_woken_does_the_next_round_at_once() -> None:
    async def play() -> int:
        rounds = 0

        async def step() -> float:
            nonlocal rounds
            rounds += 1
            return 3600

        loop = Loop("a loop", step)
        loop.start()
        while rounds < 3:
            loop.wake()
            await asyncio.sleep(0)
        await loop.stop()
        return rounds

    assert asyncio.run(play()) >= 3


def test_a_loop_that_fails_is_not_hurried_by_those_who_wake_it() -> None:
    async def play() -> tuple[int, float]:
        rounds: list[float] = []
        clock = asyncio.get_running_loop().time

        async def step() -> float:
            rounds.append(clock())
            if len(rounds) < 4:
                raise OSError("away")
            return 3600

        loop = Loop("a loop", step)
        loop.start()
        while len(rounds) < 4:
            loop.wake()
            await asyncio.sleep(0)
        await loop.stop()
        return len(rounds), rounds[3] - rounds[0]

    rounds, seconds = asyncio.run(play())
    assert rounds == 4
    assert seconds >= sum(LOOP_BACK_OFF.seconds_after(attempts) for attempts in (1, 2, 3))


def test_a_loop_that_pauses_after_a_failure_ends_at_once_when_it_is_stopped() -> None:
    async def play() -> float:
        async def step() -> float:
            raise OSError("away")

        loop = Loop("a loop", step)
        loop.start()
        clock = asyncio.get_running_loop().time
        while not loop.problem:
            await asyncio.sleep(0)
        stopped = clock()
        await loop.stop()
        return clock() - stopped

    assert asyncio.run(play()) < LOOP_BACK_OFF.first_seconds / 2
