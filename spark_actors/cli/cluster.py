"""`spark-actors node`, `nodes`, `drain`, `move`: the machines of a cluster, and what lives where."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spark_actors.cli.daemon import Target, known_dsns
from spark_actors.cli.desk import operator_of
from spark_actors.cli.errors import CliError, UsageMistakeError
from spark_actors.cli.options import ByOption, ConfigOption, DataDirOption, JsonOption, WhyOption

if TYPE_CHECKING:
    from config.settings import Settings
    from spark_actors.persistence.cluster_desk import ClusterDesk, KnownNode

LOOK_SECONDS = 0.5
NODE_EXAMPLES = """
On the head: [bold]spark-actors run --listen 10.0.0.1[/]; it writes join.toml into its data dir. Copy that file to the
node, and there: [bold]spark-actors node --config join.toml[/]

SIGTERM hands over what lives there, then ends it.
"""
DRAIN_EXAMPLES = """
spark-actors drain 10.0.0.3 --why "new disk"
"""
PREPARE_EXAMPLES = """
[bold]spark-actors prepare-node /var/lib/spark-node --config spark.toml[/]

[bold]SPARK_NODE_FOLDER=/var/lib/spark-node ray start --address 10.0.0.1:6379 --num-cpus 0 --block[/]

The settings must be the daemon's, with identity.keys; once more, and Ray anew, whenever they change.
"""
SCALE_EXAMPLES = """
spark-actors scale shared=4 --why "a busy evening"

Only the keys move that must: from 2 to 4 half of them. Each AggregateActor is a process of about 70 MB that takes a
core at most under full load; more of them than there is work for make turns smaller, and so everything dearer.
"""
MOST_SLOTS = 4096
MOVE_EXAMPLES = """
spark-actors move spark/pool/aggregate/shared-0 10.0.0.3 --why "the other one is busy"
"""
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]
PatienceOption = Annotated[float, typer.Option("--timeout", help="Seconds to wait at most.", min=1)]


def node(
    join: Annotated[str | None, typer.Option("--join", help="The head: HOST or HOST:PORT.", show_default=False)] = None,
    listen: Annotated[
        str | None, typer.Option("--listen", help="This machine's address for the others.", show_default=False)
    ] = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Be a node of a head on another machine, in the foreground."""
    target = Target(data_dir, config)

    def read() -> Settings:
        return target.settings(cluster__join=join, cluster__listen=listen)

    settings = read()
    membership = {"cluster.join": settings.cluster.join, "cluster.token": settings.cluster.token.get_secret_value()}
    if missing := _missing({**membership, **_services(settings)}):
        raise UsageMistakeError(
            f"{missing} is not set: name the head's join.toml with --config (see `spark-actors node -h`)"
        )
    from spark_actors.node import run_node  # takes a moment: only after the settings have proved good

    raise typer.Exit(run_node(read))


def prepare_node(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where Ray's actors find it, on this machine.")],
    config: ConfigOption = None,
) -> None:
    """Write what actors need to know on a machine where somebody else starts Ray. It holds secrets."""
    settings = Target(folder, config).settings()
    if missing := _missing(_services(settings)):
        raise UsageMistakeError(f"{missing} is not set: the settings must be those of the daemon (--config)")
    from spark_actors.node import prepare_node as prepare

    prepare(settings)
    print(f"ready: start Ray here with SPARK_NODE_FOLDER={settings.data_dir}")


def _services(settings: Settings) -> dict[str, object]:
    return {"postgres.dsn": not settings.needs_embedded_postgres, "nats.url": settings.nats.url}


def _missing(wanted: Mapping[str, object]) -> str:
    return " and ".join(name for name, value in wanted.items() if not value)


