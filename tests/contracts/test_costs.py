"""What things cost, in counts rather than in time: round trips and statements a turn, calls and garbage a command."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec
import psycopg
import pytest

from domain.bitcoin.invoice import MAX_OPEN_DEPOSITS
from domain.crowdfunding.messages import RegisterDonation
from spark_actors.actors.aggregate import AggregateActor
from spark_actors.actors.lookups import HostedContext
from spark_actors.kernel.decisions import DONE
from spark_actors.kernel.messages import Command, MessageRegistry
from spark_actors.messaging.envelope import (
    Delivery,
    Envelope,
    Receipt,
    Reply,
    pack,
    unpack_deliveries,
    unpack_envelopes,
    unpack_replies,
)
from spark_actors.messaging.routing import Slot
from spark_actors.persistence.connections import Statement, TurnConnection
from spark_actors.persistence.postgres_unit_of_work import PostgresUnitOfWorkFactory
from tests.contracts.test_turns import sent
from tests.fixtures.application import CONTEXTS, TABLES
from tests.fixtures.daemon import eventually
from tests.unit.actors.test_dispatcher import FakeHosts, a_command, a_dispatcher
from tests.unit.domain.builders import create_campaign, deposit, donate, funded, register, request_deposit

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
REGISTRY = MessageRegistry(message for context in CONTEXTS for message in context.messages)
BY_NAME = {context.name: context for context in CONTEXTS}


class Meter:
    """Counts what an AggregateActor asks of Postgres."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.round_trips = 0
        self.statements = 0
        fetch, transact = TurnConnection.fetch, TurnConnection.transact

        def counting_fetch(connection: TurnConnection, statement: Statement) -> list[tuple[object, ...]]:
            self.round_trips += 1
            self.statements += 1
            return fetch(connection, statement)

        def counting_transact(
            connection: TurnConnection, statements: Sequence[Statement], afterwards: Sequence[Statement] = ()
        ) -> None:
            self.round_trips += 1
            self.statements += len(statements) + len(afterwards) + len(("BEGIN", "COMMIT"))
            transact(connection, statements, afterwards)

        monkeypatch.setattr(TurnConnection, "fetch", counting_fetch)
        monkeypatch.setattr(TurnConnection, "transact", counting_transact)

    def read(self) -> tuple[int, int]:
        """Round trips and statements since the last reading."""
        counts = self.round_trips, self.statements
        self.round_trips = self.statements = 0
        return counts


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    return Meter(monkeypatch)


@pytest.fixture
def actor(emptied_database: str) -> Iterator[AggregateActor]:
    factory = PostgresUnitOfWorkFactory(emptied_database, "accounting", TABLES["accounting"])
    yield an_actor(factory)
    factory.close()


def an_actor(factory: PostgresUnitOfWorkFactory, context: str = "accounting") -> AggregateActor:
    return AggregateActor(
        [HostedContext(BY_NAME[context], factory)],
        REGISTRY,
        slot=Slot("shared", 0, 10_000),
        max_attempts=5,
        clock=lambda: NOW,
        telemetry=lambda event: None,
    )


def take(actor: AggregateActor, commands: Sequence[Command]) -> None:
    actor.take_turn(commands[0].TYPE.context, pack([sent(command) for command in commands]), 0)


@pytest.mark.parametrize("size", [1, 500])
def test_a_turn_on_active_instances_is_one_round_trip_whatever_its_size(
    actor: AggregateActor, meter: Meter, size: int
) -> None:
    take(actor, [command for number in range(size) for command in funded(f"a{number}", 10)])
    meter.read()
    take(actor, [deposit(account_id=f"a{number}", deposit_id=f"more-{number}") for number in range(size)])
    round_trips, statements = meter.read()
    assert round_trips == 1
    assert statements == len(["BEGIN", "inbox", "states", "books", "outbox", "COMMIT", "NOTIFY"])


@pytest.mark.parametrize("size", [1, 500])
def test_donations_cost_one_row_each_and_one_statement_a_turn_more_than_the_rest(
    emptied_database: str, meter: Meter, size: int
) -> None:
    factory = PostgresUnitOfWorkFactory(emptied_database, "crowdfunding", TABLES["crowdfunding"])
    campaigns = an_actor(factory, "crowdfunding")
    take(campaigns, [create_campaign()])
    gifts = [donate(donation_id=f"gift-{number}", amount_sat=1) for number in range(size)]
    meter.read()
    take(campaigns, gifts)
    assert meter.read() == (1, len(["BEGIN", "inbox", "looked at", "requests", "outbox", "COMMIT", "NOTIFY"]))
    take(campaigns, [RegisterDonation(**vars(gift)) for gift in gifts])
    assert meter.read() == (1, len(["BEGIN", "inbox", "states", "donations", "outbox", "COMMIT", "NOTIFY"]))
    factory.close()


def test_a_turn_looks_for_its_messages_in_the_inboxes_of_other_weeks_alone(database: str) -> None:
    """This week's inbox, the big one, is only inserted into: its primary key says whether a message is known."""
    factory = PostgresUnitOfWorkFactory(database, "accounting", TABLES["accounting"])
    take(an_actor(factory), [command for number in range(100) for command in funded(f"a{number}", 10)])
    factory.close()  # at the end of its session the server has counted all of it
    used = """
        SELECT n_tup_ins, idx_scan FROM pg_stat_user_tables
        WHERE schemaname = 'accounting' AND relname = 'inbox_' || to_char(accounting.week_of(now()), 'YYYYMMDD')
    """
    with psycopg.connect(database, autocommit=True) as connection:
        assert eventually(lambda: connection.execute(used).fetchone() == (200, 0), timeout=5)


