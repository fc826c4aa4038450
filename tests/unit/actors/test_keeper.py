"""The keeper: starts its actor, notices its death or silence, and replaces it."""

from __future__ import annotations

import asyncio

from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.keeper import Keeper
from spark_actors.actors.ports import ActorSpec, Report
from spark_actors.messaging.telemetry import ActorRestarted, TelemetryEvent

SPEC = ActorSpec("spark/accounting/context/0", "ContextActor", object)


class FakeChildren:
    """Actors that live until the test says otherwise."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.alive = False
        self.problems: list[str] = []

    async def start(self, spec: ActorSpec, patience_seconds: float) -> None:
        self.calls.append("start")
        self.alive = True

    async def report(self, spec: ActorSpec, patience_seconds: float) -> Report:
        if not self.alive:
            raise ActorUnavailableError(spec.name, "died")
        return Report(spec.name, "i", 1, b"", self.problems)

    async def kill(self, spec: ActorSpec) -> None:
        self.calls.append("kill")

    async def stop(self, spec: ActorSpec, grace_seconds: float) -> None:
        self.calls.append("stop")


def a_keeper(children: FakeChildren, told: list[TelemetryEvent]) -> Keeper:
    return Keeper(SPEC, children, heartbeat_seconds=1, patience_seconds=5, telemetry=told.append)


def test_an_actor_that_died_is_ended_for_good_and_replaced() -> None:
    children, told = FakeChildren(), list[TelemetryEvent]()
    keeper = a_keeper(children, told)

    async def play() -> None:
        assert await keeper.step() == 1
        children.alive = False
        assert await keeper.step() == 0
        assert keeper.problem
        assert await keeper.step() == 1

    asyncio.run(play())
    assert children.calls == ["start", "kill", "start"]
    assert told == [ActorRestarted("ContextActor")]
    assert keeper.problem == ""


def test_what_troubles_an_actor_is_passed_on() -> None:
    children = FakeChildren()
    children.problems = ["no database"]
    keeper = a_keeper(children, [])
    asyncio.run(keeper.step())
    assert "no database" in keeper.problem


def test_stopping_lets_the_actor_finish() -> None:
    children = FakeChildren()
    keeper = a_keeper(children, [])

    async def play() -> None:
        keeper.start()
        while keeper.report is None:
            await asyncio.sleep(0)
        await keeper.stop(1)

    asyncio.run(play())
    assert children.calls[-1] == "stop"
