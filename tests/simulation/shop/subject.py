"""The shop as the subject of a simulation: an application whose pure part and tables are all that is needed for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random

from spark_actors.kernel.messages import Event
from spark_actors.messaging.envelope import Envelope
from tests.shop.application import APPLICATION
from tests.shop.overview.context import CONTEXT as OVERVIEW
from tests.shop.overview.rows import READS, row_of
from tests.simulation.crowd import Message
from tests.simulation.history import History, Onlooker
from tests.simulation.shop.bugs import BUGS
from tests.simulation.shop.checks import Instants, verdict
from tests.simulation.shop.work import Customers
from tests.simulation.subject import Row, Subject
from tests.simulation.wiring import Deployment


class Shop(Subject):
    """Its orders and its stock."""

    application = APPLICATION
    read_models = OVERVIEW.name
    bugs = BUGS

    def stories(self, random: Random) -> list[list[Message]]:
        return Customers(random).stories()

    def rows_of(self, envelope: Envelope, event: Event) -> Sequence[Row]:
        return [row_of(event, envelope.sequence)] if isinstance(event, READS) else []

    def onlooker(self, deployment: Deployment, sent: Mapping[str, Message]) -> Onlooker:
        return Instants(deployment)

    async def verdict(self, deployment: Deployment, history: History) -> Iterable[str]:
        return verdict(deployment, history)


SUBJECT = Shop()
