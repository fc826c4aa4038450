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
from spark_actors.actors.references import RayHosts, RaySubscribers
from spark_actors.actors.routes import Route, Routes, RouteTable
from spark_actors.embedded.ray_node import EmbeddedRay
from spark_actors.messaging.routing import Placement, Slot
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


SLOT = Slot("test", 0, 1)
REMOTE: Any = ray.remote(Host)  # Ray's own types do not describe named options


def an_actor() -> Any:
    return REMOTE.options(namespace=NAMESPACE, name=uuid4().hex, **OPTIONS).remote()


def routes_to(place: str, actor: Any) -> Routes:
    """As a process knows them that was told of this actor alone."""
    routes = Routes()
    routes.take(RouteTable(1, Placement(1, 1), {place: Route(1, actor)}))
    return routes


def test_a_message_that_kills_its_host_is_told_from_a_host_that_was_replaced(ray_node: EmbeddedRay) -> None:
    async def play() -> list[bool]:
        died = []
        for is_replaced in (False, True):
            actor = an_actor()
            hosts = RayHosts(routes_to(names.aggregate_actor(SLOT), actor))
            assert await hosts.take_turn(SLOT, "auth", b"harmless", 0) == b"harmless"
            if is_replaced:
                actor.sleep.remote()
            asking = asyncio.ensure_future(hosts.take_turn(SLOT, "auth", b"waits" if is_replaced else b"deadly", 0))
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
        hosts = RayHosts(routes_to(names.aggregate_actor(SLOT), an_actor()))
        subscribers = RaySubscribers(routes_to(names.context_actor("auth"), an_actor()))
        died = []
        for asking in (
            hosts.take_turn_alone(SLOT, "auth", b"harmless", 0),
            subscribers.take_events("auth", b"harmless", alone=True),
        ):
            with pytest.raises(ActorUnavailableError) as error:
                await asking
            died.append(error.value.has_died)
        return died

    assert asyncio.run(play()) == [False, False]
