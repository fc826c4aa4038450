"""Faults of a cluster's machines: they come, go, die and freeze, the head too, and operators move what lives there."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping

import psutil

from spark_actors.persistence.operator_desk import Operator
from tests.lab.chaos.stage import Act, Stage
from tests.lab.chaos.target import POLL_SECONDS, TargetError
from tests.lab.chaos.underfoot import RAYLET
from tests.lab.cluster.cluster import Cluster
from tests.lab.cluster.machines import HEAD
from tests.lab.cluster.node import JOINED_SECONDS, signal_all

HANDED_OVER_SECONDS = 60.0
"""Within this what lives on a node lives elsewhere, and the node has ended."""
MOVED_SECONDS = 30.0
MUTE_SECONDS = (0.5, 20.0)
"""From what nobody notices to what even Ray gives up."""
SUSPECTED_SECONDS = 4.0
"""What is mute for longer is to be replaced, and not waited for."""
OPERATOR = Operator("chaos", "to see what becomes of it")


async def joins(stage: Stage) -> str:
    """A machine that was never there comes, and goes again."""
    cluster = await _whole(stage)
    number = max(cluster.nodes) + 1
    await cluster.joined(number)
    await asyncio.sleep(stage.random.uniform(0, 3))
    cluster.nodes[number].leave()
    await _ended(stage, cluster, number)
    del cluster.nodes[number]
    return f"node {number}"


async def drained(stage: Stage) -> str:
    """An operator wishes a node away; what it ran on is started again."""
    cluster, number = await _any_node(stage)
    desk = cluster.desk
    await asyncio.to_thread(lambda: desk.drain(desk.node(cluster.address(number)), OPERATOR))
    await _ended(stage, cluster, number)
    cluster.nodes[number].launch()
    return f"node {number}"


async def leaves(stage: Stage) -> str:
    """A node is stopped in the ordinary way, and started again."""
    cluster, number = await _any_node(stage)
    cluster.nodes[number].leave()
    await _ended(stage, cluster, number)
    cluster.nodes[number].launch()
    return f"node {number}"


async def killed(stage: Stage) -> str:
    """All processes of a node end at once, and it is started again."""
    cluster, number = await _any_node(stage)
    cluster.nodes[number].lose_power()
    cluster.nodes[number].launch()
    return f"node {number}"


async def killed_while_drained(stage: Stage) -> str:
    """The same while it hands over."""
    cluster, number = await _any_node(stage)
    cluster.nodes[number].leave()
    await asyncio.sleep(stage.random.uniform(0, 1))
    cluster.nodes[number].lose_power()
    cluster.nodes[number].launch()
    return f"node {number}"


async def frozen(stage: Stage) -> str:
    """All processes of a node stop for a while."""
    cluster, number = await _any_node(stage)
    node = cluster.nodes[number]
    return f"node {number} {await _mute(stage, node.freeze, node.thaw)}"


async def cut_off(stage: Stage) -> str:
    """A node is cut off from all others for a while: it works on as far as it can, and nobody hears of it."""
    cluster, number = await _any_node(stage)
    if not cluster.network.can_be_cut:
        raise TargetError("no node can be cut off here: only root may make networks for that")
    network = cluster.network
    return f"node {number} {await _mute(stage, lambda: network.cut(number), lambda: network.heal(number))}"


async def raylet_killed(stage: Stage) -> str:
    """`kill -9` of a node's raylet: the node ends with an error, and is started again."""
    cluster, number = await _any_node(stage)
    node = cluster.nodes[number]
    signal_all((each for each in node.processes if _name(each) == RAYLET), signal.SIGKILL)
    await stage.target.until(lambda: node.has_ended, HANDED_OVER_SECONDS, f"node {number} has noticed")
    if not node.exit_code:
        stage.object(f"node {number} lost its raylet and ended with exit code 0")
    if left := node.left_behind():
        stage.object(f"node {number} left processes behind: {', '.join(left)}")
    node.launch()
    return f"node {number}"


