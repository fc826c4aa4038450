"""Who may send what: the whole table, spelled out, and ids that nobody can use up for another."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from itertools import product

import pytest

from domain.bitcoin.messages import RequestDeposit
from domain.crowdfunding.messages import CreateCampaign
from domain.dashboard.views import DonationLine, ViewAccountOverview, ViewActivity, ViewDonation
from spark_actors.kernel.ids import derived_id
from spark_actors.kernel.messages import Command, Event, OwnerOf, Query
from spark_actors.messaging.cloudevents import command_subject, query_subject
from spark_actors.messaging.door import Admitted, RefusedError
from spark_actors.messaging.envelope import Envelope, encode_data
from spark_actors.messaging.identity import ANONYMOUS, Guard, Principal, Role
from tests.fixtures.application import CONTEXTS, REGISTRY, example

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANYBODY = {
    "auth.register-account",
    "auth.login",
    "dashboard.campaigns",
    "dashboard.campaign",
    "crowdfunding.request-gift",
    "dashboard.gift",
    "bitcoin.node",
}
OWNERS = {
    "crowdfunding.create-campaign",
    "crowdfunding.donate-to-campaign",
    "bitcoin.request-deposit",
    "bitcoin.request-withdrawal",
    "dashboard.account-overview",
    "bitcoin.payment-request",
    "dashboard.invoice",
    "dashboard.donation",
    "dashboard.activity",
}
LIGHTNING = {
    "bitcoin.issue-invoice",
    "bitcoin.confirm-deposit",
    "bitcoin.expire-invoice",
    "bitcoin.fail-deposit",
    "bitcoin.settle-withdrawal",
    "bitcoin.fail-withdrawal",
}
KNOWN = {"operations.whoami"}
ALLOWED = {
    "nobody": ANYBODY,
    "user": ANYBODY | KNOWN | OWNERS,
    "lightning": ANYBODY | KNOWN | LIGHTNING,
    "reader": ANYBODY | {cls.TYPE.name for cls in REGISTRY if cls.TYPE.kind == "query"},
    "operator": {cls.TYPE.name for cls in REGISTRY if not issubclass(cls, Event)},
}
ACCOUNT = "ann"
SENDERS = {
    "nobody": ANONYMOUS,
    **{str(role): Principal(ACCOUNT, frozenset([role])) for role in ("user", "lightning", "reader", "operator")},
}
MESSAGES = [cls for cls in REGISTRY if not issubclass(cls, Event)]


def sent(
    command: Command, message_id: str = "m-1", *, source: str = "shop", correlation_id: str = "", why: str = "a test"
) -> Admitted:
    kind = command.TYPE
    envelope = Envelope(
        message_id, kind.name, kind.version, command.key, encode_data(command), correlation_id, "", NOW, why=why
    )
    return Admitted(envelope, source)


def through(sender: Principal, message: Command | Query) -> str:
    """Plays the guard's part of the way in; gives the code of the refusal, or that it was let in."""
    guard = Guard(REGISTRY, lambda authorization, at: sender)
    try:
        if isinstance(message, Command):
            guard.sender(command_subject(message.TYPE), "", 0.0)
            guard.command(sender, sent(message))
        else:
            guard.sender(query_subject(message.TYPE), "", 0.0)
            guard.query(sender, message)
    except RefusedError as error:
        return error.code
    return "let in"


def of_account(cls: type, account_id: str) -> Command | Query:
    """An example of the message that acts for *account_id*, if it acts for one."""
    shown: Command | Query = example(cls)
    sent_by = shown.TYPE.sent_by
    if isinstance(sent_by, OwnerOf) and not sent_by.of_result:
        shown = dataclasses.replace(shown, **{sent_by.field: account_id})  # type: ignore[type-var]
    return shown


@pytest.mark.parametrize(("name", "cls"), list(product(SENDERS, MESSAGES)), ids=lambda each: str(each))
def test_each_sender_may_send_what_the_table_says_and_nothing_else(name: str, cls: type[Command | Query]) -> None:
    refusal = "unauthenticated" if name == "nobody" else "forbidden"
    expected = "let in" if cls.TYPE.name in ALLOWED[name] else refusal
    assert through(SENDERS[name], of_account(cls, ACCOUNT)) == expected


@pytest.mark.parametrize("cls", [cls for cls in MESSAGES if isinstance(cls.TYPE.sent_by, OwnerOf)])
def test_no_user_acts_for_the_account_of_another(cls: type[Command | Query]) -> None:
    sent_by = cls.TYPE.sent_by
    if isinstance(sent_by, OwnerOf) and not sent_by.of_result:
        assert through(SENDERS["user"], of_account(cls, "bob")) == "forbidden"


