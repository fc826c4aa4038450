"""Faults on a running daemon under load; after all of them nothing is lost and nothing doubled.

The tests share a daemon, whose read models have a database of their own, and follow each other: each hurts it and waits
until it serves again, the last one reckons. `pytest -m long tests/faults` runs everything again and again.
"""

from __future__ import annotations

from statistics import median

import psutil
import pytest

from tests.faults.conftest import NewScene, Scene, assert_nothing_is_lost_or_doubled
from tests.fixtures.daemon import eventually
from tests.lab.chaos.target import SETTINGS

KILLS = ("kill aggregate", "kill context", "kill supervisor", "kill ingress", "kill root")
SERVED_SECONDS = 3.0
"""Until an instance is served again after its host's death, in the median, on a machine that has nothing else to do."""
SLACK = 4
"""How many times as long it may take on a machine that is busy with other things."""
LOCKED_SECONDS = 5.0
FEW_IN_HAND = "\n[relay]\nbatch_events = 500\nmax_in_flight_events = 500\n"
EVENTS = 12_000
"""More than a relay may hold in hand then."""


@pytest.fixture(scope="module")
def scene(new_scene: NewScene) -> Scene:
    return new_scene(SETTINGS + FEW_IN_HAND, views_apart=True, long_seconds=LOCKED_SECONDS, events=EVENTS)


@pytest.mark.timeout(240)
def test_whichever_actor_is_killed_its_work_goes_on_within_seconds(scene: Scene) -> None:
    strikes = [scene.strike(kill) for kill in KILLS]
    served = [strike.served_seconds for strike in strikes if strike.served_seconds is not None]
    assert median(served) < SERVED_SECONDS * SLACK


@pytest.mark.timeout(240)
def test_an_actor_revived_in_the_middle_of_a_turn_ends_and_does_nothing_twice(scene: Scene) -> None:
    """Ray ends it as soon as it goes on; if its commit is quicker the store refuses it (`test_fences`)."""
    for _ in range(3):
        strike = scene.strike("zombie in a turn")
        zombie = int(strike.detail.removeprefix("process "))
        assert zombie not in scene.pids().values(), "its replacement is the actor now"
        assert eventually(lambda pid=zombie: not psutil.pid_exists(pid))  # type: ignore[misc]


@pytest.mark.parametrize("fault", ["crash before", "crash after"])
@pytest.mark.timeout(180)
def test_processes_that_die_exactly_between_two_things_lose_neither(scene: Scene, fault: str) -> None:
    scene.strike(fault)


@pytest.mark.parametrize("fault", ["kill postgres", "postgres disk full", "kill nats"])
@pytest.mark.timeout(180)
def test_a_service_that_fails_is_waited_for_and_started_again(scene: Scene, fault: str) -> None:
    scene.strike(fault)


@pytest.mark.parametrize("fault", ["lightning mute", "clock jump"])
def test_what_is_late_or_answers_nothing_is_only_late(scene: Scene, fault: str) -> None:
    scene.strike(fault)


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
