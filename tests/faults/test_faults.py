"""Faults on a running daemon under load; after all of them nothing is lost and nothing doubled.

The tests share a daemon and follow each other: each hurts it and waits until it serves again, the last one reckons.
`pytest -m long tests/faults` runs everything again and again.
"""

from __future__ import annotations

from datetime import datetime
from statistics import median

import pytest

from spark_actors.messaging.crash_points import CrashPoint
from tests.faults.conftest import NewScene, Scene, assert_nothing_is_lost_or_doubled

KILLS = ("kill aggregate", "kill context", "kill supervisor", "kill ingress", "kill root")
SERVED_SECONDS = 3.0
"""Until an instance is served again after its host's death, in the median, on a machine that has nothing else to do."""
TRIES = 12
SLACK = 4
"""How many times as long it may take on a machine that is busy with other things."""


@pytest.fixture(scope="module")
def scene(new_scene: NewScene) -> Scene:
    return new_scene()


@pytest.mark.timeout(240)
def test_whichever_actor_is_killed_its_work_goes_on_within_seconds(scene: Scene) -> None:
    strikes = [scene.strike(kill) for kill in (*KILLS, *KILLS)]
    served = [strike.served_seconds for strike in strikes if strike.served_seconds is not None]
    assert median(served) < SERVED_SECONDS * SLACK


@pytest.mark.timeout(240)
def test_an_actor_revived_in_the_middle_of_a_turn_is_a_stale_writer_and_is_refused(scene: Scene) -> None:
    for _ in range(TRIES):  # Ray ends a revived process that was given up; it may be quicker than the process's commit
        strike = scene.strike("zombie in a turn")
        zombie = int(strike.detail.removeprefix("process "))
        assert zombie not in scene.pids().values(), "its replacement is the actor now"
        if refusals(scene, zombie):
            return
    pytest.fail("no revived process got as far as to commit")


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


@pytest.mark.timeout(300)
def test_in_the_end_nothing_is_lost_and_nothing_doubled(scene: Scene) -> None:
    assert_nothing_is_lost_or_doubled(scene)


def refusals(scene: Scene, pid: int) -> list[str]:
    """What Postgres has refused, by its own log, of this process after it was stopped."""
    stopped_at = scene.target.faults.struck_at(CrashPoint.TURN_BEFORE_COMMIT)
    logs = (scene.target.data_dir.postgres / "logs").glob("postgresql-*.log")
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    errors = [line for line in lines if f"spark {pid} " in line and "ERROR:" in line]
    return [line for line in errors if stopped_at < datetime.fromisoformat(f"{line[:23]}+00:00")]
