"""Placement: every process puts an instance into the same slot, whatever else happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accounting.messages import Deposited, Purpose
from domain.auth.messages import AccountRegistered, RegistrationRejected
from domain.bitcoin.messages import DepositRequested
from domain.crowdfunding.messages import DonationRejected, DonationRejectedV1
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.messages import Event, MessageRegistry
from spark_actors.kernel.sagas import SagaKind, SagaMilestone, SagaState
from spark_actors.messaging.envelope import Envelope, encode_data
from spark_actors.messaging.routing import Placement, Subscriptions
from tests.fixtures.application import CONTEXTS

NOW = datetime(2026, 1, 1, tzinfo=UTC)

PLACEMENT = Placement(
    shared_actors=3,
    resident_instances=1000,
    dedicated_kinds={"crowdfunding": 2},
    dedicated_instances=("accounting:whale", "bitcoin:busy"),
)


def _raises(event: object) -> str:
    raise KeyError("a bug")


def test_an_event_that_makes_a_sagas_code_raise_goes_to_all_who_may_want_it() -> None:
    broken = SagaKind("broken", timedelta(1), (SagaMilestone(Deposited, "credited", SagaState.COMPLETED, _raises),))
    contexts = [*CONTEXTS, BoundedContext("another", (), sagas=(broken,))]
    registry = MessageRegistry(message for context in contexts for message in context.messages)
    event = Deposited(account_id="ada", deposit_id="d", amount_sat=1, balance_sat=1)
    envelope = Envelope("m", event.TYPE.name, 1, "ada", encode_data(event), "c", "", NOW)
    assert Subscriptions(contexts, registry).of(envelope) == ("dashboard", "another", "bitcoin")


@given(context=st.sampled_from(["auth", "accounting", "crowdfunding", "bitcoin"]), key=st.text())
def test_every_instance_has_one_slot_that_is_in_the_pool(context: str, key: str) -> None:
    assert PLACEMENT.slot_of(context, key) in PLACEMENT.slots
    assert PLACEMENT.slot_of(context, key) == PLACEMENT.slot_of(context, key)


def test_a_known_heavy_instance_has_an_actor_of_its_own() -> None:
    assert PLACEMENT.slot_of("accounting", "whale").name == "own-0"
    assert PLACEMENT.slot_of("bitcoin", "busy").name == "own-1"
    assert PLACEMENT.slot_of("accounting", "minnow").pool == "shared"


def test_instances_of_a_dedicated_kind_have_a_whole_actor_each_while_they_are_active() -> None:
    slots = {PLACEMENT.slot_of("crowdfunding", f"campaign-{number}") for number in range(50)}
    assert {slot.name for slot in slots} == {"dedicated-crowdfunding-0", "dedicated-crowdfunding-1"}
    assert {slot.capacity for slot in slots} == {1}


def test_shared_instances_spread_evenly() -> None:
    counts = [0, 0, 0]
    for number in range(3000):
        counts[PLACEMENT.slot_of("accounting", f"account-{number}").number] += 1
    assert min(counts) > 800


def test_the_pool_lists_every_slot_once() -> None:
    assert [slot.name for slot in PLACEMENT.slots] == [
        *("shared-0", "shared-1", "shared-2"),
        *("dedicated-crowdfunding-0", "dedicated-crowdfunding-1"),
        *("own-0", "own-1"),
    ]


REGISTRY = MessageRegistry(message for context in CONTEXTS for message in context.messages)
SUBSCRIPTIONS = Subscriptions(CONTEXTS, REGISTRY)


def an_event(event: Event) -> Envelope:
    return Envelope("m", event.TYPE.name, event.TYPE.version, event.key, encode_data(event), "c", "", NOW)


def a_deposited(purpose: str) -> Deposited:
    return Deposited(account_id="ann", deposit_id="d", amount_sat=1, balance_sat=1, purpose=purpose)


def test_an_event_goes_to_every_context_that_acts_on_it() -> None:
    event = AccountRegistered(account_id="ann", username="ann")
    assert set(SUBSCRIPTIONS.of(an_event(event))) == {"accounting", "auth", "dashboard"}


def test_a_context_that_only_tracks_sagas_gets_an_event_if_it_belongs_to_one() -> None:
    assert "bitcoin" in SUBSCRIPTIONS.of(an_event(a_deposited(Purpose.INVOICE)))
    assert SUBSCRIPTIONS.of(an_event(a_deposited(""))) == ("dashboard",)


def a_rejection(kind: type[DonationRejected | DonationRejectedV1], reason: str) -> Event:
    return kind(campaign_id="roof", donation_id="gift", account_id="ann", amount_sat=1, reason=reason)


@pytest.mark.parametrize("kind", [DonationRejected, DonationRejectedV1])
def test_each_version_of_an_event_goes_once_to_whom_it_belongs(
    kind: type[DonationRejected | DonationRejectedV1],
) -> None:
    assert SUBSCRIPTIONS.of(an_event(a_rejection(kind, "insufficient_funds"))) == ("dashboard", "crowdfunding")


def test_what_an_earlier_release_refused_at_once_belongs_to_no_saga() -> None:
    assert SUBSCRIPTIONS.of(an_event(a_rejection(DonationRejectedV1, "own_campaign"))) == ("dashboard",)
    refused = RegistrationRejected(account_id="ann", username="ann", reason="username_taken")
    assert SUBSCRIPTIONS.of(an_event(refused)) == ()


def test_what_gives_a_context_something_to_do_goes_to_it_even_if_it_belongs_to_no_saga_there() -> None:
    asked = DepositRequested(invoice_id="gift g1", account_id="bob", amount_sat=1, campaign_id="roof")
    assert set(SUBSCRIPTIONS.of(an_event(asked))) == {"bitcoin", "dashboard"}


def test_an_event_that_cannot_be_read_goes_to_all_its_subscribers() -> None:
    broken = msgspec.structs.replace(an_event(a_deposited("")), data=b"{")
    assert set(SUBSCRIPTIONS.of(broken)) == {"bitcoin", "dashboard"}


def test_every_context_that_may_get_something_is_known_beforehand() -> None:
    assert SUBSCRIPTIONS.subscribers_of("accounting") == {"accounting", "auth", "bitcoin", "crowdfunding", "dashboard"}


def test_an_event_that_this_version_does_not_know_is_not_dropped() -> None:
    unknown = Envelope("m", "accounting.something-new", 1, "ann", b"{}", "c", "", NOW)
    assert set(SUBSCRIPTIONS.of(unknown)) == SUBSCRIPTIONS.subscribers_of("accounting")