def test_activating_instances_costs_one_round_trip_more(actor: AggregateActor, meter: Meter) -> None:
    take(actor, [command for number in range(100) for command in funded(f"a{number}", 10)])
    assert meter.read()[0] == 2


def test_a_redelivered_batch_costs_a_few_round_trips_not_one_a_command(actor: AggregateActor, meter: Meter) -> None:
    commands = [command for number in range(100) for command in funded(f"a{number}", 10)]
    take(actor, commands)
    meter.read()
    take(actor, commands)
    assert meter.read()[0] <= 3


def test_many_refusals_by_the_store_cost_a_few_round_trips_not_one_a_command(
    emptied_database: str, meter: Meter
) -> None:
    factory = PostgresUnitOfWorkFactory(emptied_database, "auth", TABLES["auth"])
    actor = an_actor(factory, "auth")
    take(actor, [register(account_id=f"old-{number}", username=f"name-{number}") for number in range(249)])
    good = meter.read()
    take(actor, [register(account_id=f"new-{number}", username=f"name-{number}") for number in range(250)])
    refused = meter.read()
    factory.close()
    assert (good[0], refused[0]) == (2, len(["load", "refused", "who offends", "commit"]))
    assert refused[1] <= 4 * good[1]


def test_deposits_that_are_too_many_cost_a_few_round_trips_not_one_a_command(
    emptied_database: str, meter: Meter
) -> None:
    factory = PostgresUnitOfWorkFactory(emptied_database, "bitcoin", TABLES["bitcoin"])
    actor = an_actor(factory, "bitcoin")
    take(actor, [request_deposit(invoice_id=f"i{number}") for number in range(MAX_OPEN_DEPOSITS)])
    meter.read()
    take(actor, [request_deposit(invoice_id=f"more-{number}") for number in range(250)])
    refused = meter.read()
    factory.close()
    assert refused[0] == len(["load", "refused", "who offends", "commit"])


OPENS = """
    INSERT INTO bitcoin.invoices (invoice_id, version, kind, state, account_id, amount_sat, requested_at)
    SELECT %s || n, 1, 'deposit', %s, 'ann', 5, now() FROM generate_series(1, %s) AS n
"""


def test_whether_there_is_room_is_read_from_what_is_open_whatever_has_ended(database: str) -> None:
    """In a table whose rows nobody has counted yet, too."""
    read = "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'bitcoin.invoices'::regclass"
    with psycopg.connect(database) as connection:
        connection.execute(OPENS, ["ended-", "expired", 5_000])
        connection.execute(OPENS, ["open-", "requested", 10])
    with psycopg.connect(database) as connection:
        connection.execute(OPENS, ["new-", "requested", 5])
        assert connection.execute(read).fetchone() == (0, 10 + 5)


def test_two_who_open_deposits_of_one_account_do_not_wait_for_each_other(database: str) -> None:
    with psycopg.connect(database) as one, psycopg.connect(database) as other:
        one.execute(OPENS, ["a", "requested", MAX_OPEN_DEPOSITS])
        other.execute("SET lock_timeout = '1ms'")
        other.execute(OPENS, ["b", "requested", MAX_OPEN_DEPOSITS])  # the slack: what is not committed is not counted
        other.commit()
        one.commit()
        with pytest.raises(psycopg.errors.CheckViolation, match="too many open deposits"):
            one.execute(OPENS, ["c", "requested", 1])


def test_what_is_moved_by_hand_costs_one_statement_a_turn_and_what_is_not_costs_none(
    actor: AggregateActor, meter: Meter
) -> None:
    take(actor, funded("ann", 10))
    by_hand = [
        msgspec.structs.replace(sent(deposit(deposit_id=f"d{number}")), sender="operator root", why="an audit")
        for number in range(50)
    ]
    meter.read()
    actor.take_turn("accounting", pack(by_hand), 0)
    assert meter.read() == (1, 8)


def test_the_cost_of_a_command_does_not_grow_with_the_history(actor: AggregateActor, meter: Meter) -> None:
    take(actor, funded("ann", 10))
    for number in range(20):
        take(actor, [deposit(deposit_id=f"d{number}-{index}") for index in range(50)])
    meter.read()
    take(actor, [deposit(deposit_id="last")])
    assert meter.read() == (1, 7)


def test_a_thousand_commands_that_wait_are_a_few_calls() -> None:
    async def play() -> list[list[str]]:
        hosts = FakeHosts()
        hosts.gate.clear()
        dispatcher = a_dispatcher(hosts, max_commands=500)
        sent_first = dispatcher.post([a_command(0)])
        while hosts.running == 0:
            await asyncio.sleep(0)
        others = [dispatcher.post([a_command(number)]) for number in range(1, 1001)]
        hosts.gate.set()
        await asyncio.gather(sent_first, *others)
        return hosts.batches

    assert [len(batch) for batch in asyncio.run(play())] == [1, 500, 500]


COMMANDS = [sent(deposit(deposit_id=f"d{number}")) for number in range(500)]


@pytest.mark.parametrize(
    ("unpack", "batch"),
    [
        (unpack_envelopes, COMMANDS),
        (unpack_replies, [Reply.of(each.message_id, DONE) for each in COMMANDS]),
        (unpack_deliveries, [Delivery(each.message_id, Receipt.TAKEN) for each in COMMANDS]),
    ],
    ids=["commands", "replies", "deliveries"],
)
def test_the_garbage_collector_has_nothing_to_look_at_in_a_batch(
    unpack: Callable[[bytes], Sequence[object]], batch: Sequence[Envelope] | Sequence[Reply] | Sequence[Delivery]
) -> None:
    payload = pack(batch)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        unpacked = unpack(payload)
        tracked = len(gc.get_objects()) - before
    finally:
        gc.enable()
    assert len(unpacked) == len(batch)
    assert tracked < 10
