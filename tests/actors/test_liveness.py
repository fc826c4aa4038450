"""An actor that is slow is left alone, one that is stuck is replaced, and no event loop waits for Ray itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from uuid import uuid4

import psutil
import psycopg
import pytest

from domain.accounting.messages import Deposit, OpenAccount
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.ports import ActorSpec
from spark_actors.actors.references import Directory, RayChildren, RayHosts, RaySubscribers
from spark_actors.actors.tuning import CLUSTER_SECONDS
from spark_actors.embedded.ray_node import EmbeddedRay
from spark_actors.messaging.routing import Slot
from tests.actors.conftest import PATIENCE_SECONDS
from tests.fixtures.daemon import eventually
from tests.fixtures.tree import Tree

HOSTS = ("spark/pool/aggregate/shared-0", "spark/pool/aggregate/shared-1")
SLOT = Slot("shared", 0, 1)
LONGEST_PAUSE_SECONDS = 0.5
"""No callback of an event loop may hold it up for so long."""


@contextmanager
def slow_commits(dsn: str, seconds: float) -> Iterator[None]:
    """Every deposit takes so long in the store, on the server's side."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION accounting.dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$"
        )
        connection.execute(
            "CREATE TRIGGER dawdle AFTER INSERT ON accounting.ledger"
            " FOR EACH STATEMENT EXECUTE FUNCTION accounting.dawdle()"
        )
        try:
            yield
        finally:
            connection.execute("DROP FUNCTION accounting.dawdle() CASCADE")


def test_commits_slower_than_patience_are_no_death(tree: Tree, module_database: str) -> None:
    account = uuid4().hex
    tree.send(OpenAccount(account_id=account))
    before = tree.pids()
    with slow_commits(module_database, PATIENCE_SECONDS * 1.5):
        assert tree.send(Deposit(account_id=account, deposit_id=account, amount_sat=5)) == [("done", "")]
    tree.wait_until_ready()
    assert tree.pids() == before


def test_a_host_that_is_stuck_in_its_turn_is_replaced_and_the_command_is_done(tree: Tree) -> None:
    """Stopped between two instructions, as a handler would be that never returns."""
    account = uuid4().hex
    stuck = {name: tree.pids()[name] for name in HOSTS}
    for pid in stuck.values():
        os.kill(pid, signal.SIGSTOP)
    assert tree.send(OpenAccount(account_id=account)) == [("done", "")]
    assert eventually(lambda: all(tree.has_replaced(name, pid) for name, pid in stuck.items()))
    tree.wait_until_ready()


@contextmanager
def frozen_gcs() -> Iterator[None]:
    """For a while Ray's head answers nobody, and nobody is told that it is gone."""
    (gcs,) = [process for process in psutil.Process().children(recursive=True) if process.name() == "gcs_server"]
    gcs.suspend()
    # For a test that blocks all the same: Ray ends this process when its head has been away for a minute.
    thaw = Timer(4 * CLUSTER_SECONDS, gcs.resume)
    thaw.start()
    try:
        yield
    finally:
        thaw.cancel()
        gcs.resume()


async def longest_pause(stop: asyncio.Event) -> float:
    """For how long the event loop did not come round at worst, until then."""
    longest, last = 0.0, time.monotonic()
    while not stop.is_set():
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return longest


def test_while_the_gcs_is_away_each_call_ends_in_time_and_no_event_loop_waits(ray_node: EmbeddedRay) -> None:
    directory = Directory("nowhere")
    children = RayChildren(directory, "nowhere")
    spec = ActorSpec("spark/accounting/context/0", "ContextActor", object)
    calls = (
        lambda: RayHosts(directory).take_turn(SLOT, "accounting", b"", 0),
        lambda: RayHosts(directory).bury(SLOT, "accounting", b"", 0),
        lambda: RayHosts(directory).release(SLOT, "accounting", [], 1),
        lambda: RaySubscribers(directory).take_events("accounting", b""),
        lambda: children.report(spec, 1),
        lambda: children.kill(spec),
        lambda: children.stop(spec, 1),
    )

    async def play() -> tuple[float, Sequence[object], float]:
        stop = asyncio.Event()
        watch = asyncio.create_task(longest_pause(stop))
        await asyncio.sleep(0)
        began = time.monotonic()
        with frozen_gcs():
            ends = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
        took = time.monotonic() - began
        stop.set()
        return await watch, ends, took

    pause, ends, took = asyncio.run(play())
    assert pause < LONGEST_PAUSE_SECONDS
    assert [type(end) for end in ends] == [ActorUnavailableError] * 5 + [type(None)] * 2
    assert took < 3 * CLUSTER_SECONDS
    with pytest.raises(ActorUnavailableError, match="no actor has this name"):
        asyncio.run(directory.find("spark/accounting/context/0"))