def test_what_everybody_does_is_for_operators_to_see() -> None:
    assert through(SENDERS["user"], ViewActivity()) == "forbidden"
    assert through(SENDERS["reader"], ViewActivity()) == "let in"
    assert through(SENDERS["operator"], ViewActivity()) == "let in"


@pytest.mark.parametrize(("roles", "is_trusted"), [("user", False), ("reader", False), ("lightning", True)])
def test_letters_are_kept_only_of_those_who_were_given_a_token_to_act_with(roles: str, is_trusted: bool) -> None:
    assert SENDERS[roles].is_trusted is is_trusted


@pytest.mark.parametrize(
    ("name", "sees"),
    [("nobody", False), ("user", True), ("lightning", False), ("reader", True), ("operator", True)],
)
def test_an_answer_that_is_somebody_elses_is_no_answer(name: str, sees: bool) -> None:
    guard = Guard(REGISTRY, lambda authorization, at: ANONYMOUS)
    line = dataclasses.replace(example(DonationLine), account_id=ACCOUNT)
    assert guard.may_see(SENDERS[name], ViewDonation(donation_id="d"), line) is sees
    other = dataclasses.replace(line, account_id="bob")
    assert guard.may_see(SENDERS[name], ViewDonation(donation_id="d"), other) is (name in ("reader", "operator"))


def test_an_unknown_subject_is_for_the_door_to_refuse_once_the_sender_is_known() -> None:
    guard = Guard(REGISTRY, lambda authorization, at: SENDERS["user"])
    assert guard.sender("spark.commands.accounting.print-money", "", 0.0) == SENDERS["user"]
    with pytest.raises(RefusedError, match="unauthenticated"):
        Guard(REGISTRY, lambda authorization, at: ANONYMOUS).sender("spark.commands.x.y", "", 0.0)


@pytest.mark.parametrize("cls", [cls for cls in MESSAGES if issubclass(cls, Command)], ids=lambda cls: cls.TYPE.name)
@pytest.mark.parametrize("name", SENDERS)
def test_who_may_send_a_command_is_the_same_whether_its_subject_ends_with_a_bucket(
    name: str, cls: type[Command]
) -> None:
    def said(subject: str) -> str:
        try:
            return Guard(REGISTRY, lambda authorization, at: SENDERS[name]).sender(subject, "", 0.0).name
        except RefusedError as error:
            return str(error)

    assert said(f"{command_subject(cls.TYPE)}.17") == said(command_subject(cls.TYPE))


def test_a_refusal_says_whose_token_it_was_and_what_was_wanted() -> None:
    guard = Guard(REGISTRY, lambda authorization, at: SENDERS["user"])
    with pytest.raises(RefusedError, match="for the account 'bob', and the token is that of user 'ann'") as refused:
        guard.command(SENDERS["user"], sent(RequestDeposit(invoice_id="i", account_id="bob", amount_sat=1)))
    assert refused.value.message_id == "m-1"
    with pytest.raises(RefusedError, match="needs the role lightning; the token has user 'ann'"):
        guard.sender("spark.commands.bitcoin.confirm-deposit", "", 0.0)


def test_every_message_that_can_be_sent_says_who_may_send_it() -> None:
    assert [cls.TYPE.name for cls in MESSAGES if cls.TYPE.sent_by is None] == []
    assert [cls.TYPE.name for cls in REGISTRY if issubclass(cls, Event) and cls.TYPE.sent_by is not None] == []


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: str(cls.TYPE.name))
def test_the_field_that_names_the_account_is_there(cls: type[Command | Query]) -> None:
    sent_by = cls.TYPE.sent_by
    if isinstance(sent_by, OwnerOf):
        described = cls.RESULT if sent_by.of_result and issubclass(cls, Query) else cls
        assert sent_by.field in {field.name for field in dataclasses.fields(described)}


# -- ids --


def inside(sender: Principal, message_id: str, source: str, correlation_id: str) -> Envelope:
    guard = Guard(REGISTRY, lambda authorization, at: sender)
    command = CreateCampaign(campaign_id="c", account_id=sender.subject, title="t", description="", goal_sat=1)
    return guard.command(sender, sent(command, message_id, source=source, correlation_id=correlation_id))


