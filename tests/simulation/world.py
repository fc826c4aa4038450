"""One run: a seed becomes a crowd, a system, bad luck, quiet, and a verdict."""

from __future__ import annotations

import asyncio
import random as global_random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any
from unittest.mock import patch

from spark_actors.actors import names
from spark_actors.actors.lane_runner import RelayLimits
from spark_actors.cluster.nodes import NodeState
from spark_actors.ingress.port import BrokerUnavailableError
from spark_actors.messaging import tuning
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.routing import Placement
from spark_actors.persistence.memory_cluster import MemoryClusterStore
from tests.simulation.broker import BrokerServer
from tests.simulation.checks import runtime_verdict
from tests.simulation.crowd import Message
from tests.simulation.faults import Faults
from tests.simulation.history import Entry, History, label_of
from tests.simulation.machine import Machine, Node, Process
from tests.simulation.store import Database, Schema, SimulatedProjection
from tests.simulation.subject import Subject
from tests.simulation.virtual_time import run_in_virtual_time
from tests.simulation.wiring import MOST_SLOTS, PROJECTION, REFUSED, Deployment

REPLY_SECONDS = 3.0
"""After this a producer sends a command again."""
MOST_TRIES = 3
QUIET_SECONDS = 120.0
"""Virtual time in which everything must have come to rest once nothing goes wrong any more."""
LOOK_SECONDS = 0.25
MOST_NODES = 3
"""Beside the head."""
TELLING_SECONDS = 0.5
"""How often a node says that it is there."""
VERDICT_SECONDS = (4.0, 15.0)
"""After at least and at most so long Ray says that a node is dead which does not answer."""
ASKED_SECONDS = 1.0
"""How often the driver asks the root for something."""
FEW = 3
"""Events that a relay may have in hand for a subscriber, where one is to wait for more than that."""


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    seed: int
    violations: tuple[str, ...]
    digest: str
    virtual_seconds: float
    commands: int
    events: int
    deaths: int
    changes: int
    """How often the number of slots has changed."""
    turned_away: int
    """How often a host has said that commands are for another slot now."""
    timeline: tuple[Entry, ...] = ()
    announced: tuple[Envelope, ...] = ()
    """Every event, in the order of commits; kept with the timeline."""


def play(subject: Subject, seed: int, *, keep_timeline: bool = False) -> Run:
    """Play the run of *seed* from beginning to end; the same in every process."""
    state = global_random.getstate()
    global_random.seed(seed)
    try:
        with patch.multiple(tuning, HOARD_FACTOR=5, FAR_BEHIND_FACTOR=4):  # worlds are small: a few events are many
            return run_in_virtual_time(World(subject, seed).play(keep_timeline=keep_timeline))
    finally:
        global_random.setstate(state)


