"""An id that was used for something else is refused, on both kinds of stores; what comes again is answered."""

from __future__ import annotations

import msgspec

from spark_actors.kernel.messages import Command
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import KeyState
from spark_actors.messaging.unit_of_work import COMMANDS
from tests.contracts.test_parked_commands import keys, letters, poison, release, waiting
from tests.contracts.test_turns import Host, balance, sent
from tests.fixtures.stores import Stores
from tests.unit.domain.builders import deposit, funded, request_deposit, withdraw

REUSED = ("rejected", "id_reused")
DONE = ("done", "")


def by(command: Command, message_id: str, sender: str = "user ann") -> Envelope:
    """The command as it came from outside."""
    return msgspec.structs.replace(sent(command, message_id), sender=sender)


def test_another_content_under_a_known_id_is_refused_and_does_nothing(stores: Stores) -> None:
    Host(stores).take(*funded("ann", 100), by(deposit(deposit_id="one", amount_sat=5), "m"))
    again = Host(stores)
    for other in (
        deposit(deposit_id="one", amount_sat=6),
        deposit(account_id="bob", deposit_id="one", amount_sat=5),
        withdraw(amount_sat=5),
    ):
        assert again.verdicts(by(other, "m")) == [REUSED]
    assert again.verdicts(by(deposit(deposit_id="one", amount_sat=5), "m")) == [DONE]
    assert (balance(stores, "ann"), keys(stores), letters(stores)) == (105, {}, [])


def test_within_one_batch_the_first_has_the_id_and_its_repetition_its_answer(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100))
    first, other = deposit(deposit_id="one", amount_sat=5), deposit(deposit_id="two", amount_sat=7)
    assert host.verdicts(by(first, "m"), by(other, "m"), by(first, "m"), by(other, "n")) == [DONE, REUSED, DONE, DONE]
    assert balance(stores, "ann") == 112


def test_in_a_batch_that_comes_again_the_one_that_was_handled_has_the_answer_wherever_it_stands(stores: Stores) -> None:
    host = Host(stores)
    handled, other = deposit(deposit_id="one", amount_sat=5), deposit(deposit_id="two", amount_sat=7)
    host.take(*funded("ann", 100), by(handled, "m"))
    assert host.verdicts(by(other, "m"), by(handled, "m")) == [REUSED, DONE]
    assert balance(stores, "ann") == 105


def test_what_is_made_inside_is_known_by_its_id_alone(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100), sent(deposit(deposit_id="one", amount_sat=5), "derived"))
    assert host.verdicts(sent(deposit(deposit_id="one", amount_sat=5, purpose="new"), "derived")) == [DONE]
    assert balance(stores, "ann") == 105


def test_an_id_of_a_command_that_waits_is_not_free_for_another(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100), *funded("bob", 1))
    stores.operate("accounting", "ann", KeyState.PAUSED)
    waits = by(deposit(deposit_id="one", amount_sat=5), "m")
    assert host.verdicts(waits) == [("parked", "key_parked")]
    for asked in (host, Host(stores)):
        assert asked.verdicts(by(deposit(deposit_id="one", amount_sat=6), "m")) == [REUSED]
        assert asked.verdicts(by(deposit(account_id="bob", deposit_id="b"), "m")) == [REUSED]
        assert asked.verdicts(waits) == [("parked", "key_parked")]
    assert (waiting(stores, "ann"), balance(stores, "bob")) == (["m"], 1)
    release(stores, host, "ann")
    assert (balance(stores, "ann"), host.verdicts(waits)) == (105, [DONE])
    assert host.verdicts(by(deposit(deposit_id="one", amount_sat=6), "m")) == [REUSED]


def test_an_id_of_a_command_that_failed_is_not_free_for_another(stores: Stores) -> None:
    host = Host(stores)
    broken = msgspec.structs.replace(poison("ann"), sender="user ann", message_id="m")
    host.take(*funded("ann", 100), broken)
    assert host.verdicts(by(deposit(deposit_id="one"), "m")) == [REUSED]
    assert waiting(stores, "ann") == ["m"]


def test_who_sent_what_waits_is_not_forgotten(stores: Stores) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100))
    stores.operate("accounting", "ann", KeyState.PAUSED)
    waits = msgspec.structs.replace(by(deposit(deposit_id="one"), "m", "operator root"), why="an audit")
    host.take(waits)
    assert stores.run(stores.outbox_reader("accounting").parking.waiting(COMMANDS, "ann", 1)) == [waits]
    broken = msgspec.structs.replace(poison("bob"), sender="operator root", why="a try")
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
