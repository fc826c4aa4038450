"""Satoshi Spark as the subject of a simulation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any, cast

from domain.application import APPLICATION
from domain.bitcoin.adapters.receipts import CatchUp
from domain.bitcoin.adapters.requests import read
from domain.bitcoin.adapters.worker import LightningWorker, Patience
from domain.bitcoin.invoice import Invoice
from domain.dashboard.projection import Occurrence, rows_of
from spark_actors.actors.loop import Loop
from spark_actors.kernel.messages import Event
from spark_actors.kernel.tasks import Workers
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import CommandSender
from tests.fixtures.lightning import MemoryReceiptsRead, MemoryStatement
from tests.simulation.crowd import Message
from tests.simulation.history import History, Onlooker
from tests.simulation.machine import Machine, Process
from tests.simulation.satoshi_spark.bugs import BUGS
from tests.simulation.satoshi_spark.checks import verdict
from tests.simulation.satoshi_spark.instants import Instants
from tests.simulation.satoshi_spark.node import NodeClient, NodeOfARun, PermitsOfARun
from tests.simulation.satoshi_spark.work import Donors
from tests.simulation.subject import Row, Subject
from tests.simulation.wiring import Deployment, ignore

PATIENCE = Patience(
    invoice_expiry=timedelta(seconds=8),
    call_timeout=timedelta(seconds=2),
    look_up_timeout=timedelta(seconds=3),
    watch_expired=timedelta(seconds=6),
    watch_expired_every=timedelta(seconds=2),
    clock_skew=timedelta(seconds=3),
)


class SatoshiSpark(Subject):
    """Its money, and the Lightning node that it works with."""

    application = APPLICATION
    read_models = "dashboard"
    bugs = BUGS

    def stories(self, random: Random) -> list[list[Message]]:
        return Donors(random).stories()

    def outside(self, machine: Machine) -> NodeOfARun:
        return NodeOfARun(machine)

    def workers(self, deployment: Deployment, name: str, process: Process) -> Workers:
        node: Any = NodeClient(deployment.outside, process)
        worker = LightningWorker(
            node,
            PermitsOfARun(deployment.remote(deployment.outside.permits, process, "permits"), process),
            MemoryStatement(),
            read,
            patience=PATIENCE,
            clock=process.clock,
            telemetry=ignore,
        )
        return Workers(worker.by_task, interval=timedelta(seconds=0.3))

    def loops(self, deployment: Deployment, name: str, process: Process, sender: CommandSender) -> Sequence[Loop]:
        if name != "bitcoin":
            return ()
        node: Any = NodeClient(deployment.outside, process)
        schema = deployment.schema(name)

        def invoices() -> Iterable[Invoice]:
            return (cast(Invoice, held.state) for held in schema.instances.values())

        def story_of(invoice_id: str) -> str:
            stories = [it for it in schema.sagas.rows.values() if it.saga_id == invoice_id]
            return min(stories, key=lambda it: it.started_at).correlation_id

        receipts = deployment.remote(MemoryReceiptsRead(invoices, story_of), process, "receipts")
        catch_up = CatchUp(node, receipts, sender, call_timeout=timedelta(seconds=3), clock=process.clock)
        return [Loop("receipts of the node", catch_up.step)]

    def rows_of(self, envelope: Envelope, event: Event) -> Sequence[Row]:
        seen = Occurrence(
            envelope.message_id,
            envelope.correlation_id,
            envelope.causation_id,
            envelope.sequence,
            envelope.occurred_at,
            envelope.data.decode(),
        )
        return rows_of(event, seen)

    def onlooker(self, deployment: Deployment, sent: Mapping[str, Message]) -> Onlooker:
        return Instants(deployment, sent)

    async def verdict(self, deployment: Deployment, history: History) -> Iterable[str]:
        return verdict(deployment, history, await deployment.outside.books())


SUBJECT = SatoshiSpark()
