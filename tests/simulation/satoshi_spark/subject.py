"""Satoshi Spark as the subject of a simulation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

from domain.application import APPLICATION
from domain.bitcoin.adapters.listing import TaskListing
from domain.bitcoin.adapters.worker import LightningWorker, WorkerSettings
from domain.bitcoin.lightning import task_for
from domain.dashboard.projection import Occurrence, rows_of
from spark_actors.actors.context import Part
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.loop import Loop
from spark_actors.kernel.messages import Event
from spark_actors.messaging.envelope import Envelope
from tests.simulation.crowd import Message
from tests.simulation.history import History, Onlooker
from tests.simulation.machine import Machine, Process
from tests.simulation.satoshi_spark.bugs import BUGS
from tests.simulation.satoshi_spark.checks import verdict
from tests.simulation.satoshi_spark.instants import Instants
from tests.simulation.satoshi_spark.node import BooksOfTheNode, NodeClient
from tests.simulation.satoshi_spark.work import Donors
from tests.simulation.subject import Row, Subject
from tests.simulation.wiring import Deployment, ignore

LIGHTNING = "bitcoin"
INVOICE_EXPIRY = timedelta(seconds=8)


class SatoshiSpark(Subject):
    """Its money, and the Lightning node that it works with."""

    application = APPLICATION
    read_models = "dashboard"
    bugs = BUGS

    def stories(self, random: Random) -> list[list[Message]]:
        return Donors(random).stories()

    def outside(self, machine: Machine) -> BooksOfTheNode:
        return BooksOfTheNode(machine)

    def reactions(
        self, deployment: Deployment, name: str, process: Process, dispatcher: Dispatcher
    ) -> tuple[Sequence[Part], Sequence[Loop]]:
        if name != LIGHTNING:
            return (), ()
        tasks = deployment.remote(deployment.schema(name).tasks, process, "tasks")
        worker = self._worker(deployment, tasks, dispatcher, process)
        loops = [Loop("lightning", worker.step)]
        return [TaskListing(task_for, tasks, process.clock, loops[0].wake)], loops

    def _worker(self, deployment: Deployment, tasks: Any, dispatcher: Dispatcher, process: Process) -> LightningWorker:
        node: Any = NodeClient(deployment.outside, process)
        settings = WorkerSettings(
            invoice_expiry=INVOICE_EXPIRY, watch_interval=timedelta(seconds=0.3), call_timeout=timedelta(seconds=2)
        )
        return LightningWorker(
            tasks,
            node,
            dispatcher,
            settings=settings,
            clock=process.clock,
            telemetry=ignore,
            pass_point=process.pass_point,
        )

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
