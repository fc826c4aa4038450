"""Messages have versions: what an older one says is read as the current one, what a newer one says is not guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from spark_actors.actors.turn import TurnRules, decide_turn
from spark_actors.kernel.aggregates import Aggregate, creates, handlers
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import Decision, Verdict, done
from spark_actors.kernel.errors import MalformedMessageError, UnknownMessageError
from spark_actors.kernel.messages import Command, Event, MessageRegistry, Upcaster, command, event
from spark_actors.messaging.door import Door, RefusedError
from spark_actors.messaging.envelope import Envelope, decode_data
from spark_actors.messaging.routing import Subscriptions
from spark_actors.messaging.unit_of_work import Versioned

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@command("till.pay", key="till_id", version=3)
@dataclass(frozen=True, kw_only=True)
class Pay(Command):
    """Amounts were strings in version 1 and called `amount` in version 2."""

    till_id: str
    amount_sat: int


@event("till.paid", key="till_id", version=2)
@dataclass(frozen=True, kw_only=True)
class Paid(Event):
    """Version 1 did not say how much."""

    till_id: str
    amount_sat: int


def _number(data: Mapping[str, object]) -> Mapping[str, object]:
    return {**data, "amount": int(str(data["amount"]))}


def _unit(data: Mapping[str, object]) -> Mapping[str, object]:
    return {"till_id": data["till_id"], "amount_sat": data["amount"]}


UPCASTERS = (
    Upcaster("till.pay", 1, _number),
    Upcaster("till.pay", 2, _unit),
    Upcaster("till.paid", 1, lambda data: {**data, "amount_sat": 0}),
)
REGISTRY = MessageRegistry((Pay, Paid), UPCASTERS)


@dataclass(frozen=True)
class Till(Aggregate):
    amount_sat: int

    @classmethod
    def open(cls, command: Pay, now: datetime) -> Decision[Till]:
        return done(cls(command.amount_sat), Paid(till_id=command.till_id, amount_sat=command.amount_sat))


TILL = BoundedContext(
    "till",
    (Pay, Paid),
    upcasters=UPCASTERS,
    aggregate=Till,
    commands=handlers(creates(Pay, Till.open, again="open")),
    reads=(Paid,),
)


def stored(version: int, data: object, name: str = "till.pay") -> Envelope:
    return Envelope(f"m{version}", name, version, "t1", json.dumps(data).encode(), "story", "", NOW)


def test_every_older_version_is_read_as_the_current_one() -> None:
    assert decode_data(REGISTRY, stored(1, {"till_id": "t1", "amount": "7"})) == Pay(till_id="t1", amount_sat=7)
    assert decode_data(REGISTRY, stored(2, {"till_id": "t1", "amount": 7})) == Pay(till_id="t1", amount_sat=7)
    assert decode_data(REGISTRY, stored(3, {"till_id": "t1", "amount_sat": 7})) == Pay(till_id="t1", amount_sat=7)


def test_a_turn_handles_an_older_command_and_fails_one_that_is_newer_than_known() -> None:
    older = stored(1, {"till_id": "t1", "amount": "7"})
    turn = decide_turn(TurnRules(TILL, REGISTRY), [older, stored(4, {})], {"t1": Versioned(None, 0)}, NOW)
    assert turn.outcomes["m1"].verdict is Verdict.DONE
    assert (turn.outcomes["m4"].verdict, turn.outcomes["m4"].reason) == (Verdict.FAILED, "unknown_message")
    assert turn.outgoing[0].version == 2


def test_a_version_that_is_newer_than_known_is_not_guessed() -> None:
    with pytest.raises(UnknownMessageError):
        decode_data(REGISTRY, stored(4, {"till_id": "t1"}))


def test_older_data_that_an_upcaster_cannot_read_is_malformed() -> None:
    with pytest.raises(MalformedMessageError):
        decode_data(REGISTRY, stored(1, {"till_id": "t1", "amount": "much"}))


def test_an_older_event_still_goes_where_the_current_one_goes() -> None:
    subscriptions = Subscriptions([TILL], REGISTRY)
    assert subscriptions.of(stored(1, {"till_id": "t1"}, "till.paid")) == ("till",)


def body(version: int, data: object) -> bytes:
    about = {"specversion": "1.0", "id": "m1", "source": "s", "subject": "t1"}
    return json.dumps({**about, "type": f"spark.till.pay.v{version}", "data": data}).encode()


def test_the_door_takes_older_versions_and_checks_them_as_strictly() -> None:
    door = Door(REGISTRY, 10_000)
    envelope = door.command("spark.commands.till.pay", body(1, {"till_id": "t1", "amount": "7"}), NOW).envelope
    assert (envelope.version, decode_data(REGISTRY, envelope)) == (3, Pay(till_id="t1", amount_sat=7))
    for bad, code in (
        (body(1, {"till_id": "t1", "amount": "much"}), "malformed_data"),
        (body(1, {"till_id": "t1"}), "malformed_data"),
        (body(1, ["t1"]), "malformed_data"),
        (body(2, {"till_id": "t1", "amount": "7"}), "malformed_data"),
        (body(4, {"till_id": "t1", "amount_sat": 7}), "unknown_type"),
    ):
        with pytest.raises(RefusedError) as refused:
            door.command("spark.commands.till.pay", bad, NOW)
        assert refused.value.code == code


def test_upcasters_that_lead_nowhere_are_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"till\.pay v1"):
        MessageRegistry((Pay,), UPCASTERS[:1])
    with pytest.raises(ValueError, match=r"till\.paid v1"):
        MessageRegistry((Pay,), UPCASTERS)
