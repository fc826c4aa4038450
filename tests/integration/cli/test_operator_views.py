"""What operators see of the sagas and of what waits, on a real Postgres."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import psycopg
import pytest

from domain.application import APPLICATION
from spark_actors.cli.desk import looked_at
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.sagas import SagaState
from spark_actors.operations.desk import Desk
from spark_actors.operations.messages import ListSagas, ListTasks, ViewDeployment
from spark_actors.persistence.operator_views import OperatorViews
from tests.fixtures.postgres import emptied

SAGA = """
INSERT INTO {context}.sagas
    (kind, saga_id, step, rank, state, last_event, correlation_id, started_at, deadline_at, updated_at)
VALUES (%s, %s, 'requested', 0, %s, 'an-event', 'story', now() - %s::interval, now() + %s::interval, now())
"""
EVENT = """
INSERT INTO auth.outbox (message_id, name, version, key, sequence, data, correlation_id, causation_id, occurred_at)
VALUES ('m1', 'auth.account-registered', 1, 'a1', 1, '{}', 'm0', 'm0', now() - interval '1 minute')
"""
LETTER = """
INSERT INTO ingress.dead_letters
    (message_id, name, key, subscriber, reason, attempts, body, correlation_id, causation_id, died_at)
VALUES ('m1', 'x', '', 'ingress', 'not_json', 1, '', '', '', now())
"""
TASK = """
INSERT INTO bitcoin.tasks
    (task_id, name, version, key, data, correlation_id, causation_id, since, due_at, is_scheduled, attempts, problem)
VALUES (%s, 'bitcoin.pay-invoice', 1, %s, '{}', 'story', '', now() - %s::interval, now(), false, 1, %s)
"""
AN_HOUR, A_MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def database(module_database: str) -> str:
    """The module's own, emptied: these tests only write rows."""
    return emptied(module_database)


@pytest.fixture
def desk(dsn_by_context: Mapping[str, str]) -> Desk:
    """A running donation that is late, one that is not, and a sign-up that has ended."""
    with psycopg.connect(dsn_by_context["auth"], autocommit=True) as connection:
        for context, *values in (
            ("crowdfunding", "donation", "late", "running", AN_HOUR, -A_MINUTE),
            ("crowdfunding", "donation", "early", "running", A_MINUTE, AN_HOUR),
            ("auth", "sign-up", "ended", "completed", AN_HOUR * 2, -AN_HOUR),
        ):
            connection.execute(SAGA.format(context=context).encode(), values)
    return Desk(APPLICATION, dsn_by_context)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ListSagas(), ["early", "late", "ended"]),
        (ListSagas(kind="donation"), ["early", "late"]),
        (ListSagas(state=SagaState.COMPLETED), ["ended"]),
        (ListSagas(is_overdue=True), ["late"]),
        (ListSagas(kind="donation", saga_id="early"), ["early"]),
        (ListSagas(saga_id="ended"), ["ended"]),
        (ListSagas(kind="sign-up", saga_id="early"), []),
    ],
)
def test_sagas_of_all_contexts_are_found_newest_first(desk: Desk, wanted: ListSagas, found: list[str]) -> None:
    assert [line.saga_id for line in desk.answer(wanted).sagas] == found


def test_no_more_sagas_come_than_were_asked_for(desk: Desk) -> None:
    page = desk.answer(ListSagas(limit=1))
    assert [(line.context, line.saga_id, line.state) for line in page.sagas] == [
        ("crowdfunding", "early", SagaState.RUNNING)
    ]
    rest = desk.answer(ListSagas(after=page.next))
    assert ([line.saga_id for line in rest.sagas], rest.next) == (["late", "ended"], "")


def test_what_waits_is_counted_by_context(dsn_by_context: Mapping[str, str]) -> None:
    with psycopg.connect(dsn_by_context["auth"], autocommit=True) as connection:
        connection.execute(EVENT)
        connection.execute(LETTER)
    backlogs = {backlog.context: backlog for backlog in OperatorViews(looked_at(dsn_by_context)).backlogs()}
    assert backlogs["auth"].outbox_pending == 1
    assert backlogs["auth"].outbox_oldest_age >= A_MINUTE
    assert (backlogs["ingress"].outbox_pending, backlogs["ingress"].dead_letters) == (0, 1)
    assert (backlogs["bitcoin"].outbox_pending, backlogs["bitcoin"].outbox_oldest_age) == (0, timedelta())


def test_tasks_are_found_by_key_and_by_what_is_wrong_those_first_that_wait_longest(
    dsn_by_context: Mapping[str, str],
) -> None:
    with psycopg.connect(dsn_by_context["bitcoin"], autocommit=True) as connection:
        connection.execute(TASK, ("1", "w-1", A_MINUTE, ""))
        connection.execute(TASK, ("2", "w-2", AN_HOUR, "no answer"))
        connection.execute(TASK, ("3", "w-3", -AN_HOUR, ""))
    desk = Desk(APPLICATION, dsn_by_context)

    def found(wanted: ListTasks) -> list[str]:
        return [line.key for line in desk.answer(wanted).tasks]

    assert found(ListTasks()) == ["w-2", "w-1", "w-3"]
    assert found(ListTasks(is_failing=True)) == found(ListTasks(instance="w-2")) == ["w-2"]
    assert found(ListTasks(context="auth")) == []
    [backlog] = [each for each in desk.answer(ViewDeployment()).contexts if each.context == "bitcoin"]
    assert backlog.tasks == 2


def test_a_database_that_is_away_is_a_storage_error() -> None:
    with pytest.raises(StorageUnavailableError):
        OperatorViews({"auth": "postgresql://nobody@127.0.0.1:1/none"}).backlogs()
