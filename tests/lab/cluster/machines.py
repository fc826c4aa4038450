"""The nodes of a head, by number, and what the deployment knows of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spark_actors.embedded.data_dir import DataDir
from spark_actors.join_file import JOIN_FILE
from spark_actors.messaging.ports import INGRESS
from spark_actors.persistence.cluster_desk import ClusterDesk, KnownNode
from tests.lab.cluster.network import Network
from tests.lab.cluster.node import Node, NodeError

HEAD = 1


class Machines:
    """Addresses for a head and its nodes, and the nodes; the head itself is started by others."""

    def __init__(self, home: Path, head: Path, environment: Mapping[str, str], network: Network) -> None:
        """*home*: where the nodes' data dirs are; *head*: the head's."""
        self._home, self._head = home, DataDir(head)
        self._environment = environment
        self.network = network
        self.nodes: dict[int, Node] = {}

    def address(self, number: int) -> str:
        return self.network.address(number)

    def node(self, number: int) -> Node:
        """The node of this number; made when it is asked for first, not started."""
        if number not in self.nodes:
            others = [self._head.path, *(node.data_dir for node in self.nodes.values())]
            self.nodes[number] = Node(
                self._home / f"node-{number}",
                self.address(number),
                self._head.path / JOIN_FILE,
                self._environment,
                self.network.within(number, others),
            )
        return self.nodes[number]

    def join(self, number: int) -> Node:
        """A new node, or one that was there before, is a member. Raises NodeError."""
        self.node(number).start()
        return self.nodes[number]

    @property
    def desk(self) -> ClusterDesk:
        """Raises NodeError while no head has said where its tables are."""
        card = self._head.read_daemon_card()
        if card is None:
            raise NodeError("no daemon card")
        return ClusterDesk(card.dsn[INGRESS])

    def known(self, number: int) -> KnownNode:
        """The node of this number as the deployment knows it: the one that joined last at its address."""
        there = [node for node in self.desk.nodes() if node.address == self.address(number)]
        if not there:
            raise NodeError(f"nobody at {self.address(number)} has ever joined")
        return max(there, key=lambda node: node.joined_at)

    def places_on(self, number: int) -> set[str]:
        """The places that are noted to be filled there."""
        node_id = self.known(number).node_id
        return {each.place for each in self.desk.places() if each.node_id == node_id}

    def kill_nodes(self) -> None:
        """In the end nothing is left of any node."""
        for node in self.nodes.values():
            node.kill()
