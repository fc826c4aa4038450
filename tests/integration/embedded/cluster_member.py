"""A process that is one machine of a cluster: it does what its parent asks, a line of JSON for each wish and answer.

Usage: python -m tests.integration.embedded.cluster_member head|node DATA_DIR OWN_HOST HEAD [TOKEN]
It ends its node, and itself, when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from spark_actors.embedded import ray_node
from spark_actors.embedded.addresses import Address
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.processes import wait_until
from spark_actors.embedded.ray_node import EmbeddedRay, JoiningRay, RayNode
from spark_actors.kernel.errors import SparkError

PATIENCE_SECONDS = 60.0


class Worker:
    def pid(self) -> int:
        return os.getpid()


class Member:
    """What every machine can be asked."""

    def __init__(self, node: RayNode) -> None:
        self.node = node

    def launch(self) -> str:
        self.node.launch()
        return self.node.node_id

    def host(self) -> str:
        return self.node.host

    def exit_code(self) -> int | None:
        return self.node.exit_code

    def await_loss(self) -> str:
        if not wait_until(lambda: self.node.lost is not None, PATIENCE_SECONDS):
            return "it lives"
        return str(self.node.lost)

    def stop(self) -> None:
        self.node.stop()


class Head(Member):
    node: EmbeddedRay

    def launch(self) -> str:
        super().launch()
        self.node.connect("tests")
        return self.node.node_id

    def place(self, name: str, node_id: str) -> int:
        """Start an actor on this node and no other; its process id."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there: Any = NodeAffinitySchedulingStrategy(node_id, soft=False)
        workers: Any = ray.remote(Worker)
        options = {"name": name, "lifetime": "detached", "num_cpus": 0, "scheduling_strategy": there}
        return self._ask(workers.options(**options).remote())

    def ask(self, name: str) -> int:
        import ray

        return self._ask(ray.get_actor(name))

    def _ask(self, worker: Any) -> int:
        import ray

        return int(ray.get(worker.pid.remote(), timeout=PATIENCE_SECONDS))

    def drain(self, node_id: str) -> bool:
        from ray import _raylet
        from ray.core.generated import autoscaler_pb2

        raylet, autoscaler = cast(Any, _raylet), cast(Any, autoscaler_pb2)
        preemption = autoscaler.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
        client = raylet.GcsClient(address=self.node.address)
        return bool(client.drain_node(node_id, preemption, "a test", 0, timeout=10)[0])

    def gcs_has_ended(self) -> bool:
        return wait_until(lambda: self.node.has_ended, PATIENCE_SECONDS)

    def revive(self) -> bool:
        self.node.revive()
        return wait_until(lambda: self.node.is_ready, PATIENCE_SECONDS)

    def last_words(self) -> str:
        return self.node.last_words()


class Node(Member):
    node: JoiningRay

    def standing(self) -> str:
        return self.node.standing().value

    def await_standing(self, wanted: str) -> bool:
        return wait_until(lambda: self.node.standing().value == wanted, PATIENCE_SECONDS)

    def pretend(self, release: str) -> None:
        """Run another release from now on."""
        ray_node.version = lambda: release  # type: ignore[attr-defined]


def main(role: str, path: str, host: str, head: str, token: str = "") -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray writes there, too
    data_dir = DataDir(Path(path))
    address = Address.parse(head, ray_node.DEFAULT_PORT)
    member: Member
    if role == "head":
        member = Head(EmbeddedRay(data_dir, listen=address))
    else:
        member = Node(JoiningRay(data_dir, address, token, address=host))
    for line in sys.stdin:
        wish = json.loads(line)
        answer = _done(getattr(member, wish["do"]), wish["with"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    member.stop()


def _done(act: Callable[..., Any], words: list[Any]) -> dict[str, Any]:
    try:
        return {"answer": act(*words)}
    except SparkError as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main(*sys.argv[1:])
