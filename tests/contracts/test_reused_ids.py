"""An id that was used for something else is refused, on both kinds of stores; what comes again is answered."""

from __future__ import annotations

import msgspec

from spark_actors.kernel.messages import Command
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import KeyState
from spark_actors.messaging.unit_of_work import COMMANDS
from tests.contracts.test_parked_commands import keys, letters, poison, release, waiting
from tests.contracts.test_turns import Host, balance, sent
from tests.fixtures.business import Business, with_each_business
from tests.fixtures.stores import Stores
from tests.unit.domain.builders import deposit, request_deposit

REUSED = ("rejected", "id_reused")
DONE = ("done", "")


def by(command: Command, message_id: str, sender: str = "user ann") -> Envelope:
    """The command as it came from outside."""
    return msgspec.structs.replace(sent(command, message_id), sender=sender)


@with_each_business
def test_another_content_under_a_known_id_is_refused_and_does_nothing(stores: Stores, business: Business) -> None:
    Host(stores).take(*business.opened("ann", 100), by(business.more("ann", "one", 5), "m"))
    again = Host(stores)
    for other in (
        business.more("ann", "one", 6),
        business.more("bob", "one", 5),
        business.less("ann", "w1", 5),
    ):
        assert again.verdicts(by(other, "m")) == [REUSED]
    assert again.verdicts(by(business.more("ann", "one", 5), "m")) == [DONE]
    assert (balance(stores, "ann"), keys(stores), letters(stores)) == (105, {}, [])


@with_each_business
def test_within_one_batch_the_first_has_the_id_and_its_repetition_its_answer(
    stores: Stores, business: Business
) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100))
    first, other = business.more("ann", "one", 5), business.more("ann", "two", 7)
    assert host.verdicts(by(first, "m"), by(other, "m"), by(first, "m"), by(other, "n")) == [DONE, REUSED, DONE, DONE]
    assert balance(stores, "ann") == 112


@with_each_business
def test_in_a_batch_that_comes_again_the_one_that_was_handled_has_the_answer_wherever_it_stands(
    stores: Stores, business: Business
) -> None:
    host = Host(stores)
    handled, other = business.more("ann", "one", 5), business.more("ann", "two", 7)
    host.take(*business.opened("ann", 100), by(handled, "m"))
    assert host.verdicts(by(other, "m"), by(handled, "m")) == [REUSED, DONE]
    assert balance(stores, "ann") == 105


@with_each_business
def test_what_is_made_inside_is_known_by_its_id_alone(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100), sent(business.more("ann", "one", 5), "derived"))
    assert host.verdicts(sent(business.more("ann", "one", 6), "derived")) == [DONE]
    assert balance(stores, "ann") == 105


@with_each_business
def test_an_id_of_a_command_that_waits_is_not_free_for_another(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100), *business.opened("bob", 1))
    stores.operate(business.context, "ann", KeyState.PAUSED)
    waits = by(business.more("ann", "one", 5), "m")
    assert host.verdicts(waits) == [("parked", "key_parked")]
    for asked in (host, Host(stores)):
        assert asked.verdicts(by(business.more("ann", "one", 6), "m")) == [REUSED]
        assert asked.verdicts(by(business.more("bob", "b", 100), "m")) == [REUSED]
        assert asked.verdicts(waits) == [("parked", "key_parked")]
    assert (waiting(stores, "ann"), balance(stores, "bob")) == (["m"], 1)
    release(stores, host, "ann")
    assert (balance(stores, "ann"), host.verdicts(waits)) == (105, [DONE])
    assert host.verdicts(by(business.more("ann", "one", 6), "m")) == [REUSED]


@with_each_business
def test_an_id_of_a_command_that_failed_is_not_free_for_another(stores: Stores, business: Business) -> None:
    host = Host(stores)
    broken = msgspec.structs.replace(poison(business, "ann"), sender="user ann", message_id="m")
    host.take(*business.opened("ann", 100), broken)
    assert host.verdicts(by(business.more("ann", "one", 100), "m")) == [REUSED]
    assert waiting(stores, "ann") == ["m"]


@with_each_business
def test_who_sent_what_waits_is_not_forgotten(stores: Stores, business: Business) -> None:
    host = Host(stores)
    host.take(*business.opened("ann", 100))
    stores.operate(business.context, "ann", KeyState.PAUSED)
    waits = msgspec.structs.replace(by(business.more("ann", "one", 100), "m", "operator root"), why="an audit")
    host.take(waits)
    assert stores.run(stores.outbox_reader(business.context).parking.waiting(COMMANDS, "ann", 1)) == [waits]
    broken = msgspec.structs.replace(poison(business, "bob"), sender="operator root", why="a try")
    host.take(broken)
    assert [(letter.sender, letter.why) for letter in letters(stores)] == [("operator root", "a try")]


def test_one_id_in_two_contexts_makes_two_stories_whose_messages_have_ids_of_their_own(stores: Stores) -> None:
    """What follows is known by derived ids alone: were they the same, the second story would end at its first step."""
    host = Host(stores)
    assert host.verdicts(by(deposit(), "m")) == [DONE]
    assert host.verdicts(by(request_deposit(), "m")) == [DONE]
    (credited,) = pending(stores, "accounting")
    (requested,) = pending(stores, "bitcoin")
    assert (credited.causation_id, requested.causation_id) == ("m", "m")
    assert credited.message_id != requested.message_id


def pending(stores: Stores, context: str) -> list[Envelope]:
    return [row.envelope for row in stores.run(stores.outbox_reader(context).pending(skip=(), limit=9))]
