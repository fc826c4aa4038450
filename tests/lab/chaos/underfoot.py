"""Faults of what the daemon stands on: its Ray node, its disks, a Postgres that may only be read."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

import psutil

from spark_actors.kernel.errors import StorageError
from tests.lab.chaos.queries import Superuser
from tests.lab.chaos.stage import Act, Stage, send_signal, stopped
from tests.lab.chaos.target import POLL_SECONDS, TargetError, is_alive

RAYLET, GCS = "raylet", "gcs_server"
NODE_SECONDS = 45.0
"""Within this the daemon serves again by itself, or it has ended so that a service manager can start it again."""
LEFT_BEHIND_SECONDS = 15.0
ROOM_SECONDS = 60.0
"""Within this a daemon works again once its disk has room."""
FULL_SECONDS = 10.0
READ_ONLY_SECONDS = 5.0
SEGMENTS = 12
"""More than the server keeps ready: it has to make new ones."""


async def kill_of_node(name: str, stage: Stage) -> str:
    """`kill -9` of one of the Ray node's own processes."""
    tree, pids = _tree(stage), _of_node(stage, name)
    if not pids:
        raise TargetError(f"no {name} runs")
    send_signal(pids, signal.SIGKILL)
    return await _back(stage, tree, set(pids))


async def node_away(stage: Stage) -> str:
    """The Ray node's own processes say nothing for long, though those that it has started run."""
    tree, pids = _tree(stage), _of_node(stage, RAYLET, GCS)
    await stopped(pids, 1.5 * stage.long_seconds)
    return await _back(stage, tree, set())


async def full_disk(name: str, stage: Stage) -> str:
    """There is no byte left on the disk of a service, and then there is room again."""
    disk = next((disk for disk in stage.target.disks if disk.folder.name == name), None)
    if disk is None:
        raise TargetError("the services' disks cannot be filled here: only root may mount some that can")
    said_ready = True
    with Superuser(stage.target.superuser_dsn) as superuser, disk.full():
        if name == "postgres":
            with suppress(StorageError):  # the server refuses, or gives up, as it must
                superuser.fill_log(SEGMENTS)
        ends = time.monotonic() + FULL_SECONDS
        while time.monotonic() < ends:
            said_ready = said_ready and bool((await stage.target.get("/readyz")).get("ready"))
            await asyncio.sleep(1)
    if said_ready:
        stage.object(f"it said that it was ready while the disk of {name} was full")
    began = time.monotonic()
    if not await stage.are_others_served(seconds=ROOM_SECONDS):
        stage.object(f"{ROOM_SECONDS:.0f} s after the disk of {name} had room again nothing was served")
        pid = stage.target.nats_pid if name == "nats" else stage.target.postgres_pid
        send_signal([pid] if pid else [], signal.SIGKILL)  # so that the other faults have their turn
        return "not served again by itself"
    return f"served {time.monotonic() - began:.1f} s after there was room"


async def read_only(stage: Stage) -> str:
    """Postgres may only be read for a while, in the sessions that are open: none is cut."""
    with Superuser(stage.target.superuser_dsn) as superuser, superuser.turned_read_only():
        await asyncio.sleep(READ_ONLY_SECONDS)
    return f"{READ_ONLY_SECONDS:.0f} s"


async def _back(stage: Stage, tree: list[psutil.Process], killed: set[int]) -> str:
    """Wait for the daemon as a service manager does: what ends with an error is started again, and is to leave nothing.

    Notes an objection if it neither serves nor ends in time, ends as if all were well, or leaves processes behind.
    """
    began = time.monotonic()
    while time.monotonic() - began < NODE_SECONDS:
        if stage.target.exit_code is not None:
            return await _started_again(stage, tree, time.monotonic() - began)
        if await _is_well(stage, killed):
            return f"well again by itself after {time.monotonic() - began:.1f} s"
        await asyncio.sleep(POLL_SECONDS)
    stage.object(f"within {NODE_SECONDS:.0f} s it was neither well again nor at its end")
    await stage.target.kill()
    return await _launched(stage, "killed, since it did neither")


async def _started_again(stage: Stage, tree: list[psutil.Process], seconds: float) -> str:
    code = stage.target.exit_code
    if code == 0:
        stage.object("it ended with exit code 0, so that no service manager would start it again")
    with suppress(TargetError):  # then something is left
        await stage.target.until(lambda: not any(map(is_alive, tree)), LEFT_BEHIND_SECONDS, "its processes are gone")
    if left := [process for process in tree if is_alive(process)]:
        stage.object(f"it left {len(left)} processes behind: {', '.join(sorted(map(_told, left)))}")
        send_signal([process.pid for process in left], signal.SIGKILL)
    return await _launched(stage, f"ended with exit code {code} after {seconds:.1f} s")


async def _launched(stage: Stage, why: str) -> str:
    stage.target.launch()
    await stage.target.ready()
    return f"{why}, started again"


async def _is_well(stage: Stage, killed: set[int]) -> bool:
    """Whether it says so, and the node has all its processes again."""
    pids = {name: _of_node(stage, name) for name in (RAYLET, GCS)}
    if not all(set(found) - killed for found in pids.values()):
        return False
    if not (await stage.target.get("/readyz")).get("ready"):
        return False
    return await stage.are_others_served(seconds=NODE_SECONDS / 3)


def _tree(stage: Stage) -> list[psutil.Process]:
    """All that the daemon has started."""
    return psutil.Process(stage.target.pid).children(recursive=True)


def _of_node(stage: Stage, *names: str) -> list[int]:
    try:
        return [process.pid for process in _tree(stage) if _told(process) in names]
    except psutil.NoSuchProcess:
        return []


def _told(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return "gone"


FAULTS: Mapping[str, Act] = {
    "kill raylet": partial(kill_of_node, RAYLET),
    "kill gcs": partial(kill_of_node, GCS),
    "ray away": node_away,
    "full disk under postgres": partial(full_disk, "postgres"),
    "full disk under nats": partial(full_disk, "nats"),
    "postgres turns read-only": read_only,
}
SMALL_DISKS = frozenset({"full disk under postgres", "full disk under nats"})
"""Need disks of the services' own."""
