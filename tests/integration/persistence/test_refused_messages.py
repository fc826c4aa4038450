"""Refused messages on Postgres: a flood of them is bounded, and pushes no letters of a context out."""

from __future__ import annotations

import asyncio

from spark_actors.persistence.connections import make_pool
from spark_actors.persistence.dead_letters import PostgresDeadLetters
from spark_actors.persistence.refused_messages import PostgresRefusedMessages
from spark_actors.persistence.tuning import TRIM_EVERY
from tests.fixtures.letters import a_letter

MOST = 500


def test_of_a_flood_the_newest_are_kept_and_the_letters_of_contexts_stay(emptied_database: str) -> None:
    async def play() -> tuple[int, int, list[str], int]:
        async with make_pool(emptied_database) as pool:
            letters = PostgresRefusedMessages(pool, "ingress", most=MOST)
            of_a_context = PostgresDeadLetters(pool, "accounting")
            await of_a_context.bury([a_letter("a bug", subscriber="commands")])
            counts = []
            for batch in range(20):
                await letters.bury([a_letter(f"bad-{batch}-{n}", subscriber="ingress") for n in range(200)])
                counts.append(await letters.count())
            again = PostgresRefusedMessages(pool, "ingress", most=MOST)
            await again.bury([a_letter("last", subscriber="ingress")])
            left = [letter.message_id for letter in await again.newest(10_000)]
            return max(counts), await again.count(), left, await of_a_context.count()

    highest, last, left, of_a_context = asyncio.run(play())
    assert MOST < highest <= MOST + TRIM_EVERY + 200
    assert last == MOST
    assert {"last", "bad-19-199"} <= set(left)
    assert "bad-0-0" not in left
    assert of_a_context == 1
