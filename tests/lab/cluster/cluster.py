"""A head and its nodes as the laboratory drives them, all on one machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.cluster_desk import ClusterDesk
from tests.lab.chaos.target import Target, TargetError, plain_environment
from tests.lab.cluster.machines import HEAD, Machines
from tests.lab.cluster.network import Network
from tests.lab.cluster.node import JOINED_SECONDS, Node

SLOT = "/aggregate/"
"""In the place of an actor that fills a slot."""


class Cluster(Machines):
    """Started and stopped by whoever has made it; in the main thread, like a target."""

    def __init__(self, home: Path, settings: str, network: Network) -> None:
        """*settings*: the head's, with `{address}` where it is to listen."""
        super().__init__(home, home / "data", {**plain_environment(), "SPARK_HTTP__PORT": "0"}, network)
        self.head = Target(home, settings.format(address=self.address(HEAD)), within=network.within(HEAD, []))

    async def start(self, nodes: int) -> None:
        """The head and so many nodes beside it are there. Raises TargetError."""
        self.head.launch()
        await self.head.ready()
        for number in range(HEAD + 1, HEAD + 1 + nodes):
            await self.joined(number)

    async def joined(self, number: int) -> Node:
        """A node is launched, and a member. Raises TargetError."""
        node = self.node(number)
        node.launch()
        await self.head.until(lambda: node.is_member or node.has_ended, JOINED_SECONDS, f"node {number} is a member")
        if node.has_ended:
            raise TargetError(f"node {number} has ended: {node.last_words()}")
        return node

    async def state(self, number: int) -> str:
        """What the root holds of the node; `gone` if it does not know it (any more)."""
        found = [node["state"] for node in (await self._status())["nodes"] if node["address"] == self.address(number)]
        return str(found[-1]) if found else "gone"

    async def slots(self) -> Counter[int]:
        """How many slots are filled by an actor that has answered, on which machine."""
        status = await self._status()
        numbers = {node["node"]: int(node["address"].rpartition(".")[2]) for node in status["nodes"]}
        nodes = (actor["node"] for actor in status["actors"] if SLOT in actor["actor"])
        return Counter(numbers[node] for node in nodes if node in numbers)

    async def pids(self) -> set[int]:
        """Of all processes that belong to the cluster as it is now: actors that are known, the head, the nodes."""
        actors = {int(actor["pid"]) for actor in (await self._status())["actors"]}
        return {*actors, self.head.pid, *(node.pid for node in self.nodes.values() if not node.has_ended)}

    @property
    def desk(self) -> ClusterDesk:
        return ClusterDesk(self.head.dsn[INGRESS])

    def stop(self) -> None:
        """Make sure that nothing is left of it."""
        self.kill_nodes()
        self.head.stop()
        self.network.close()

    async def _status(self) -> dict[str, Any]:
        return {"nodes": [], "actors": [], **await self.head.get("/status")}