async def moved(stage: Stage) -> str:
    """An operator moves an actor to another machine."""
    cluster = await _whole(stage)
    desk = cluster.desk
    places = await asyncio.to_thread(desk.places)
    place = stage.random.choice(sorted(places, key=lambda each: each.place))
    number = stage.random.choice([HEAD, *cluster.nodes])
    node = await asyncio.to_thread(desk.node, cluster.address(number))
    await asyncio.to_thread(desk.move, place.place, node, OPERATOR)

    async def is_there() -> bool:
        found = {each.place: each.node_id for each in await asyncio.to_thread(desk.places)}
        return found[place.place] == node.node_id

    if not await _in_time(is_there, MOVED_SECONDS):
        stage.object(f"{place.place} was not moved to node {number} within {MOVED_SECONDS:.0f} s")
    return f"{place.place} to node {number}"


async def head_killed(stage: Stage) -> str:
    """All processes of the head end at once, and it is started again."""
    await _whole(stage)
    await stage.target.lose_power()
    await asyncio.sleep(stage.random.uniform(0, 5))
    stage.target.launch()
    await stage.target.ready()
    return "killed and started again"


FAULTS: Mapping[str, Act] = {
    "node joins": joins,
    "node drained": drained,
    "node leaves": leaves,
    "node killed": killed,
    "node killed while it leaves": killed_while_drained,
    "node frozen": frozen,
    "node cut off": cut_off,
    "raylet of a node killed": raylet_killed,
    "actor moved": moved,
    "head killed": head_killed,
}
CUTS = frozenset({"node cut off"})
"""Need machines in networks of their own."""


async def whole(cluster: Cluster) -> list[int]:
    """See to it that all nodes are there, as service managers would; the numbers of those that are not in time."""
    found = await asyncio.gather(*(_is_there(cluster, number) for number in cluster.nodes))
    return [number for number, is_there in zip(cluster.nodes, found, strict=True) if not is_there]


async def _is_there(cluster: Cluster, number: int) -> bool:
    async def is_active() -> bool:
        if cluster.nodes[number].has_ended:
            cluster.nodes[number].launch()
        return await cluster.state(number) == "active"

    return await _in_time(is_active, JOINED_SECONDS)


async def _mute(stage: Stage, begin: Callable[[], None], end: Callable[[], None]) -> str:
    """Nothing is heard of a machine for a while; if it is long, all others are to be served meanwhile."""
    seconds = stage.random.uniform(*MUTE_SECONDS)
    begin()
    try:
        over = asyncio.create_task(asyncio.sleep(seconds))
        if seconds > SUSPECTED_SECONDS and not await stage.are_others_served():
            stage.object("not all was served while a node was mute")
        await over
    finally:
        end()
    return f"for {seconds:.1f} s"


async def _whole(stage: Stage) -> Cluster:
    """The cluster, with all its nodes. Raises TargetError if there is none."""
    if stage.cluster is None:
        raise TargetError("there are no nodes here")
    for number in await whole(stage.cluster):
        stage.object(f"node {number} was no member again within {JOINED_SECONDS:.0f} s")
    return stage.cluster


async def _any_node(stage: Stage) -> tuple[Cluster, int]:
    cluster = await _whole(stage)
    return cluster, stage.random.choice(sorted(cluster.nodes))


async def _ended(stage: Stage, cluster: Cluster, number: int) -> None:
    """Wait until a node has handed over and ended, and see that all is well with that."""
    node = cluster.nodes[number]
    try:
        await stage.target.until(lambda: node.has_ended, HANDED_OVER_SECONDS, f"node {number} has ended")
    except TargetError as error:
        stage.object(str(error))
        node.lose_power()
    else:
        if node.exit_code:
            stage.object(f"node {number} ended with exit code {node.exit_code}: {node.last_words()[-500:]}")


async def _in_time(condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Whether it comes true in time."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False
    return True


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""
