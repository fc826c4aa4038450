"""Turns of an AggregateActor, on both kinds of stores and with either application: grouped, yet each command keeps its
own fate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec
import pytest

from spark_actors.actors.aggregate import AggregateActor
from spark_actors.actors.lookups import HostedContext
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.kernel.messages import Command, MessageRegistry
from spark_actors.messaging.envelope import Envelope, Reply, encode_data, pack, unpack_replies
from spark_actors.messaging.routing import Slot
from spark_actors.messaging.telemetry import InstancesMoved, TelemetryEvent, TurnTaken
from spark_actors.messaging.unit_of_work import UnitOfWork
from tests.fixtures.application import CONTEXTS
from tests.fixtures.business import Business, with_each_business
from tests.fixtures.stores import Stores
from tests.unit.domain.builders import (
    create_campaign,
    deposit,
    donate,
    funded,
    request_deposit,
    request_withdrawal,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
REGISTRY = MessageRegistry(message for context in CONTEXTS for message in context.messages)
BY_NAME = {context.name: context for context in CONTEXTS}


class Wrapped:
    """A unit of work that a test changes in one place."""

    def __init__(self, inner: UnitOfWork[Any]) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.inner.__exit__(kind, error, trace)


class Host:
    """An AggregateActor over a store, with what it told."""

    def __init__(
        self, stores: Stores, *, capacity: int = 100, wrap: Callable[[UnitOfWork[Any]], Any] = lambda u: u
    ) -> None:
        self.told: list[TelemetryEvent] = []
        self._stores = stores
        business = stores.business
        self.actor = AggregateActor(
            [HostedContext(context, self._factory(name, wrap)) for name, context in business.contexts.items()],
            business.registry,
            slot=Slot("shared", 0, capacity),
            max_attempts=5,
            clock=lambda: NOW,
            telemetry=self.told.append,
        )

    def take(self, *commands: Command | Envelope) -> list[Reply]:
        envelopes = [command if isinstance(command, Envelope) else sent(command) for command in commands]
        return unpack_replies(self.actor.take_turn(envelopes[0].context, pack(envelopes), 0))

    def verdicts(self, *commands: Command | Envelope) -> list[tuple[str, str]]:
        return [(reply.verdict.value, reply.reason) for reply in self.take(*commands)]

    @property
    def turns(self) -> list[TurnTaken]:
        return [event for event in self.told if isinstance(event, TurnTaken)]

    def _factory(self, context: str, wrap: Callable[[UnitOfWork[Any]], Any]) -> Callable[[], Any]:
        return lambda: wrap(self._stores.unit_of_work(context))


def sent(command: Command, message_id: str = "") -> Envelope:
    identity = message_id or f"{command.TYPE.name}/{command}"
    kind = command.TYPE
    return Envelope(identity, kind.name, kind.version, command.key, encode_data(command), identity, "", NOW)


def balance(stores: Stores, key: str) -> int:
    """The amount that an instance has."""
    business = stores.business
    return business.amount(stores.unit_of_work(business.context).repository.load([key])[key].state)


def events(stores: Stores, context: str) -> list[str]:
    reader = stores.outbox_reader(context)
    return [row.envelope.name for row in stores.run(reader.pending(skip=(), limit=1000))]


@with_each_business
def test_commands_of_one_instance_run_in_order_on_what_the_one_before_left(stores: Stores, business: Business) -> None:
    host = Host(stores)
    commands = [*business.opened("ann", 100), business.less("ann", "w1", 60), business.less("ann", "w2", 60)]
    assert host.verdicts(*commands) == [("done", ""), ("done", ""), ("done", ""), ("rejected", business.too_much)]
    assert balance(stores, "ann") == 40
    assert events(stores, business.context) == list(business.happened)


@with_each_business
def test_a_redelivered_command_takes_effect_once_and_answers_the_same(stores: Stores, business: Business) -> None:
    first = Host(stores).take(*business.opened("ann", 100), business.less("ann", "w1", 500))
    again = Host(stores).take(
        *business.opened("ann", 100), business.less("ann", "w1", 500), business.less("ann", "w2", 30)
    )
    assert again[:3] == first
    assert again[3].verdict is Verdict.DONE
    assert balance(stores, "ann") == 70


@with_each_business
def test_a_command_that_stands_twice_in_a_batch_takes_effect_once(stores: Stores, business: Business) -> None:
    host = Host(stores)
    replies = host.take(*business.opened("ann", 100), business.more("ann", "d1", 100), business.more("ann", "d1", 100))
    assert [reply.verdict for reply in replies] == [Verdict.DONE] * 4
    assert balance(stores, "ann") == 200
    assert host.turns[0].duplicates == 1


@with_each_business
def test_a_command_that_trips_a_constraint_leaves_its_neighbours_untouched(stores: Stores, business: Business) -> None:
    host = Host(stores)
    first = business.named("ann", "Ann")
    host.take(first)
    newcomers = [business.named(f"n{number}", f"name-{number}") for number in range(6)]
    verdicts = host.verdicts(*newcomers[:3], business.named("thief", "Ann"), *newcomers[3:])
    assert verdicts == [("done", "")] * 3 + [("rejected", business.taken)] + [("done", "")] * 3
    assert len(events(stores, first.TYPE.context)) == 7


def test_the_second_who_uses_a_donations_id_is_refused_in_the_same_turn_and_in_any_later(stores: Stores) -> None:
    host = Host(stores)
    host.take(create_campaign())
    gifts = [donate(donation_id=name) for name in ("one", "two", "three")]
    second = donate(donation_id="one", account_id="eve")
    refused = ("rejected", "already_requested")
    assert host.verdicts(gifts[0], gifts[1], second, gifts[2]) == [("done", ""), ("done", ""), refused, ("done", "")]
    assert Host(stores).verdicts(gifts[0], sent(gifts[1], "again"), donate(donation_id="four")) == [
        ("done", ""),  # delivered again: answered as before
        refused,
        ("done", ""),
    ]
    assert events(stores, "crowdfunding").count("crowdfunding.donation-requested") == 4


def test_the_second_who_uses_the_id_of_a_campaign_or_an_invoice_is_refused(stores: Stores) -> None:
    mine = (create_campaign(), request_deposit(), request_withdrawal())
    assert [Host(stores).verdicts(command) for command in mine] == [[("done", "")]] * 3
    theirs = [replace(command, account_id="eve") for command in mine]
    assert [Host(stores).verdicts(command) for command in theirs] == [
        [("rejected", "duplicate_campaign")],
        [("rejected", "duplicate_invoice")],
        [("rejected", "duplicate_invoice")],
    ]
    assert len(events(stores, "crowdfunding")) == 1
    assert len(events(stores, "bitcoin")) == 2


def test_an_idempotency_key_is_remembered_beyond_the_inbox(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100), sent(deposit(), "first"))
    assert host.verdicts(sent(deposit(), "second")) == [("rejected", "duplicate_deposit")]
    assert balance(stores, "ann") == 200


@with_each_business
def test_a_command_that_cannot_be_read_fails_and_only_its_key_waits(stores: Stores, business: Business) -> None:
    host = Host(stores)
    broken = msgspec.structs.replace(sent(business.more("ann", "d9", 100)), data=b'{"quantity": {}}')
    verdicts = host.verdicts(
        *business.opened("ann", 100),
        *business.opened("bob", 7),
        broken,
        business.more("ann", "d2", 100),
        business.less("bob", "w1", 100),
    )
    assert [verdict for verdict, _ in verdicts] == ["done"] * 4 + ["failed", "parked", "rejected"]
    assert verdicts[4] == ("failed", "malformed")
    assert balance(stores, "ann") == 100


@with_each_business
def test_a_command_that_this_version_does_not_know_fails_alone(stores: Stores, business: Business) -> None:
    host = Host(stores)
    unknown = Envelope("m", f"{business.context}.print-money", 1, "ann", b"{}", "c", "", NOW)
    assert host.verdicts(*business.opened("ann", 100), unknown) == [
        ("done", ""),
        ("done", ""),
        ("failed", "unknown_message"),
    ]


@with_each_business
def test_a_stale_writer_is_refused_and_decides_again_on_the_truth(stores: Stores, business: Business) -> None:
    zombie, successor = Host(stores), Host(stores)
    zombie.take(*business.opened("ann", 100))
    successor.take(sent(business.less("ann", "w1", 100)))
    assert zombie.verdicts(sent(business.less("ann", "w2", 100))) == [("rejected", business.too_much)]
    assert balance(stores, "ann") == 0


@with_each_business
def test_a_stale_writer_may_not_even_refuse(stores: Stores, business: Business) -> None:
    zombie, successor = Host(stores), Host(stores)
    zombie.take(*business.opened("ann", 100))
    successor.take(business.more("ann", "more", 900))
    assert zombie.verdicts(business.less("ann", "w1", 500)) == [("done", "")]
    assert balance(stores, "ann") == 500


@with_each_business
def test_a_turn_is_one_transaction(stores: Stores, business: Business) -> None:
    commits = 0

    class Counting(Wrapped):
        def commit(self) -> None:
            nonlocal commits
            commits += 1
            self.inner.commit()

    host = Host(stores, wrap=Counting)
    host.take(*[command for number in range(50) for command in business.opened(f"a{number}", 10)])
    assert commits == 1


@with_each_business
def test_a_store_that_is_away_leaves_the_batch_to_be_handed_over_again(stores: Stores, business: Business) -> None:
    breaks = True

    class Breaking(Wrapped):
        def commit(self) -> None:
            self.inner.commit()
            if breaks:
                raise StorageUnavailableError("the connection broke while the commit was under way")

    host = Host(stores, wrap=Breaking)
    with pytest.raises(StorageUnavailableError):
        host.take(*business.opened("ann", 100))
    breaks = False
    assert host.verdicts(*business.opened("ann", 100)) == [("done", ""), ("done", "")]
    assert balance(stores, "ann") == 100


@with_each_business
@pytest.mark.parametrize("size", [1, 3])
def test_a_bug_that_shows_after_the_commit_does_not_make_a_failure_of_what_was_done(
    stores: Stores, business: Business, size: int
) -> None:
    class FailingLate(Wrapped):
        def commit(self) -> None:
            self.inner.commit()
            raise ValueError("something that comes after the commit")

    Host(stores).take(*business.opened("ann", 100))
    deposits = [business.more("ann", f"late-{number}", 1) for number in range(size)]
    assert Host(stores, wrap=FailingLate).verdicts(*deposits) == [("done", "")] * size
    assert Host(stores).verdicts(*deposits, business.less("ann", "w1", 100 + size)) == [("done", "")] * (size + 1)


@with_each_business
def test_what_is_longest_unused_passivates_and_activates_again_when_needed(stores: Stores, business: Business) -> None:
    host = Host(stores, capacity=2)
    for number in range(4):
        host.take(*business.opened(f"a{number}", 10))
    moved = [event for event in host.told if isinstance(event, InstancesMoved)]
    assert moved[-1].resident == 2
    assert sum(event.passivated for event in moved) == 2
    assert host.verdicts(business.less("a0", "w1", 10)) == [("done", "")]


@with_each_business
def test_a_dedicated_actor_is_a_shared_one_with_room_for_one(stores: Stores, business: Business) -> None:
    host = Host(stores, capacity=1)
    assert {
        verdict
        for verdict, _ in host.verdicts(*business.opened("a", 10), *business.opened("b", 10), *business.opened("c", 10))
    } == {"done"}
    assert [event.resident for event in host.told if isinstance(event, InstancesMoved)][-1] == 1


def test_every_command_has_a_handler_in_the_context_that_it_names() -> None:
    for message in REGISTRY:
        if message.TYPE.kind == "command":
            context: BoundedContext = BY_NAME[message.TYPE.context]
            assert message in context.commands
