"""Housekeeping: what is needed is there, what is old goes, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic

import psycopg
import pytest

from spark_actors.kernel.decisions import DONE
from spark_actors.kernel.errors import DuplicateMessageError, StorageUnavailableError
from spark_actors.kernel.sagas import SagaState
from spark_actors.messaging.unit_of_work import COMMANDS, Handled
from spark_actors.persistence import tuning
from spark_actors.persistence.maintenance import DeadLetterMaintenance, PostgresMaintenance
from spark_actors.persistence.operator_desk import ForgottenError, LetterFilter, Operator, OperatorDesk
from tests.fixtures.aggregates import a_mark, commit
from tests.fixtures.letters import a_letter, progress
from tests.fixtures.stores import Async, PostgresStores

NOW = datetime.now(UTC)
WEEK = timedelta(days=7)


@pytest.fixture
def housekeeping(stores: PostgresStores) -> PostgresMaintenance:
    return PostgresMaintenance(stores._pool, "auth")


def partition(moment: datetime) -> str:
    monday = moment.date() - timedelta(days=moment.weekday())
    return f"inbox_{monday:%Y%m%d}"


def partitions(connection: psycopg.Connection) -> set[str]:
    rows = connection.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'auth.inbox'::regclass"
    )
    return {name for (name,) in rows}


def remember(connection: psycopg.Connection, message_id: str, moment: datetime) -> None:
    connection.execute("SELECT auth.make_inbox_partitions(%s)", (moment,))
    connection.execute(
        "INSERT INTO auth.inbox VALUES (%s, auth.week_of(%s), 'done', '', NULL, NULL)", (message_id, moment)
    )


def test_this_week_and_the_next_have_a_partition(
    housekeeping: PostgresMaintenance, run: Async, connection: psycopg.Connection
) -> None:
    for _ in range(2):
        run(housekeeping.run(NOW))
    assert partitions(connection) == {partition(NOW), partition(NOW + WEEK)}
    run(housekeeping.run(NOW + WEEK))
    assert partition(NOW + 2 * WEEK) in partitions(connection)


def test_a_message_of_an_earlier_week_is_still_known(
    housekeeping: PostgresMaintenance, stores: PostgresStores, run: Async, connection: psycopg.Connection
) -> None:
    remember(connection, "old", NOW - WEEK)
    run(housekeeping.run(NOW))
    with stores.unit_of_work("auth") as uow:
        assert uow.inbox.handled(["old", "new"]) == {"old": Handled(DONE, None)}
    with pytest.raises(DuplicateMessageError):
        commit(stores.unit_of_work("auth"), marks=[a_mark("new"), a_mark("old")])
    with stores.unit_of_work("auth") as uow:
        assert uow.inbox.handled(["new"]) == {}


def test_a_letter_is_retried_only_while_the_inbox_knows_what_was_handled_since(
    stores: PostgresStores, run: Async, database: str
) -> None:
    desk, zoe = OperatorDesk({"auth": database}), Operator("zoe", "fixed in 1.4.2")
    letters = [
        replace(a_letter(name, subscriber=COMMANDS, died_at=died_at), reason=name)
        for name, died_at in (("young", NOW), ("old", NOW - 2 * WEEK))
    ]
    run(stores.dead_letters("auth").bury(letters))
    [old, young] = sorted(desk.letters("auth", LetterFilter(), limit=5), key=lambda letter: letter.reason)
    assert desk.retry(young, zoe)
    with pytest.raises(ForgottenError, match="might take effect twice"):
        desk.retry(old, zoe)


def test_partitions_past_the_retention_are_dropped(
    housekeeping: PostgresMaintenance, run: Async, connection: psycopg.Connection
) -> None:
    for weeks in (1, 2, 5):
        remember(connection, f"{weeks}", NOW - weeks * WEEK)
    run(housekeeping.run(NOW))
    assert {partition(NOW - WEEK), partition(NOW)} <= partitions(connection)
    assert not {partition(NOW - 2 * WEEK), partition(NOW - 5 * WEEK)} & partitions(connection)


def test_a_longer_retention_keeps_more(stores: PostgresStores, run: Async, connection: psycopg.Connection) -> None:
    remember(connection, "old", NOW - 3 * WEEK)
    run(PostgresMaintenance(stores._pool, "auth", inbox=3 * WEEK).run(NOW))
    assert partition(NOW - 3 * WEEK) in partitions(connection)


def test_a_wrong_clock_does_not_make_messages_forgotten(
    housekeeping: PostgresMaintenance, stores: PostgresStores, run: Async
) -> None:
    commit(stores.unit_of_work("auth"), marks=[a_mark("known")])
    run(housekeeping.run(NOW + timedelta(days=400)))
    with stores.unit_of_work("auth") as uow:
        assert uow.inbox.handled(["known"]) == {"known": Handled(DONE, None)}


def test_without_a_partition_the_turn_is_only_put_off(
    housekeeping: PostgresMaintenance, stores: PostgresStores, run: Async, connection: psycopg.Connection
) -> None:
    connection.execute(f"DROP TABLE auth.{partition(NOW)}".encode())
    with pytest.raises(StorageUnavailableError):
        commit(stores.unit_of_work("auth"), marks=[a_mark("message")])
    run(housekeeping.run(NOW))
    commit(stores.unit_of_work("auth"), marks=[a_mark("message")])


def test_new_partitions_do_not_wait_for_readers_of_the_inbox(
    housekeeping: PostgresMaintenance, run: Async, database: str, connection: psycopg.Connection
) -> None:
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM auth.inbox")
        run(housekeeping.run(NOW + 4 * WEEK))
    assert partition(NOW + 4 * WEEK) in partitions(connection)


def test_while_somebody_reads_an_old_partition_it_stays_and_turns_do_not_wait(
    housekeeping: PostgresMaintenance, stores: PostgresStores, run: Async, database: str, connection: psycopg.Connection
) -> None:
    remember(connection, "old", NOW - 5 * WEEK)
    run(stores.dead_letters("auth").bury([a_letter("old", died_at=NOW - timedelta(days=400))]))
    with psycopg.connect(database) as reader, ThreadPoolExecutor(1) as beside:
        reader.execute("SELECT count(*) FROM auth.inbox")
        longest = beside.submit(longest_of_turns, stores, kept_up := Event())
        try:
            run(housekeeping.run(NOW))
        finally:
            kept_up.set()
        assert longest.result() < 0.5
    assert partition(NOW - 5 * WEEK) in partitions(connection)
    assert run(stores.dead_letters("auth").count()) == 0
    run(housekeeping.run(NOW))
    assert partition(NOW - 5 * WEEK) not in partitions(connection)


def longest_of_turns(stores: PostgresStores, ended: Event) -> float:
    """Seconds that the slowest turn took of those that followed each other meanwhile."""
    longest, number = 0.0, 0
    while not ended.is_set() or number == 0:
        number += 1
        begin = monotonic()
        commit(stores.unit_of_work("auth"), marks=[a_mark(f"turn {number}")])
        longest = max(longest, monotonic() - begin)
    return longest


def test_old_sagas_that_ended_are_forgotten_and_running_ones_are_not(
    housekeeping: PostgresMaintenance, stores: PostgresStores, run: Async, connection: psycopg.Connection
) -> None:
    long_ago = NOW - timedelta(days=40)
    run(
        stores.saga_log("auth").merge(
            [
                progress("old", 3, SagaState.COMPLETED, at=long_ago),
                progress("old-but-running", 0, at=long_ago),
                progress("new", 3, SagaState.FAILED, at=NOW),
            ]
        )
    )
    run(housekeeping.run(NOW))
    left = connection.execute("SELECT saga_id FROM auth.sagas ORDER BY saga_id").fetchall()
    assert left == [("new",), ("old-but-running",)]


def test_much_that_is_old_goes_in_small_steps(
    stores: PostgresStores, run: Async, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "MAINTENANCE_ROWS", 10)
    monkeypatch.setattr(tuning, "MAINTENANCE_BATCHES", 3)
    letters = stores.dead_letters("ingress")
    run(letters.bury([a_letter(f"{number}", died_at=NOW - timedelta(days=100)) for number in range(45)]))
    run(letters.bury([a_letter("new", died_at=NOW)]))
    housekeeping = DeadLetterMaintenance(stores._pool, "ingress", timedelta(days=90))
    counts = []
    for _ in range(3):
        run(housekeeping.run(NOW))
        counts.append(run(letters.count()))
    assert counts == [16, 1, 1]


def test_a_wrong_clock_does_not_make_letters_and_sagas_forgotten(
    housekeeping: PostgresMaintenance, stores: PostgresStores, run: Async, connection: psycopg.Connection
) -> None:
    run(stores.dead_letters("auth").bury([a_letter("young", died_at=NOW)]))
    run(stores.saga_log("auth").merge([progress("young", 3, SagaState.COMPLETED, at=NOW)]))
    run(housekeeping.run(NOW + timedelta(days=400)))
    assert run(stores.dead_letters("auth").count()) == 1
    assert connection.execute("SELECT saga_id FROM auth.sagas").fetchall() == [("young",)]


def test_a_message_handled_while_the_clock_was_ahead_is_still_known(
    housekeeping: PostgresMaintenance, stores: PostgresStores, run: Async, connection: psycopg.Connection
) -> None:
    run(housekeeping.run(NOW + WEEK))
    remember(connection, "ahead", NOW + WEEK)
    with pytest.raises(DuplicateMessageError):
        commit(stores.unit_of_work("auth"), marks=[a_mark("ahead")])