class World:
    """Everything of one run."""

    def __init__(self, subject: Subject, seed: int) -> None:
        self.subject, self.seed = subject, seed
        self.random = Random(seed)
        self.faults = Faults(self.random)
        self.stories = subject.stories(self.random)
        self.readers_are_away = self.random.random() < 0.25
        """Whether the store of the read models alone is away for as long as anybody asks for anything, and more."""

    async def play(self, *, keep_timeline: bool) -> Run:
        loop = asyncio.get_running_loop()
        self.history = History(loop.time)
        self.machine = Machine(self.faults, self.history)
        self.deployment = self._deployed()
        self.machine.is_durable = self._is_durable
        self.history.onlooker = self.subject.onlooker(self.deployment, self.history.sent)
        self.history.note("world", f"seed {self.seed}: {self.faults.profile}")
        if self.faults.profile.shift_seconds:
            for _ in range(self.random.randrange(MOST_NODES)):
                self._join()
        background = [
            self.machine.spawn(each)
            for each in (self._keep_root(), self._speak_for_nodes(), self._strike(), self._shift(), self._change())
        ]
        if self.readers_are_away:
            self.history.note("read models", "their store goes away")
            self.deployment.database.away.add(PROJECTION)
        scene, *others = self.stories
        if self.random.random() < 0.75:
            await self._produce(scene)
        else:
            others.append(scene)
        await asyncio.gather(*(self._produce(story) for story in others))
        self.faults.is_on = False
        for blows in background[2:]:
            blows.cancel()
        self._mend()
        if self.readers_are_away:
            await self._others_quiet()
            self.history.note("read models", "their store is back")
            self.deployment.database.away.discard(PROJECTION)
        await self._quiet()
        await self._in_place()
        for kept in background[:2]:
            kept.cancel()
        self.history.look(runtime_verdict(self.deployment, self.history))
        self.history.look(await self.subject.verdict(self.deployment, self.history))
        return self._run(keep_timeline=keep_timeline)

    def _deployed(self) -> Deployment:
        database = Database(self.machine)
        batch = FEW if self.readers_are_away else self.random.choice((3, 20, 500))
        for context in [*(context.name for context in self.subject.writing), self.subject.read_models]:
            Schema(context, database, self.subject.application.installed(context).stored)
        Schema(REFUSED, database)
        return Deployment(
            subject=self.subject,
            machine=self.machine,
            database=database,
            broker=BrokerServer(self.machine),
            outside=self.subject.outside(self.machine),
            projection=SimulatedProjection(self.history, self.subject.rows_of),
            cluster=MemoryClusterStore(asyncio.get_running_loop().time),
            settings=Placement(self.random.choice((1, 2, 3)), self.random.choice((2, 1000))),
            limits=RelayLimits(
                batch=batch,
                in_flight=FEW if self.readers_are_away else 2_000,
                poll_seconds=self.faults.profile.poll_seconds,
                patience={self.subject.read_models: 0.05},
            ),
        )

    def _run(self, *, keep_timeline: bool) -> Run:
        events = tuple(event for commit in self.history.commits for event in commit.events)
        deaths = sum(entry.what.startswith("is killed") for entry in self.history.timeline)
        return Run(
            self.seed,
            tuple(self.history.violations),
            self.history.digest(),
            asyncio.get_running_loop().time(),
            len(self.history.commands),
            len(events),
            deaths,
            sum(entry.what.startswith("changes the slots") for entry in self.history.timeline),
            sum("commands are for another slot" in entry.what for entry in self.history.timeline),
            tuple(self.history.timeline) if keep_timeline else (),
            events if keep_timeline else (),
        )

    async def _keep_root(self) -> None:
        """What Ray does for the root alone: it is started again when it dies."""
        for number in count(1):
            process = self.machine.born(names.ROOT, number, self.machine.head)
            shell = self.deployment.root(process)
            await shell.start()
            process.ready.set_result(shell)
            while process.is_alive and process.is_in_sight:
                await asyncio.wait([process.ended], timeout=ASKED_SECONDS)
                root: Any = shell.service
                root.asked()
            await asyncio.sleep(self.random.uniform(0.1, 0.5))

    async def _speak_for_nodes(self) -> None:
        """What nodes say of themselves; and those that are empty, and were to be, are taken away."""
        while True:
            await asyncio.sleep(TELLING_SECONDS)
            for node in self.machine.others:
                if self.faults.profile.tells:
                    self.deployment.tell_of(node)
                if node.is_up and self.deployment.cluster.state(node.node_id) is NodeState.DRAINED:
                    # Who cannot reach the store does not know that it has a successor; but it can do nothing, either.
                    alive = [process for process in node.processes if node.has_store and not process.is_stopped]
                    if left := [process.label for process in alive]:
                        self.history.accuse(f"{node.node_id} is drained, it is said, and {left} live there")
                    node.end("it is drained")
                    node.declare_dead()

    async def _produce(self, story: list[Message]) -> None:
        """Send the story's commands, each again until it is answered or the producer gives up."""
        for message in story:
            await asyncio.sleep(message.pause_seconds)
            self.history.sent[message.label] = message
            for copy in range(message.copies):
                await self._send(message, copy, waits=copy == 0 and message.pause_seconds > 0.05)

    async def _send(self, message: Message, copy: int, *, waits: bool) -> None:
        for attempt in range(MOST_TRIES if waits else 1):
            reply_to = f"{message.label}/{copy}/{attempt}"
            self.deployment.broker.inbox[reply_to] = answered = asyncio.Event()
            await self._publish(message, reply_to)
            if not waits:
                return
            try:
                async with asyncio.timeout(REPLY_SECONDS):
                    await answered.wait()
                return
            except TimeoutError:
                continue

    async def _publish(self, message: Message, reply_to: str) -> None:
        """Publish until the broker has stored it."""
        while True:
            try:
                self.deployment.broker.publish(message, reply_to)
            except BrokerUnavailableError:
                await asyncio.sleep(0.3)
            else:
                name = f"{message.author.sender}/{message.author.source}/{message.message_id}"
                self.history.note("producer", f"sends {name} {message.subject}", message.label)
                return

    async def _strike(self) -> None:
        """Blows from outside, one after the other."""
        profile = self.faults.profile
        kinds = (
            self._kill_one,
            self._double_one,
            self._stop_one,
            self._cut_store,
            self._cut_broker,
            self._kill_all,
        )
        while profile.chaos_seconds and any(profile.blows):
            await asyncio.sleep(self.random.expovariate(1 / profile.chaos_seconds))
            self.random.choices(kinds, profile.blows)[0]()

    async def _shift(self) -> None:
        """Nodes come and go."""
        profile = self.faults.profile
        kinds = (self._join, self._leave, self._lose_power, self._cut_off, self._freeze)
        while profile.shift_seconds:
            await asyncio.sleep(self.random.expovariate(1 / profile.shift_seconds))
            self.random.choices(kinds, profile.shifts)[0]()

    def _join(self) -> None:
        if len(self._nodes_up()) < MOST_NODES:
            self.machine.join()

    def _leave(self) -> None:
        """An operator wishes that a node be emptied."""
        if known := [node for node in self._nodes_up() if self.deployment.cluster.knows(node.node_id)]:
            node = self.random.choice(known)
            self.history.note("operator", f"wants {node.node_id} to be empty")
            self.deployment.cluster.leave(node.node_id)

    def _lose_power(self) -> None:
        if nodes := self._nodes_up():
            node = self.random.choice(nodes)
            node.end("it loses power")
            asyncio.get_running_loop().call_later(self.random.uniform(*VERDICT_SECONDS), node.declare_dead)

    def _cut_off(self) -> None:
        """What is there goes on, with the store or without, until the cut is over or its fence ends it."""
        if nodes := [node for node in self._nodes_up() if not node.is_cut]:
            node, loop = self.random.choice(nodes), asyncio.get_running_loop()
            node.cut(has_store=self.random.random() < 0.7)
            loop.call_later(self.random.uniform(*VERDICT_SECONDS), node.declare_dead)
            loop.call_later(self.random.uniform(0.5, 25.0), node.heal)

    def _freeze(self) -> None:
        """All that runs on a node stands still for a while."""
        if nodes := self._nodes_up():
            frozen = self.random.choice(nodes).processes
            seconds = self.random.uniform(0.5, 6.0)
            for process in frozen:
                process.stop()
                asyncio.get_running_loop().call_later(seconds, process.resume)

    async def _change(self) -> None:
        """Operators wish for other numbers of slots, again and again."""
        profile = self.faults.profile
        while profile.change_seconds:
            await asyncio.sleep(self.random.expovariate(1 / profile.change_seconds))
            before = self.deployment.placement.shared_actors
            count = self.random.choice([n for n in range(1, MOST_SLOTS + 1) if n != before])
            self.history.note("operator", f"changes the slots from {before} to {count}")
            self.deployment.cluster.scale("shared", count)

    def _nodes_up(self) -> list[Node]:
        return [node for node in self.machine.others if node.is_up]

    def _kill_one(self) -> None:
        if process := self._any_process():
            self.machine.kill(process, "kill -9")

    def _double_one(self) -> None:
        """A stale writer, mostly: an AggregateActor that some still reach while others reach its replacement."""
        hosts = self.machine.in_sight(names.AGGREGATE)
        is_host = bool(hosts) and self.random.random() < 0.75
        if process := self.random.choice(hosts) if is_host else self._any_process():
            self.machine.hide(process, "cut off")

    def _stop_one(self) -> None:
        if process := self._any_process():
            process.stop()
            asyncio.get_running_loop().call_later(self.random.uniform(0.2, 6.0), process.resume)

    def _any_process(self) -> Process | None:
        """One of a random kind, so that the few AggregateActors come to their share."""
        if not (found := self.machine.in_sight()):
            return None
        kind = self.random.choice(sorted({names.kind_of(process.name) for process in found}))
        return self.random.choice(self.machine.in_sight(kind))

    def _cut_store(self) -> None:
        if not self.deployment.database.is_away:
            self.machine.spawn(self.deployment.database.outage(self.random.uniform(0.1, 3.0)))

    def _cut_broker(self) -> None:
        if not self.deployment.broker.is_away:
            self.machine.spawn(self.deployment.broker.outage(self.random.uniform(0.1, 3.0)))

    def _kill_all(self) -> None:
        self.history.note("world", "kill -9 of the whole daemon")
        for process in list(self.machine.living):
            process.die("the daemon is gone")

    def _mend(self) -> None:
        """From now on nothing goes wrong: what is stopped goes on, what has a successor will notice."""
        self.history.note("world", "nothing goes wrong from now on")
        for process in self.machine.living:
            process.resume()
        for node in self.machine.others:
            node.heal()
            node.declare_dead()

    async def _others_quiet(self) -> None:
        """All others come to rest while the read models are away: who cannot take its events holds back nobody."""
        if left := await self._at_rest(self._left_to_others):
            self.history.accuse(f"while the read models are away others wait, too: {left}")

    async def _quiet(self) -> None:
        """Wait until nothing is left to do, in the queue, the outboxes and the tasks."""
        if left := await self._at_rest(self._left):
            self.history.accuse(f"not at rest after {QUIET_SECONDS:g} s without faults: {left}")

    async def _in_place(self) -> None:
        """When all is quiet each place is filled by one actor, on a node that is there, in even shares."""
        if wrong := await self._at_rest(self._out_of_place):
            self.history.accuse(f"not in place after {QUIET_SECONDS:g} s without faults: {wrong}")

    def _out_of_place(self) -> Counter[str]:
        alive = self.machine.living
        seated = Counter(process.name for process in alive)
        wrong = Counter({place: abs(seated[place] - 1) for place in (names.ROOT, *self.deployment.places)})
        wrong["places that are no more"] = len(seated.keys() - wrong.keys())
        states = self.deployment.cluster.state
        usable = [node for node in self.machine.nodes.values() if states(node.node_id) is NodeState.ACTIVE]
        wrong["on nodes that are not to be used"] = sum(process.node not in usable for process in alive)
        shares = [sum(names.kind_of(it.name) == names.AGGREGATE for it in node.processes) for node in usable]
        wrong["shares"] = max(0, max(shares, default=0) - min(shares, default=0) - 1)
        return wrong

    async def _at_rest(self, left: Callable[[], Counter[str]]) -> dict[str, int]:
        """Wait until nothing is left; gives what is, if that takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_SECONDS):
                while any(left().values()):
                    for schema in self.deployment.database.schemas.values():
                        schema.release_keys()
                    await asyncio.sleep(LOOK_SECONDS)
        return {name: count for name, count in left().items() if count}

    def _left_to_others(self) -> Counter[str]:
        """What is left to do, but for the read models' part."""
        left = Counter({"queue": len(self.deployment.broker.stored)})
        for context in self.subject.writing:
            schema = self.deployment.schema(context.name)
            left[f"{context.name} tasks"] = len(schema.tasks.tasks)
            for row in schema.outbox.values():
                others = (it for it in self.subject.owed(row) if it != self.subject.read_models)
                left.update(f"{context.name} to {it}" for it in others if not self._has(it, row))
            left.update({f"{context.name} kept for {it}": len(rows) for it, rows in schema.missed.items()})
            del left[f"{context.name} kept for {self.subject.read_models}"]
        return left

    def _has(self, subscriber: str, row: Envelope) -> bool:
        return (subscriber, row.message_id) in self.history.taken_by

    def _left(self) -> Counter[str]:
        left = Counter({"queue": len(self.deployment.broker.stored)})
        for context in self.subject.writing:
            schema = self.deployment.schema(context.name)
            left[f"{context.name} outbox"] = len(schema.outbox)
            left[f"{context.name} missed"] = sum(map(len, schema.missed.values()))
            left[f"{context.name} tasks"] = len(schema.tasks.tasks)
            left[f"{context.name} parked keys"] = len(schema.parked.keys)
        return left

    def _is_durable(self, label: str) -> bool:
        """Whether it was handled, or another under the very same id, or waits as a dead letter."""
        message = self.history.sent[label]
        handled = (self.history.sent.get(label_of(command)) for it in self.history.commits for command, _ in it.marks)
        if any(other and other.known_by == message.known_by for other in handled):
            return True
        letters = self.deployment.schema(REFUSED).letters.letters.values()
        return any(letter.message_id == message.message_id or letter.name == message.subject for letter in letters)
