"""Nodes come, go and die under a daemon that works: what lives on them moves, and no command is refused for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from uuid import uuid4

import pytest

from domain.accounting.messages import Deposit, OpenAccount
from spark_actors.ingress.client import SparkClient
from tests.fixtures.cluster import HEAD, Cluster
from tests.fixtures.daemon import eventually

pytestmark = pytest.mark.timeout(300)
SLOTS = {"spark/pool/aggregate/shared-0", "spark/pool/aggregate/shared-1"}


class Load:
    """Deposits into a few accounts, one after the other for each, until it is stopped."""

    def __init__(self, cluster: Cluster) -> None:
        card = cluster.head.card
        self._broker = card.nats_url, card.nats_token, card.operator_token
        self.accounts = [f"account-{uuid4().hex[:8]}" for _ in range(16)]
        self.outcomes: Counter[str] = Counter()
        self.ended = Event()

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        url, token, identity = self._broker
        async with await SparkClient.connect(url, token, identity=identity) as client:
            await asyncio.gather(*(self._one(client, account) for account in self.accounts))

    async def _one(self, client: SparkClient, account: str) -> None:
        await client.send(OpenAccount(account_id=account), why="a test", timeout=60)
        number = 0
        while not self.ended.is_set():
            number += 1
            deposit = Deposit(account_id=account, deposit_id=f"{account}-{number}", amount_sat=1)
            answer = await client.send(deposit, why="a test", timeout=60)
            self.outcomes[f"{answer.outcome.value} {answer.reason}".strip()] += 1
            await asyncio.sleep(0.05)


@contextmanager
def load(cluster: Cluster) -> Iterator[Load]:
    """Goes on meanwhile; in the end every command was done, and the books are right."""
    working = Load(cluster)
    thread = Thread(target=working.run, daemon=True)
    thread.start()
    try:
        yield working
    finally:
        working.ended.set()
        thread.join(90)
    assert not thread.is_alive()
    assert working.outcomes.keys() == {"done"}
    assert cluster.head.cli("audit").returncode == 0


def test_slots_are_shared_with_a_node_and_handed_over_when_it_leaves(cluster: Cluster) -> None:
    with load(cluster) as working:
        assert eventually(lambda: len(cluster.places_on(2) & SLOTS) == 1)
        node = cluster.nodes[2]
        done = sum(working.outcomes.values())
        assert node.terminate() == 0
        assert node.left_behind() == []
        assert len(cluster.places_on(HEAD)) == len(cluster.desk.places())
        assert eventually(lambda: cluster.known(2).state == "gone")
        assert eventually(lambda: sum(working.outcomes.values()) > done + 50)
        cluster.join(2)
        assert eventually(lambda: len(cluster.places_on(2) & SLOTS) == 1)


def test_a_node_that_is_drained_by_an_operator_ends_and_the_action_is_kept(cluster: Cluster) -> None:
    node_id = cluster.known(2).node_id
    with load(cluster):
        drained = cluster.head.cli("drain", cluster.address(2), "--why", "a new disk", "--by", "me")
        assert (drained.returncode, drained.stderr) == (0, "")
        assert cluster.nodes[2].ended_within(30) == 0
        actions = cluster.head.cli("actions", "--context", "ingress", "--json").stdout
        assert "drain node" in actions
        assert node_id in actions
        assert "a new disk" in actions
    cluster.join(2)


def test_what_lived_on_a_node_that_lost_its_power_lives_elsewhere(cluster: Cluster) -> None:
    assert eventually(lambda: len(cluster.places_on(2) & SLOTS) == 1)
    with load(cluster) as working:
        cluster.nodes[2].lose_power()
        done = sum(working.outcomes.values())
        assert eventually(lambda: cluster.places_on(2) == set())
        assert eventually(lambda: sum(working.outcomes.values()) > done + 200)
    cluster.join(2)


def test_a_node_that_is_silent_is_not_waited_for_and_does_no_harm_when_it_is_back(cluster: Cluster) -> None:
    assert eventually(lambda: len(cluster.places_on(2) & SLOTS) == 1)
    with load(cluster) as working:
        cluster.nodes[2].freeze()
        assert eventually(lambda: cluster.places_on(2) == set())
        done = sum(working.outcomes.values())
        assert eventually(lambda: sum(working.outcomes.values()) > done + 200)
        cluster.nodes[2].thaw()
        assert eventually(lambda: cluster.known(2).state == "active", 60)
        assert eventually(lambda: len(cluster.places_on(2) & SLOTS) == 1)


def test_an_operator_moves_an_actor_to_a_node(cluster: Cluster) -> None:
    place = "spark/broker/ingress/0"
    with load(cluster):
        moved = cluster.head.cli("move", place, cluster.address(2), "--why", "to see it", "--by", "me")
        assert (moved.returncode, moved.stderr) == (0, "")
        assert place in cluster.places_on(2)


def test_the_pool_grows_and_shrinks_while_it_works(cluster: Cluster) -> None:
    with load(cluster) as working:
        for slots in (4, 2):
            scaled = cluster.head.cli("scale", f"shared={slots}", "--why", "a big campaign", "--by", "me")
            assert (scaled.returncode, scaled.stderr) == (0, "")
            done = sum(working.outcomes.values())
            assert eventually(lambda seen=done: sum(working.outcomes.values()) > seen + 100)  # type: ignore[misc]
            assert eventually(cluster.is_ready)
    refused = cluster.head.cli("scale", "nothing=3", "--why", "a mistake", "--by", "me")
    assert refused.returncode != 0
    assert "expected POOL=N with a pool of shared" in refused.stderr