def id_inside(sender: Principal, message_id: str, *, source: str = "shop") -> str:
    """Under which id a command goes on."""
    return inside(sender, message_id, source, "").message_id


def story_inside(sender: Principal, chosen: str) -> str:
    """To which story it belongs."""
    return inside(sender, "m-1", "shop", chosen).correlation_id


def a_user(account_id: str) -> Principal:
    return Principal(account_id, frozenset([Role.USER]))


def test_an_id_is_the_senders_own() -> None:
    assert id_inside(a_user("ann"), "m") == id_inside(a_user("ann"), "m")
    assert id_inside(a_user("ann"), "m") != id_inside(a_user("bob"), "m")


def test_no_choice_of_names_makes_two_senders_ids_the_same() -> None:
    words = ("a", "b", "a/b", "a:b", "b c", "a b", "c", " ", "%", "%20", "b%20c", "%25")
    accounts = [word for word in words if " " not in word]
    made = [
        id_inside(Principal(account, frozenset([role])), word, source=source)
        for role, account, source, word in product((Role.USER, Role.OPERATOR), accounts, words, words)
    ]
    assert len(set(made)) == len(made)


def test_two_producers_of_one_sender_may_both_number_from_1() -> None:
    assert id_inside(a_user("ann"), "1", source="shop") != id_inside(a_user("ann"), "1", source="till")


def test_an_identity_is_short_enough_for_an_index_whatever_its_parts_are() -> None:
    longest = [
        id_inside(a_user("ä" * 200), "\N{SNOWMAN}" * 200, source=f"\N{SNOWMAN}{'%' * 198}{number}")
        for number in range(3)
    ]
    assert len(set(longest)) == len(longest)
    assert all(len(identity.encode()) < 2_000 for identity in longest)


@pytest.mark.parametrize("chosen", ["story", ""])
def test_nobody_joins_the_story_of_another(chosen: str) -> None:
    mine, yours = (story_inside(a_user(name), chosen) for name in ("ann", "bob"))
    assert mine != yours
    assert mine == ("user ann story" if chosen else id_inside(a_user("ann"), "m-1"))


def test_an_operator_may_join_any_story() -> None:
    assert story_inside(Principal("ops", frozenset([Role.OPERATOR])), "user ann story") == "user ann story"


def test_money_is_moved_by_hand_only_with_a_word_why() -> None:
    guard = Guard(REGISTRY, lambda authorization, at: SENDERS["operator"])
    by_hand = [cls for cls in REGISTRY if issubclass(cls, Command) and cls.TYPE.needs_why]
    assert {cls.TYPE.name for cls in by_hand} == {
        f"accounting.{name}"
        for name in (
            *("deposit", "withdraw", "refund-withdrawal", "return-fee-reserve"),
            *("request-transfer", "credit-transfer", "refund-transfer"),
        )
    }
    for cls in by_hand:
        for why in ("", "  "):
            with pytest.raises(RefusedError) as refused:
                guard.command(SENDERS["operator"], sent(example(cls), why=why))
            assert (refused.value.code, refused.value.message_id) == ("why_required", "m-1")
        envelope = guard.command(SENDERS["operator"], sent(example(cls), why="an audit"))
        assert (envelope.sender, envelope.why) == (f"operator {ACCOUNT}", "an audit")


def test_no_sender_can_use_an_id_that_is_made_inside() -> None:
    coming = derived_id("ann m-1", "crowdfunding", 0)
    assert " " not in coming
    for sender in (a_user("mallory"), a_user(coming), Principal("ops", frozenset([Role.OPERATOR]))):
        assert " " in id_inside(sender, coming)


def test_the_id_of_a_stranger_counts_for_the_same_content_alone() -> None:
    guard = Guard(REGISTRY, lambda authorization, at: ANONYMOUS)
    registration = example(next(cls for cls in REGISTRY if cls.TYPE.name == "auth.register-account"))
    assert isinstance(registration, Command)
    other = dataclasses.replace(registration, username="mallory")  # type: ignore[type-var]
    first, again, squatter = (guard.command(ANONYMOUS, sent(each)) for each in (registration, registration, other))
    assert first.message_id == again.message_id != squatter.message_id


def test_an_overview_is_asked_for_by_its_owner() -> None:
    assert through(SENDERS["user"], ViewAccountOverview(account_id=ACCOUNT)) == "let in"


def test_all_contexts_are_in_the_table() -> None:
    contexts = {context.name for context in CONTEXTS}
    assert {name.partition(".")[0] for name in ALLOWED["operator"]} == {*contexts, "operations"}
