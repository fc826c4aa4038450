"""One that is away, locked, deadly or too large, on a running daemon under load: it waits, and nobody waits for it.

The tests share a daemon, whose read models have a database of their own, and follow each other; the last one reckons.
"""

from __future__ import annotations

import pytest

from tests.faults.conftest import NewScene, Scene, assert_nothing_is_lost_or_doubled
from tests.lab.chaos.target import SETTINGS

LOCKED_SECONDS = 5.0
FEW_IN_HAND = "\n[relay]\nbatch_events = 500\nmax_in_flight_events = 500\n"
EVENTS = 12_000
"""More than a relay may hold in hand then."""


@pytest.fixture(scope="module")
def scene(new_scene: NewScene) -> Scene:
    return new_scene(SETTINGS + FEW_IN_HAND, seed=4, views_apart=True, long_seconds=LOCKED_SECONDS, events=EVENTS)


@pytest.mark.timeout(180)
def test_while_somebody_locks_a_row_all_others_are_served(scene: Scene) -> None:
    scene.strike("locked row")


@pytest.mark.timeout(240)
def test_while_the_read_models_are_away_sagas_end_however_much_passes_and_then_the_views_catch_up(
    scene: Scene,
) -> None:
    scene.strike("read models away")


@pytest.mark.parametrize("fault", ["deadly command", "deadly event"])
@pytest.mark.timeout(240)
def test_a_message_that_kills_whoever_handles_it_is_given_up_alone(scene: Scene, fault: str) -> None:
    assert scene.strike(fault).detail.startswith("given up")


@pytest.mark.timeout(120)
def test_who_asks_for_too_large_a_page_is_answered(scene: Scene) -> None:
    scene.strike("large answer")


@pytest.mark.timeout(120)
def test_a_postgres_that_may_only_be_read_for_a_while_serves_again_in_the_same_sessions(scene: Scene) -> None:
    scene.strike("postgres turns read-only")


@pytest.mark.timeout(300)
def test_in_the_end_nothing_is_lost_and_nothing_doubled(scene: Scene) -> None:
    assert_nothing_is_lost_or_doubled(scene)
