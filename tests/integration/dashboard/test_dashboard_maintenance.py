"""The activity's partitions come and go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from domain.auth.messages import AccountRegistered
from domain.dashboard.adapters.maintenance import RETENTION
from domain.dashboard.views import ViewActivity
from tests.fixtures.dashboard import Dashboard
from tests.fixtures.dashboard_events import MIDNIGHT, Happened, an

NOW = datetime(2030, 1, 4, tzinfo=UTC)  # a Friday
AGES = {"fresh": timedelta(), "kept": RETENTION, "forgotten": RETENTION + timedelta(days=8)}


def test_this_week_and_the_next_are_ready_before_they_are_needed(dashboard: Dashboard) -> None:
    dashboard.runner.run(dashboard.maintenance.run(NOW))

    assert {"dashboard.activity_20291231", "dashboard.activity_20300107"} <= dashboard.partitions()


def test_maintenance_may_run_anywhere_and_at_any_time(dashboard: Dashboard) -> None:
    async def four_times() -> None:
        await asyncio.gather(*(dashboard.maintenance.run(NOW) for _ in range(4)))

    dashboard.runner.run(four_times())
    before = dashboard.partitions()
    dashboard.runner.run(four_times())

    assert dashboard.partitions() == before


def test_an_event_without_a_partition_makes_its_own(dashboard: Dashboard) -> None:
    old = Happened(an(AccountRegistered), second=-3 * 365 * 86_400)

    dashboard.apply(old)

    assert [line.message_id for line in dashboard.ask(ViewActivity()).lines] == [old.envelope.message_id]


def test_activity_past_its_retention_is_forgotten_and_the_rest_is_kept(dashboard: Dashboard) -> None:
    now = datetime.now(UTC)
    ages = {name: (now - age - MIDNIGHT).total_seconds() for name, age in AGES.items()}
    dashboard.apply(*(Happened(an(AccountRegistered, account_id=name), second=second) for name, second in ages.items()))

    dashboard.runner.run(dashboard.maintenance.run(now))

    assert [line.account_id for line in dashboard.ask(ViewActivity()).lines] == ["fresh", "kept"]


def test_a_clock_that_runs_far_ahead_makes_nothing_forgotten(dashboard: Dashboard) -> None:
    now = datetime.now(UTC)
    dashboard.apply(Happened(an(AccountRegistered), second=(now - MIDNIGHT).total_seconds()))

    dashboard.runner.run(dashboard.maintenance.run(now + timedelta(days=3650)))

    assert len(dashboard.ask(ViewActivity()).lines) == 1
