"""Refused messages on Postgres: a flood of them is bounded, and pushes nobody else's letters out."""

from __future__ import annotations

import asyncio

from spark_actors.persistence.connections import make_pool
from spark_actors.persistence.refused_messages import TRIM_EVERY, PostgresRefusedMessages
from tests.fixtures.letters import a_letter

MOST = 500


def test_of_a_flood_the_newest_are_kept_and_the_letters_of_others_stay(emptied_database: str) -> None:
    async def play() -> tuple[int, int, list[str]]:
        async with make_pool(emptied_database) as pool:
            letters = PostgresRefusedMessages(pool, "ingress", subscriber="ingress", most=MOST)
            await letters.bury([a_letter("a bug", subscriber="accounting")])
            counts = []
            for batch in range(20):
                await letters.bury([a_letter(f"bad-{batch}-{n}", subscriber="ingress") for n in range(200)])
                counts.append(await letters.count())
            again = PostgresRefusedMessages(pool, "ingress", subscriber="ingress", most=MOST)
            await again.bury([a_letter("last", subscriber="ingress")])
            left = [letter.message_id for letter in await again.newest(10_000)]
            return max(counts), await again.count(), left

    highest, last, left = asyncio.run(play())
    assert MOST < highest <= MOST + TRIM_EVERY + 200 + 1
    assert last == MOST + 1
    assert {"a bug", "last", "bad-19-199"} <= set(left)
    assert "bad-0-0" not in left
