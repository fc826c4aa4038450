"""The ContextActor: saga steps under ids that repeat, order per key when something fails, poison alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.accounting.messages import Deposited, DepositRejected, Purpose
from domain.auth.messages import AccountRegistered
from spark_actors.actors.context import ContextActor, Doorway, Projecting, Steps, Tracking
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.errors import ConstraintError, StorageUnavailableError
from spark_actors.kernel.messages import Event, MessageRegistry
from spark_actors.kernel.sagas import SagaState
from spark_actors.messaging.envelope import Delivery, Envelope, Receipt, Reply, encode_data, pack, unpack_deliveries
from spark_actors.messaging.ports import Received
from spark_actors.messaging.telemetry import SagasEnded, TelemetryEvent
from spark_actors.persistence.memory import MemorySagaLog
from tests.fixtures.application import CONTEXTS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REGISTRY = MessageRegistry(message for context in CONTEXTS for message in context.messages)
BY_NAME = {context.name: context for context in CONTEXTS}


class FakeSender:
    """Aggregates that answer as told."""

    def __init__(self, verdict: Verdict = Verdict.DONE) -> None:
        self.sent: list[Envelope] = []
        self.failing: set[str] = set()
        self._verdict = verdict

    async def send(self, commands: Sequence[Envelope]) -> Sequence[Reply]:
        self.sent += commands
        return [
            Reply(command.message_id, Verdict.FAILED if command.key in self.failing else self._verdict)
            for command in commands
        ]


class SenderWithLock(FakeSender):
    """Aggregates of which one cannot be written to just now."""

    async def send(self, commands: Sequence[Envelope]) -> Sequence[Reply]:
        return [
            Reply(command.message_id, Verdict.LOCKED if command.key == "bob" else Verdict.DONE, "row_locked")
            for command in commands
        ]


def registered(account_id: str, message_id: str = "") -> Envelope:
    return an_envelope(AccountRegistered(account_id=account_id, username=account_id), message_id)


def an_envelope(event: Event, message_id: str = "") -> Envelope:
    name = event.TYPE.name
    return Envelope(message_id or f"event-{event.key}", name, 1, event.key, encode_data(event), "story", "cause", NOW)


def take(actor: ContextActor, *envelopes: Envelope) -> list[Delivery]:
    return unpack_deliveries(asyncio.run(actor.take_events(pack(list(envelopes)))))


def receipts(deliveries: Sequence[Delivery]) -> list[Receipt]:
    return [delivery.receipt for delivery in deliveries]


def accounting(sender: FakeSender, context: BoundedContext = BY_NAME["accounting"]) -> ContextActor:
    return ContextActor(context, REGISTRY, [Steps(context, sender, REGISTRY)])


def test_an_event_becomes_the_commands_of_its_step_and_the_story_goes_on() -> None:
    sender = FakeSender()
    assert receipts(take(accounting(sender), registered("ann"))) == [Receipt.TAKEN]
    [command] = sender.sent
    assert (command.name, command.key) == ("accounting.open-account", "ann")
    assert (command.correlation_id, command.causation_id) == ("story", "event-ann")


def test_a_repeated_step_sends_the_same_ids() -> None:
    sender = FakeSender()
    actor = accounting(sender)
    take(actor, registered("ann"))
    take(actor, registered("ann"))
    assert sender.sent[0].message_id == sender.sent[1].message_id


def test_a_refusal_by_the_business_is_no_reason_to_try_again() -> None:
    assert receipts(take(accounting(FakeSender(Verdict.REJECTED)), registered("ann"))) == [Receipt.TAKEN]


def test_a_command_that_failed_waits_where_it_failed_and_holds_back_no_event() -> None:
    sender = FakeSender()
    sender.failing = {"ann"}
    deliveries = take(accounting(sender), registered("ann", "1"), registered("bob", "2"), registered("ann", "3"))
    assert receipts(deliveries) == [Receipt.TAKEN] * 3


def test_a_step_that_raises_stops_no_other_event() -> None:
    def broken(event: AccountRegistered) -> list[Any]:
        if event.account_id == "ann":
            raise ZeroDivisionError
        return list(BY_NAME["accounting"].steps[AccountRegistered](event))

    context = replace(BY_NAME["accounting"], steps={AccountRegistered: broken})
    sender = FakeSender()
    assert receipts(take(accounting(sender, context), registered("ann"), registered("bob"))) == [
        Receipt.POISON,
        Receipt.TAKEN,
    ]
    assert [command.key for command in sender.sent] == ["bob"]


def test_an_event_that_cannot_be_read_concerns_itself_alone() -> None:
    unknown = Envelope("x", "auth.something-new", 9, "zoe", b"{}", "c", "", NOW)
    deliveries = take(accounting(FakeSender()), unknown, registered("bob"))
    assert receipts(deliveries) == [Receipt.POISON, Receipt.TAKEN]
    assert "not known here" in deliveries[0].reason


def test_no_step_of_an_event_runs_before_that_of_an_earlier_one_of_its_key_that_raised() -> None:
    def broken(event: AccountRegistered) -> list[Any]:
        if event.username == "broken":
            raise ZeroDivisionError
        return list(BY_NAME["accounting"].steps[AccountRegistered](event))

    context = replace(BY_NAME["accounting"], steps={AccountRegistered: broken})
    sender = FakeSender()
    first = an_envelope(AccountRegistered(account_id="ann", username="broken"), "a1")
    deliveries = take(accounting(sender, context), first, registered("ann", "a2"), registered("bob"))
    assert receipts(deliveries) == [Receipt.POISON, Receipt.RETRY, Receipt.TAKEN]
    assert [command.key for command in sender.sent] == ["bob"]


def test_nothing_is_done_with_an_event_while_an_earlier_one_of_its_key_cannot_be_read() -> None:
    sender, projection = FakeSender(), FakeProjection()
    unknown = Envelope("x", "auth.something-new", 9, "ann", b"{}", "c", "", NOW)
    events = (unknown, registered("ann", "a2"), registered("bob"))
    for actor in (accounting(sender), dashboard(projection)):
        assert receipts(take(actor, *events)) == [Receipt.POISON, Receipt.RETRY, Receipt.TAKEN]
    assert [command.key for command in sender.sent] == ["bob"]
    assert projection.applied == ["event-bob"]


def test_progress_is_told_when_a_saga_ends() -> None:
    told: list[TelemetryEvent] = []
    log = MemorySagaLog()
    bitcoin = BY_NAME["bitcoin"]
    actor = ContextActor(bitcoin, REGISTRY, [Tracking(bitcoin, log, told.append)])
    credited = Deposited(account_id="ann", deposit_id="in", amount_sat=1, balance_sat=1, purpose=Purpose.INVOICE)
    assert receipts(take(actor, an_envelope(credited))) == [Receipt.TAKEN]
    [ended] = told
    assert isinstance(ended, SagasEnded)
    assert (ended.kind, ended.state, len(ended.durations)) == ("deposit", SagaState.COMPLETED, 1)


class FakeProjection:
    """Refuses one event, or is away."""

    def __init__(self, refused: str = "", *, is_away: bool = False) -> None:
        self.applied: list[str] = []
        self._refused, self._is_away = refused, is_away

    async def apply(self, received: Sequence[Received]) -> None:
        if self._is_away:
            raise StorageUnavailableError("away")
        messages = [item.envelope.message_id for item in received]
        if self._refused in messages:
            raise ConstraintError("a_rule", "no")
        self.applied += messages


def dashboard(projection: FakeProjection) -> ContextActor:
    context = BY_NAME["dashboard"]
    return ContextActor(context, REGISTRY, [Projecting(context, projection)])


def test_an_event_that_a_read_model_refuses_is_found_and_the_others_are_taken() -> None:
    projection = FakeProjection(refused="event-bob")
    deliveries = take(dashboard(projection), registered("ann"), registered("bob"), registered("zoe"))
    assert receipts(deliveries) == [Receipt.TAKEN, Receipt.POISON, Receipt.TAKEN]
    assert projection.applied == ["event-ann", "event-zoe"]


def test_a_read_model_shows_no_event_before_an_earlier_one_of_its_key_that_it_refuses() -> None:
    projection = FakeProjection(refused="a1")
    deliveries = take(dashboard(projection), registered("ann", "a1"), registered("ann", "a2"), registered("zoe"))
    assert receipts(deliveries) == [Receipt.POISON, Receipt.RETRY, Receipt.TAKEN]
    assert projection.applied == ["event-zoe"]


def test_an_event_for_which_a_read_model_raises_is_found_and_may_pass_later() -> None:
    class Buggy(FakeProjection):
        async def apply(self, received: Sequence[Received]) -> None:
            if any(item.envelope.key == "bob" for item in received):
                raise KeyError("a bug")
            await super().apply(received)

    projection = Buggy()
    deliveries = take(
        dashboard(projection), registered("ann"), registered("bob", "b1"), registered("bob", "b2"), registered("zoe")
    )
    assert receipts(deliveries) == [Receipt.TAKEN, Receipt.RETRY, Receipt.RETRY, Receipt.TAKEN]
    assert deliveries[1].reason == "raised_KeyError"
    assert projection.applied == ["event-ann", "event-zoe"]


def test_a_store_that_is_away_leaves_the_whole_batch_to_be_handed_over_again() -> None:
    with pytest.raises(StorageUnavailableError):
        take(dashboard(FakeProjection(is_away=True)), registered("ann"))


def test_every_event_has_somebody_who_takes_it() -> None:
    events = {message for message in REGISTRY if message.TYPE.kind == "event"}
    taken = {event for context in CONTEXTS for event in context.subscriptions}
    assert events == {event for event in taken if not event.TYPE.is_former}
    assert DepositRejected in taken


def test_an_event_whose_command_is_locked_out_comes_again_later_and_the_others_are_taken() -> None:
    deliveries = take(accounting(SenderWithLock()), registered("ann"), registered("bob"), registered("cid"))
    assert receipts(deliveries) == [Receipt.TAKEN, Receipt.LATER, Receipt.TAKEN]


def refused(doorway: Doorway, token: str = "") -> bool:
    """Whether somebody who comes now has to come again."""
    try:
        with doorway.passing(token):
            return False
    except ActorUnavailableError:
        return True


def test_who_wants_to_be_alone_waits_for_those_inside_and_others_come_again() -> None:
    async def play() -> None:
        doorway = Doorway()
        with doorway.passing(), doorway.passing():
            keeping = asyncio.create_task(doorway.keep("mine"))
            await asyncio.sleep(0)
            assert refused(doorway)
            assert not await doorway.keep("theirs")
            assert not keeping.done()
        assert await keeping
        assert refused(doorway)
        assert refused(doorway, "theirs")
        with doorway.passing("mine"):
            assert refused(doorway)
            assert not await doorway.keep("theirs")
        assert not refused(doorway)
        assert refused(doorway, "mine"), "it is not kept any more"

    asyncio.run(play())


def test_a_place_that_is_kept_for_somebody_who_does_not_come_is_free_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spark_actors.actors.tuning.CONTEXT_KEPT_SECONDS", 0.001)

    async def play() -> None:
        doorway = Doorway()
        assert await doorway.keep("mine")
        await asyncio.sleep(0.01)
        with doorway.passing():
            assert refused(doorway, "mine"), "somebody else is inside"
            assert not await doorway.keep("theirs"), "they have not gone"
        assert await doorway.keep("theirs")

    asyncio.run(play())
