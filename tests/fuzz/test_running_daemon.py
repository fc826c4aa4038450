"""A running daemon under hostile messages: all are answered, good ones in between, nothing of it stays; and its end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from statistics import median

import nats
import psutil
import pytest

from spark_actors.ingress.nats_broker import STREAM
from tests.fixtures.daemon import Daemon, eventually
from tests.fuzz.checks import run_many
from tests.fuzz.daemon import converse, send_unreadable
from tests.fuzz.hostile import Hostile, big, messages

GOOD, HOSTILE, BIG = 60, 1_000, 12
GROWTH_MIB = 80


def collected() -> list[Hostile]:
    """Messages that a client can send: on a subject of ours, refused or not."""
    found: list[Hostile] = []
    run_many(messages, found.append, HOSTILE)
    run_many(big(), found.append, BIG)
    return [message for message in found if message.subject.isascii() and len(message.body) < 1_000_000]


def ingress_mib(daemon: Daemon) -> float:
    """Memory of the Ingress' process."""
    taken = 0
    for child in psutil.Process(daemon.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # sessions of Postgres come and go meanwhile
            taken += child.memory_info().rss if "Ingress" in " ".join(child.cmdline()) else 0
    assert taken
    return taken / 2**20


@pytest.mark.timeout(240)
def test_hostile_messages_are_answered_and_good_ones_do_not_wait_for_them(running: Daemon) -> None:
    alone = asyncio.run(converse(running.card, "alone", GOOD, []))
    before = ingress_mib(running)
    hostile = [message for message in collected() if message.subject.startswith("spark.commands.")]
    asyncio.run(send_unreadable(running.card))
    together = asyncio.run(converse(running.card, "together", GOOD, hostile))
    assert set(together.outcomes.values()) == set(alone.outcomes.values()) == {"done"}
    assert sum(together.refusals.values()) == len(hostile)
    assert len(together.refusals) > 5
    # Each good message comes behind dozens of hostile ones: what these cost, and no more.
    assert median(together.waits) < 20 * median(alone.waits) + 1
    assert ingress_mib(running) - before < GROWTH_MIB
    assert eventually(lambda: asyncio.run(waiting_in_broker(running)) == 0), running.last_words()
    audit = running.cli("audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr


def test_being_told_to_stop_it_drains_and_leaves_no_process_behind(running: Daemon) -> None:
    assert running.terminate() == 0, running.last_words()
    assert running.left_behind() == []
    assert running.cli("status").returncode == 3


async def waiting_in_broker(daemon: Daemon) -> int:
    """Commands that the broker holds: one that stops the others would show, and so would a reply that became one."""
    async with await nats.connect(daemon.card.nats_url, token=daemon.card.nats_token) as client:
        return int((await client.jsm().stream_info(STREAM)).state.messages)
