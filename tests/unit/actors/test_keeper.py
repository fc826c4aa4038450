"""The keeper: starts its actor, notices its death or silence, and replaces it."""

from __future__ import annotations

import asyncio

import pytest

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
        self.unmoved_seconds = 0.0

    async def start(self, spec: ActorSpec, patience_seconds: float) -> None:
        self.calls.append("start")
        self.alive = True

    async def report(self, spec: ActorSpec, patience_seconds: float) -> Report:
        if not self.alive:
            raise ActorUnavailableError(spec.name, "died")
        return Report(spec.name, "i", 1, b"", self.problems, unmoved_seconds=self.unmoved_seconds)

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


def test_one_whose_turn_has_not_moved_for_longer_than_patience_is_replaced() -> None:
    children, told = FakeChildren(), list[TelemetryEvent]()
    keeper = a_keeper(children, told)

    async def play() -> None:
        await keeper.step()
        children.unmoved_seconds = 4.9
        assert await keeper.step() == 1
        children.unmoved_seconds = 5.1
        assert await keeper.step() == 0
        children.unmoved_seconds = 0.0
        await keeper.step()

    asyncio.run(play())
    assert children.calls == ["start", "kill", "start"]


def test_one_that_never_lives_to_its_first_report_is_started_ever_more_slowly() -> None:
    """What is raised makes the keeper's loop pause; nothing else does."""
    children = FakeChildren()
    keeper = a_keeper(children, [])

    async def start(spec: ActorSpec, patience_seconds: float) -> None:
        children.calls.append("start")

    children.start = start  # type: ignore[method-assign]
    with pytest.raises(ActorUnavailableError):
        asyncio.run(keeper.step())
    assert children.calls == ["start", "kill"]


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
