"""Faults on a running daemon under load; after all of them nothing is lost and nothing doubled.

The tests share a daemon and follow each other: each hurts it and waits until it serves again, the last one reckons.
`pytest -m long tests/faults` runs everything again and again.
"""

from __future__ import annotations

import json
from statistics import median

import pytest

from tests.faults.conftest import NewScene, Scene, assert_nothing_is_lost_or_doubled

KILLS = ("kill aggregate", "kill context", "kill supervisor", "kill ingress", "kill root")
SERVED_SECONDS = 3.0
"""Until an instance is served again after its host's death, in the median, on a machine that has nothing else to do."""
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


def test_an_actor_revived_in_the_middle_of_a_turn_is_a_stale_writer_and_is_refused(scene: Scene) -> None:
    strike = scene.strike("zombie in a turn")
    zombie = int(strike.detail.removeprefix("process "))
    log = (scene.target.data_dir.logs / "daemon.jsonl").read_text().splitlines()
    refused = [line for line in map(json.loads, log) if line["event"] == "turn_retried" and line.get("pid") == zombie]
    assert refused, f"process {zombie} was never refused"
    assert zombie not in scene.pids().values()


@pytest.mark.parametrize("fault", ["crash before", "crash after"])
@pytest.mark.timeout(180)
def test_processes_that_die_exactly_between_two_things_lose_neither(scene: Scene, fault: str) -> None:
    scene.strike(fault)


@pytest.mark.parametrize("fault", ["kill postgres", "serialization errors", "postgres disk full", "kill nats"])
@pytest.mark.timeout(180)
def test_a_service_that_fails_is_waited_for_and_started_again(scene: Scene, fault: str) -> None:
    scene.strike(fault)


@pytest.mark.parametrize("fault", ["lightning mute", "clock jump", "pause a third"])
def test_what_is_late_or_answers_nothing_is_only_late(scene: Scene, fault: str) -> None:
    scene.strike(fault)


@pytest.mark.timeout(300)
def test_in_the_end_nothing_is_lost_and_nothing_doubled(scene: Scene) -> None:
    assert_nothing_is_lost_or_doubled(scene)
