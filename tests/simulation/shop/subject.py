"""The shop as the subject of a simulation: its pure part and its tables are all that is needed, and its card worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from random import Random

from spark_actors.kernel.messages import Event
from spark_actors.kernel.tasks import Workers
from spark_actors.messaging.envelope import Envelope
from tests.shop.application import APPLICATION
from tests.shop.orders.adapters import CardWorker
from tests.shop.overview.context import CONTEXT as OVERVIEW
from tests.shop.overview.rows import READS, row_of
from tests.simulation.crowd import Message
from tests.simulation.history import History, Onlooker
from tests.simulation.machine import Machine, Process
from tests.simulation.shop.bugs import BUGS
from tests.simulation.shop.cards import CardClient, CardCompanyOfARun
from tests.simulation.shop.checks import Instants, verdict
from tests.simulation.shop.work import Customers
from tests.simulation.subject import Row, Subject
from tests.simulation.wiring import Deployment


class Shop(Subject):
    """Its orders and its stock, and the card company that it works with."""

    application = APPLICATION
    read_models = OVERVIEW.name
    bugs = BUGS

    def stories(self, random: Random) -> list[list[Message]]:
        return Customers(random).stories()

    def outside(self, machine: Machine) -> CardCompanyOfARun:
        return CardCompanyOfARun()

    def workers(self, deployment: Deployment, name: str, process: Process) -> Workers:
        worker = CardWorker(CardClient(deployment.outside, process))
        return Workers(worker.by_task, interval=timedelta(seconds=0.3))

    def rows_of(self, envelope: Envelope, event: Event) -> Sequence[Row]:
        return [row_of(event, envelope.sequence)] if isinstance(event, READS) else []

    def onlooker(self, deployment: Deployment, sent: Mapping[str, Message]) -> Onlooker:
        return Instants(deployment)

    async def verdict(self, deployment: Deployment, history: History) -> Iterable[str]:
        return verdict(deployment, history)


SUBJECT = Shop()
