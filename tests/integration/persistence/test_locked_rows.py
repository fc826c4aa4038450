"""A row that somebody locks for long delays its own commands; nobody else on its host waits, and nothing is lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import psycopg

from spark_actors.actors.aggregate import AggregateActor
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.lookups import HostedContext
from spark_actors.kernel.messages import MessageRegistry
from spark_actors.messaging.envelope import Envelope, Reply
from spark_actors.messaging.routing import Placement, Slot
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from tests.contracts.test_turns import sent
from tests.fixtures.application import CONTEXTS, TABLES
from tests.fixtures.stores import Async
from tests.unit.domain.builders import deposit, funded

REGISTRY = MessageRegistry(message for context in CONTEXTS for message in context.messages)


def a_satoshi(account: str, number: int) -> Envelope:
    return sent(deposit(account_id=account, deposit_id=f"{account}-{number}", amount_sat=1))


class Host:
    """One AggregateActor in a thread of its own, as Ray has it in a process."""

    def __init__(self, dsn: str) -> None:
        self._store = PostgresUnitOfWorkFactory(dsn, "accounting", TABLES["accounting"])
        self._actor = AggregateActor(
            [HostedContext(context, self._store) for context in CONTEXTS if context.name == "accounting"],
            REGISTRY,
            slot=Slot("shared", 0, 100),
            max_attempts=5,
            clock=lambda: datetime.now(UTC),
            telemetry=lambda event: None,
        )

    async def take_turn(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        return await asyncio.to_thread(self._actor.take_turn, context, payload, version)

    async def take_turn_alone(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        return await self.take_turn(slot, context, payload, version)

    async def bury(self, slot: Slot, context: str, payload: bytes, version: int) -> bytes:
        return await asyncio.to_thread(self._actor.bury, context, payload, version)

    def close(self) -> None:
        self._store.close()


def test_while_somebody_holds_an_account_all_others_of_its_slot_go_on_and_it_follows(
    database: str, connection: psycopg.Connection, run: Async
) -> None:
    def balance(account: str) -> int:
        found = connection.execute("SELECT balance_sat FROM accounting.accounts WHERE account_id = %s", (account,))
        return int(found.fetchall()[0][0])

    async def story() -> None:
        host = Host(database)
        dispatcher = Dispatcher(Placement(1, 10), host, max_commands=100, telemetry=lambda event: None)
        await dispatcher.send([sent(command) for name in ("ann", "bob", "cid") for command in funded(name, 100)])
        late: list[asyncio.Future[Reply]] = []
        with psycopg.connect(database) as outsider:
            outsider.execute("SELECT FROM accounting.accounts WHERE account_id = 'bob' FOR UPDATE")
            for number in range(20):
                held, *done = await dispatcher.post([a_satoshi(name, number) for name in ("bob", "ann", "cid")])
                assert [answer.verdict for answer in done if isinstance(answer, Reply)] == ["done", "done"]
                assert isinstance(held, asyncio.Future)
                late.append(held)
            assert (balance("ann"), balance("bob"), balance("cid")) == (120, 100, 120)
        assert [reply.verdict for reply in await asyncio.gather(*late)] == ["done"] * 20
        assert balance("bob") == 120
        await dispatcher.close()
        host.close()

    run(story())
