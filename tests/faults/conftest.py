"""A daemon under load that the tests of a module hurt, one after the other, and what it owes in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest

from tests.lab.chaos.account import Account, Strike
from tests.lab.chaos.run import Chaos
from tests.lab.chaos.stage import EVENTS, LONG_SECONDS
from tests.lab.chaos.target import SETTINGS, Target

RATE = 25.0
"""Commands a second: the daemon is busy, and the machine has room for the fault itself."""


class Scene:
    """A chaos run that tests drive step by step."""

    def __init__(self, runner: asyncio.Runner, target: Target, seed: int, *, long_seconds: float, events: int) -> None:
        self._runner = runner
        self.target = target
        self.chaos = Chaos(target, seed, RATE, long_seconds=long_seconds, events=events)

    def begin(self) -> None:
        """Start the daemon and the load."""
        self.target.launch()
        self._runner.run(self.target.ready())
        self._runner.run(self.chaos.begin())

    def strike(self, fault: str) -> Strike:
        """Hurt once and wait for recovery."""
        strike = self._runner.run(self.chaos.strike(fault))
        assert strike is not None, f"{fault} could not be done"
        assert strike.served_seconds is not None, f"{strike} is not served"
        assert strike.ended_seconds is not None, f"{strike}: no saga ended"
        assert [it.detail for it in self.chaos.account.objections if it.fault == strike.number] == []
        return strike

    def wait(self, seconds: float) -> None:
        """Let the load go on."""
        self._runner.run(asyncio.sleep(seconds))

    def pids(self) -> dict[str, int]:
        """Process ids by actor name."""
        return self._runner.run(self.target.actors())

    def recovered(self) -> tuple[float | None, float | None]:
        """Seconds until every slot has answered, and until a saga has ended."""
        return self._runner.run(self.chaos.recovered())

    def readiness(self) -> dict[str, object]:
        return self._runner.run(self.target.get("/readyz"))

    def wait_until_ready(self, seconds: float) -> None:
        """Until the daemon says that it is well."""

        async def well() -> None:
            async with asyncio.timeout(seconds):
                while not (await self.target.get("/readyz")).get("ready"):
                    await asyncio.sleep(0.1)

        self._runner.run(well())

    def end(self) -> Account:
        """Let everything come to its end, and reckon."""
        return self._runner.run(self.chaos.end())

    def close(self) -> None:
        """End all of it. Nobody waits until the daemon has drained: how it ends in order is not what is tried here."""
        self._runner.run(self.chaos.producer.close())
        if self.target.pid and self.target.exit_code is None:
            self._runner.run(self.target.kill())
        self.target.stop()


NewScene: TypeAlias = Callable[..., Scene]


@pytest.fixture(scope="module")
def new_scene() -> Iterator[NewScene]:
    """Makes a daemon under load, of given settings; it is gone with the module's tests."""
    with TemporaryDirectory(prefix="spark-faults-", ignore_cleanup_errors=True) as home, asyncio.Runner() as runner:
        scenes: list[Scene] = []

        def make(
            settings: str = SETTINGS,
            seed: int = 1,
            *,
            views_apart: bool = False,
            small_disks: bool = False,
            long_seconds: float = LONG_SECONDS,
            events: int = EVENTS,
        ) -> Scene:
            target = Target(Path(home), settings, views_apart=views_apart, small_disks=small_disks)
            scenes.append(Scene(runner, target, seed, long_seconds=long_seconds, events=events))
            scenes[-1].begin()
            return scenes[-1]

        yield make
        for scene in scenes:
            scene.close()


def assert_nothing_is_lost_or_doubled(scene: Scene) -> None:
    """The reckoning: every acknowledged command took effect once, every saga ended, books, views and audit agree.

    Of a daemon that nobody has hurt it would say nothing: then it is hurt here.
    """
    if not scene.chaos.account.strikes:
        scene.strike("kill aggregate")
    account = scene.end()
    assert account.objections == []
    assert account.audit == []
    assert account.orders > 0
