"""The bitcoin context, ready to be run."""

from __future__ import annotations

from datetime import timedelta
from random import SystemRandom

from domain.bitcoin.adapters.tables import INVOICES
from domain.bitcoin.context import CONTEXT
from domain.bitcoin.lightning import task_for
from domain.bitcoin.ports import LightningNode
from spark_actors.application import Edge, InstalledContext, Reactions
from spark_actors.messaging.ports import Clock


def lightning_node(edge: Edge, clock: Clock) -> LightningNode:
    """The node that the settings name, with a clock of its own; it is closed when the process ends."""
    from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings

    wanted = edge.settings.lightning.simulated
    node = SimulatedLightningNode(
        edge.data_dir / "simulated-node.sqlite3",
        SimulatedSettings(
            payment_delay=timedelta(seconds=wanted.payment_delay_seconds),
            latency=timedelta(seconds=wanted.latency_seconds),
            failure_rate=wanted.failure_rate,
            unknown_rate=wanted.unknown_rate,
            largest_invoice_sat=wanted.largest_invoice_sat,
        ),
        clock=clock,
        random=SystemRandom(),
    )
    edge.at_end(node.close)
    return node


async def reactions(edge: Edge, node: LightningNode | None = None) -> Reactions:
    """What lists tasks for the Lightning node, and the loop that works them off; *node* stands in for that of the
    settings."""
    from domain.bitcoin.adapters.listing import TaskListing
    from domain.bitcoin.adapters.tasks import PostgresLightningTasks
    from domain.bitcoin.adapters.worker import LightningWorker, WorkerSettings
    from spark_actors.actors.loop import Loop

    wanted = edge.settings.lightning
    tasks = PostgresLightningTasks(await edge.pool())
    worker = LightningWorker(
        tasks,
        node or lightning_node(edge, edge.clock),
        edge.sender,
        settings=WorkerSettings(
            invoice_expiry=timedelta(seconds=wanted.invoice_expiry_seconds),
            watch_interval=timedelta(seconds=wanted.watch_interval_seconds),
            call_timeout=timedelta(seconds=wanted.call_timeout_seconds),
            max_concurrent_calls=wanted.max_concurrent_calls,
        ),
        clock=edge.clock,
        telemetry=edge.telemetry,
        pass_point=edge.pass_point,
    )
    loop = Loop("lightning", worker.step)
    return Reactions([TaskListing(task_for, tasks, edge.clock, loop.wake)], [loop])


INSTALLED = InstalledContext(context=CONTEXT, table=INVOICES, migrations=__package__, reactions=reactions)
