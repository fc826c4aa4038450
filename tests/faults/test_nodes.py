"""A head with two nodes under load, whose machines are hurt in every way: `pytest -m long tests/faults`."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.conftest import RATE
from tests.lab.chaos.faults import OF_CLUSTERS
from tests.lab.chaos.run import Wanted, run

pytestmark = pytest.mark.long
SECONDS = 400.0


@pytest.mark.timeout(1200)
def test_whatever_happens_to_the_machines_nothing_is_lost_and_nothing_doubled() -> None:
    account = asyncio.run(run(Wanted(SECONDS, seed=3, rate=RATE, faults=tuple(OF_CLUSTERS), machines=3), print))
    assert (account.objections, account.audit) == ([], [])
    assert account.is_sound
    assert {strike.fault for strike in account.strikes} >= {"node killed", "node frozen", "node drained", "head killed"}
