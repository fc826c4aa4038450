"""Wake-ups over LISTEN: hints come, and their absence harms nobody."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg
import pytest

from spark_actors.persistence.wake_ups import PostgresWakeUps
from tests.fixtures.aggregates import an_event, commit
from tests.fixtures.stores import PostgresStores

SOON = timedelta(milliseconds=20)
LONG = timedelta(seconds=30)


@pytest.fixture
def wake_ups(database: str) -> PostgresWakeUps:
    return PostgresWakeUps(database, "auth")


def test_the_first_wait_and_events_wake_up_and_silence_does_not(
    wake_ups: PostgresWakeUps, stores: PostgresStores, runner: asyncio.Runner
) -> None:
    async def story() -> list[bool]:
        heard = [await wake_ups.wait(LONG), await wake_ups.wait(SOON)]
        commit(stores.unit_of_work("auth"), events=[an_event("event")])
        heard += [await wake_ups.wait(LONG), await wake_ups.wait(SOON)]
        await wake_ups.close()
        return heard

    assert runner.run(story()) == [True, False, True, False]


def test_a_hint_between_two_waits_counts(
    wake_ups: PostgresWakeUps, stores: PostgresStores, runner: asyncio.Runner
) -> None:
    async def story() -> bool:
        await wake_ups.wait(LONG)
        commit(stores.unit_of_work("auth"), events=[an_event("event")])
        await asyncio.sleep(0)
        heard = await wake_ups.wait(LONG)
        await wake_ups.close()
        return heard

    assert runner.run(story())


def test_the_connection_is_made_anew_now_and_then(
    wake_ups: PostgresWakeUps, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> list[bool]:
        await wake_ups.wait(LONG)
        monkeypatch.setattr("spark_actors.persistence.tuning.WAKE_UPS_LIFETIME_SECONDS", -1.0)
        heard = [await wake_ups.wait(SOON)]
        await wake_ups.close()
        return heard

    assert runner.run(story()) == [True]


def test_contexts_do_not_wake_each_other(
    wake_ups: PostgresWakeUps, stores: PostgresStores, runner: asyncio.Runner
) -> None:
    async def story() -> bool:
        await wake_ups.wait(LONG)
        commit(stores.unit_of_work("bitcoin"), events=[an_event("event")])
        heard = await wake_ups.wait(SOON)
        await wake_ups.close()
        return heard

    assert not runner.run(story())


def test_a_lost_connection_is_made_anew_and_counts_as_a_hint(
    wake_ups: PostgresWakeUps,
    connection: psycopg.Connection,
    runner: asyncio.Runner,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> list[bool]:
        await wake_ups.wait(LONG)
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        heard = [await wake_ups.wait(SOON), await wake_ups.wait(LONG)]
        await wake_ups.close()
        return heard

    assert runner.run(story()) == [False, True]
    assert "polling goes on" in caplog.text


def test_without_a_server_the_wait_takes_its_time(runner: asyncio.Runner) -> None:
    async def story() -> tuple[bool, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        return await PostgresWakeUps("host=/nowhere dbname=spark", "auth").wait(SOON), loop.time() - began

    heard, seconds = runner.run(story())
    assert not heard
    assert seconds >= SOON.total_seconds()


def test_a_wait_may_be_cancelled_and_taken_up_again(
    wake_ups: PostgresWakeUps, stores: PostgresStores, runner: asyncio.Runner
) -> None:
    async def story() -> bool:
        await wake_ups.wait(LONG)
        waiting = asyncio.create_task(wake_ups.wait(LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        commit(stores.unit_of_work("auth"), events=[an_event("event")])
        heard = await wake_ups.wait(LONG)
        await wake_ups.close()
        return heard

    assert runner.run(story())
