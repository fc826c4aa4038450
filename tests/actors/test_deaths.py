"""What a caller learns when an actor's process ends under its call, on real Ray."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from uuid import uuid4

import pytest
import ray

from spark_actors.actors import names
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.ray_actors import OPTIONS
from spark_actors.actors.references import Directory, RayHosts, RaySubscribers
from spark_actors.embedded.ray_node import EmbeddedRay
from spark_actors.messaging.routing import Slot
from tests.fixtures.ray import NAMESPACE


class Host:
    """Ends its process over what says so, and waits over all else."""

    def take_turn(self, context: str, payload: bytes, version: int) -> bytes:
        if payload == b"deadly":
            os._exit(1)
        return payload

    def take_events(self, payload: bytes, token: str) -> bytes:
        return self.take_turn("", payload, 0)

    def keep(self, token: str) -> bool:
        """Dies meanwhile, of what somebody else has handed over."""
        os._exit(1)

    def sleep(self) -> None:
        import time

        time.sleep(60)


REMOTE: Any = ray.remote(Host)  # Ray's own types do not describe named options


def a_host() -> tuple[Slot, Any]:
    slot = Slot("test", uuid4().int % 10**9, 1)
    actor = REMOTE.options(name=names.aggregate_actor(slot), namespace=NAMESPACE, **OPTIONS).remote()
    return slot, actor


def test_a_message_that_kills_its_host_is_told_from_a_host_that_was_replaced(ray_node: EmbeddedRay) -> None:
    async def play() -> list[bool]:
        died = []
        for is_replaced in (False, True):
            slot, actor = a_host()
            hosts = RayHosts(Directory(NAMESPACE))
            assert await hosts.take_turn(slot, "auth", b"harmless", 0) == b"harmless"
            if is_replaced:
                actor.sleep.remote()
            asking = asyncio.ensure_future(hosts.take_turn(slot, "auth", b"waits" if is_replaced else b"deadly", 0))
            if is_replaced:
                await asyncio.sleep(0)
                ray.kill(actor)
            with pytest.raises(ActorUnavailableError) as error:
                await asking
            died.append(error.value.has_died)
        return died

    assert asyncio.run(play()) == [True, False]


def test_what_ends_before_it_is_alone_with_a_message_has_not_died_of_it(ray_node: EmbeddedRay) -> None:
    """Several hand messages to one actor: whoever is in its hand, or on the way there, dies with the deadly one."""

    async def play() -> list[bool]:
        directory, died = Directory(NAMESPACE), []
        slot, _ = a_host()
        subscriber = f"test-{uuid4().hex}"
        REMOTE.options(name=names.context_actor(subscriber), namespace=NAMESPACE, **OPTIONS).remote()
        for asking in (
            RayHosts(directory).take_turn_alone(slot, "auth", b"harmless", 0),
            RaySubscribers(directory).take_events(subscriber, b"harmless", alone=True),
        ):
            with pytest.raises(ActorUnavailableError) as error:
                await asking
            died.append(error.value.has_died)
        return died

    assert asyncio.run(play()) == [False, False]
