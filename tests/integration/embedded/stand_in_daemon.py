"""A process that stands in for the daemon: it starts one built-in service, tells its parent, and waits to be ended.

Usage: python -m tests.integration.embedded.stand_in_daemon postgres|nats|ray DATA_DIR
It prints one JSON line when the service is ready, and ends when its standard input does.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import psutil

from spark_actors.embedded.addresses import ANY_PORT
from spark_actors.embedded.data_dir import DataDir
from spark_actors.embedded.nats_server import EmbeddedNats, NatsOptions
from spark_actors.embedded.postgres import EmbeddedPostgres
from spark_actors.embedded.ray_node import EmbeddedRay

MESSAGES = 200


@dataclass(frozen=True)
class Started:
    """A started service, what to tell of it, and what must not be forgotten while it runs."""

    server: EmbeddedPostgres | EmbeddedNats | EmbeddedRay
    told: dict[str, Any] = field(default_factory=dict)
    kept: Sequence[Any] = ()


class Idle:
    def pid(self) -> int:
        return psutil.Process().pid


def main(service: str, path: str) -> None:
    data_dir = DataDir(Path(path))
    data_dir.create()
    data_dir.lock()
    started = {"postgres": start_postgres, "nats": start_nats, "ray": start_ray}[service](data_dir)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the daemon's own business
    pids = [child.pid for child in psutil.Process().children(recursive=True)]
    sys.stdout.write(json.dumps({**started.told, "pids": pids}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    started.server.stop()


def start_postgres(data_dir: DataDir) -> Started:
    server = EmbeddedPostgres(data_dir)
    server.start()
    return Started(server)


def start_nats(data_dir: DataDir) -> Started:
    server = EmbeddedNats(data_dir, NatsOptions(port=ANY_PORT))
    server.start()
    asyncio.run(publish(server))
    return Started(server)


async def publish(server: EmbeddedNats) -> None:
    connection = await nats.connect(server.url, token=server.token)
    stream = connection.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept"])
    for number in range(MESSAGES):
        await stream.publish("kept", str(number).encode())
    await connection.close()


def start_ray(data_dir: DataDir) -> Started:
    node = EmbeddedRay(data_dir)
    node.start()
    node.connect("stand-in")
    import ray  # not before its environment is prepared

    idle: Any = ray.remote(Idle)
    actors = [idle.options(num_cpus=0).remote() for _ in range(2)]
    pids = ray.get([actor.pid.remote() for actor in actors])
    return Started(node, {"address": node.address, "actors": pids}, actors)


if __name__ == "__main__":
    main(*sys.argv[1:])