def nodes(as_json: JsonOption = False, data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """List the machines of the cluster, and those that have gone within a day."""
    from spark_actors.cli.output import console, print_json
    from spark_actors.cli.render import render_rows

    found = desk(Target(data_dir, config)).nodes()
    if as_json:
        print_json([_told(each) for each in found])
    else:
        console().print(render_rows([_shown(each) for each in found], title="nodes"))


def drain(
    name: Annotated[str, typer.Argument(metavar="NODE", help="Its name, address, or the beginning of its id.")],
    why: WhyOption,
    wait: WaitOption = True,
    timeout: PatienceOption = 60,
    by: ByOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have everything move away from a node, which then ends."""
    operator, cluster = operator_of(by, why), desk(Target(data_dir, config))
    wanted = cluster.node(name)
    if len([each for each in cluster.nodes() if each.state in ("active", "draining", "drained")]) < 2:
        raise CliError(f"{wanted.name} is the only node: there is nowhere to move to")
    cluster.drain(wanted, operator)

    def rest() -> str:
        now = next((each for each in cluster.nodes() if each.node_id == wanted.node_id), None)
        gone = now is None or now.state in ("drained", "gone")
        return "" if gone or now is None else f"{wanted.name}: {now.state}, {now.actors} actors left"

    _follow(rest, wait=wait, timeout=timeout, as_json=as_json, done=f"{wanted.name} is empty")


def move(
    place: Annotated[str, typer.Argument(metavar="PLACE", help="As `status` names it.")],
    name: Annotated[str, typer.Argument(metavar="NODE", help="Its name, address, or the beginning of its id.")],
    why: WhyOption,
    wait: WaitOption = True,
    timeout: PatienceOption = 60,
    by: ByOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have an actor live on another node from now on, as long as that is there."""
    operator, cluster = operator_of(by, why), desk(Target(data_dir, config))
    wanted = cluster.node(name)
    cluster.move(place, wanted, operator)

    def rest() -> str:
        now = next((each for each in cluster.places() if each.place == place), None)
        return "" if now and now.node_id == wanted.node_id else f"{place} is not on {wanted.name} yet"

    _follow(rest, wait=wait, timeout=timeout, as_json=as_json, done=f"{place} is on {wanted.name}")


def scale(
    wanted: Annotated[str, typer.Argument(metavar="POOL=N", help="`shared=4`, or `dedicated-<context>=2`.")],
    why: WhyOption,
    wait: WaitOption = True,
    timeout: PatienceOption = 60,
    by: ByOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have a pool of AggregateActors grow or shrink while they work; the settings count no more for it."""
    target = Target(data_dir, config)
    pool, _, number = wanted.partition("=")
    pools = ("shared", *(f"dedicated-{kind}" for kind in target.settings().placement.dedicated_kinds))
    if pool not in pools or not (number.isascii() and number.isdigit() and 1 <= int(number) <= MOST_SLOTS):
        raise UsageMistakeError(
            f"expected POOL=N with a pool of {', '.join(pools)} and 1 to {MOST_SLOTS}, got {wanted!r}"
        )
    operator, cluster, slots = operator_of(by, why), desk(target), int(number)
    cluster.scale(pool, slots, operator)

    def rest() -> str:
        there = sum(each.place.startswith(f"spark/pool/aggregate/{pool}-") for each in cluster.places())
        return "" if there == slots else f"{pool}: {there} actors, {slots} wanted"

    _follow(rest, wait=wait, timeout=timeout, as_json=as_json, done=f"{pool} has {slots} actors")


def desk(target: Target) -> ClusterDesk:
    """The tables in which the cluster is written down. Raises NoDaemonError if it is not known where they are."""
    from spark_actors.messaging.ports import INGRESS
    from spark_actors.persistence.cluster_desk import ClusterDesk

    return ClusterDesk(known_dsns(target)[INGRESS])


def _follow(rest: Callable[[], str], *, wait: bool, timeout: float, as_json: bool, done: str) -> None:
    """Tell how far it is until nothing is left to do. Raises CliError if that takes too long."""
    from spark_actors.cli.output import console, print_json

    told, deadline = "", time.monotonic() + timeout
    while wait and (left := rest()):
        if left != told and not as_json:
            console().print(left)
        told = left
        if time.monotonic() > deadline:
            raise CliError(f"after {timeout:g} s: {left}; it goes on (`spark-actors nodes` tells how far it is)")
        time.sleep(LOOK_SECONDS)
    if as_json:
        print_json({"done": wait, "detail": done if wait else "wished"})
    else:
        console().print(done if wait else "wished: the daemon does it")


def _told(node: KnownNode) -> dict[str, Any]:
    return {
        **asdict(node),
        "since": node.since.isoformat(),
        "joined_at": node.joined_at.isoformat(),
    }


def _shown(node: KnownNode) -> dict[str, Any]:
    memory = f"{node.memory_bytes / 2**30:.1f} GiB" if node.memory_bytes else "?"
    return {
        "node": node.name,
        "address": node.address,
        "id": node.node_id[:8],
        "state": f"{node.state}: {node.reason}" if node.reason else node.state,
        "since": node.since.isoformat(timespec="seconds"),
        "release": node.release or "?",
        "slots": node.slots,
        "actors": node.actors,
        "cpu": "?" if node.cpu_percent is None else f"{node.cpu_percent:.0f} %",
        "memory": memory,
        "heartbeat": "none" if node.silent_seconds is None else f"{node.silent_seconds:.1f} s ago",
    }
