"""The long runs, kept out of the normal suite: `pytest -m long tests/faults`."""

from __future__ import annotations

from random import Random
from statistics import median

import pytest

from tests.faults.conftest import NewScene, Scene, assert_nothing_is_lost_or_doubled
from tests.faults.test_faults import KILLS, SERVED_SECONDS
from tests.lab.chaos.disk import Disk
from tests.lab.chaos.faults import FAULTS
from tests.lab.chaos.underfoot import SMALL_DISKS

pytestmark = pytest.mark.long

MANY = 200


@pytest.fixture(scope="module")
def scene(new_scene: NewScene) -> Scene:
    return new_scene(seed=2, views_apart=True, small_disks=Disk.can_be_had())


@pytest.mark.timeout(3600)
def test_two_hundred_killed_actors_cost_seconds_each_and_nothing_else(scene: Scene) -> None:
    random = Random(2)
    strikes = [scene.strike(random.choice(KILLS)) for _ in range(MANY)]
    served = [strike.served_seconds for strike in strikes if strike.served_seconds is not None]
    assert len(served) == MANY
    assert median(served) < SERVED_SECONDS


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.timeout(300)
def test_every_fault_is_survived(scene: Scene, fault: str) -> None:
    if fault in SMALL_DISKS and not Disk.can_be_had():
        pytest.skip("only root may mount a disk that can be filled")
    scene.strike(fault)


@pytest.mark.timeout(600)
def test_in_the_end_nothing_is_lost_and_nothing_doubled(scene: Scene) -> None:
    assert_nothing_is_lost_or_doubled(scene)
