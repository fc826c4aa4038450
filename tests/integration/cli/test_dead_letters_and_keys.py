"""Dead letters and parked keys from the command line, on a real Postgres: audited, in order, safe to repeat."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from domain.accounting.messages import Deposit
from spark_actors.cli.daemon import Target
from spark_actors.embedded.data_dir import DaemonCard, DataDir
from spark_actors.ingress.client import Answer, NotAcceptedError, OutcomeUnknownError
from spark_actors.kernel.decisions import Verdict
from spark_actors.messaging.cloudevents import command_subject
from spark_actors.messaging.envelope import Envelope
from spark_actors.messaging.ports import KEPT_IN_PART, KeyState
from spark_actors.operations.editing import edited_event
from spark_actors.persistence.operator_desk import DeskError, Letter, LetterFilter, Operator, OperatorDesk
from tests.contracts.test_parked_commands import keys, letters, waiting
from tests.contracts.test_turns import NOW, Host, balance, sent
from tests.fixtures.application import REGISTRY
from tests.fixtures.letters import a_letter
from tests.fixtures.postgres import emptied
from tests.fixtures.stores import PostgresStores
from tests.unit.cli.conftest import built
from tests.unit.domain.builders import deposit, funded, withdraw

Cli = Callable[..., Any]
BROKEN = b'{"account_id":"ann","deposit_id":"broken","amount_sat":"many"}'


@pytest.fixture
def database(module_database: str) -> str:
    """The module's own, emptied: these tests only write rows."""
    return emptied(module_database)


@pytest.fixture
def stores(dsn_by_context: Mapping[str, str]) -> Iterator[PostgresStores]:
    with asyncio.Runner() as runner, PostgresStores(dsn_by_context["accounting"], runner) as stores:
        yield stores


@pytest.fixture
def host(stores: PostgresStores) -> Host:
    """Ann's key is parked: one command of hers cannot be read, and a withdrawal waits behind it."""
    host = Host(stores)
    host.take(*funded("ann", 100), *funded("bob", 1))
    broken = Envelope("broken", "accounting.deposit", 1, "ann", BROKEN, "story", "", NOW)
    host.take(broken, sent(withdraw(amount_sat=120), "behind"))
    return host


@pytest.fixture
def cli(dsn_by_context: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs the command line against this database; gives what it prints as JSON."""
    from spark_actors.cli.app import whole_app

    for name in [name for name in os.environ if name.startswith("SPARK_")]:
        monkeypatch.delenv(name)
    card = DaemonCard(
        os.getpid(), "nats://127.0.0.1:1", "t", "http://127.0.0.1:1", "2026-01-01T00:00:00Z", "1", dict(dsn_by_context)
    )
    (tmp_path / "data").mkdir()
    DataDir(tmp_path / "data").write_daemon_card(card)
    monkeypatch.setattr("typer.testing._get_command", built)

    def run(*words: str, code: int = 0) -> Any:
        result = CliRunner().invoke(whole_app(), [*words, "--json", "--data-dir", str(tmp_path / "data")])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if result.stdout else None

    return run


def work_off(stores: PostgresStores, host: Host) -> None:
    for key, state in keys(stores).items():
        while state == KeyState.RELEASED and host.actor.release("accounting", [key]):
            continue


def actions(dsn_by_context: Mapping[str, str]) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn_by_context["accounting"]) as connection:
        return connection.execute(
            "SELECT who, why, action, key, message_id FROM accounting.operator_actions ORDER BY action_id"
        ).fetchall()


def test_what_failed_is_listed_with_its_reason_and_shown_with_its_content(host: Host, cli: Cli) -> None:
    [letter] = cli("dead-letters", "list", "--context", "accounting", "--reason", "malf")
    assert (letter["message_id"], letter["reason"], letter["subscriber"]) == ("broken", "malformed", "commands")
    assert cli("dead-letters", "show", letter["letter"])["body"]["amount_sat"] == "many"
    assert cli("dead-letters", "list", "--reason", "other") == []
    [key] = cli("keys", "list", "--context", "accounting")
    assert (key["key"], key["state"], key["messages"]) == ("ann", "parked", 2)


def test_an_edited_message_takes_the_place_of_the_one_that_failed(
    stores: PostgresStores, host: Host, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    [letter] = cli("dead-letters", "list")
    why = ("--why", "typo of the producer", "--by", "zoe")
    assert "error" in cli("dead-letters", "edit", letter["letter"], "amount_sat=much", *why, code=1)[0]
    assert "error" in cli("dead-letters", "edit", letter["letter"], "account_id=bob", *why, code=1)[0]
    assert "error" not in cli("dead-letters", "edit", letter["letter"], "amount_sat=50", *why)[0]
    new_id = waiting(stores, "ann")[0]
    work_off(stores, host)
    assert (balance(stores, "ann"), keys(stores)) == (30, {})  # in order: the withdrawal needs the deposit
    [told] = cli("dead-letters", "list", "--state", "edited")
    assert told["edited_into"] == new_id != "broken"
    assert actions(dsn_by_context) == [("zoe", "typo of the producer", "edit", "ann", "broken")]
    [again] = host.take(Envelope("broken", "accounting.deposit", 1, "ann", BROKEN, "story", "", NOW))
    assert (again.verdict, again.reason) == ("failed", "edited")
    assert keys(stores) == {}


def test_retrying_again_and_again_takes_effect_once(
    stores: PostgresStores, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100), sent(deposit(deposit_id="late", amount_sat=7), "late"))
    bury = stores.dead_letters("accounting").bury
    good = sent(deposit(deposit_id="more", amount_sat=5), "more")
    stores.run(bury([a_letter("more", subscriber="commands", body=good.data, died_at=datetime.now(UTC))]))
    with psycopg.connect(dsn_by_context["accounting"], autocommit=True) as connection:
        connection.execute("UPDATE accounting.dead_letters SET name = 'accounting.deposit', key = 'ann'")
    [letter] = cli("dead-letters", "list")
    for _ in range(3):
        cli("dead-letters", "retry", letter["letter"], "--why", "again")
        work_off(stores, host)
    assert (balance(stores, "ann"), keys(stores)) == (112, {})
    assert len(actions(dsn_by_context)) == 3


def test_a_bulk_retry_that_changes_nothing_fails_again_and_keeps_the_order(
    stores: PostgresStores, host: Host, cli: Cli
) -> None:
    assert len(cli("dead-letters", "retry", "--reason", "malformed", "--why", "hope")) == 1
    work_off(stores, host)
    assert waiting(stores, "ann") == ["broken", "behind"]
    assert keys(stores) == {"ann": "parked"}
    [letter] = cli("dead-letters", "list")
    assert letter["attempts"] == 2


def test_what_is_discarded_is_never_handled_and_what_waits_behind_goes_on(
    stores: PostgresStores, host: Host, cli: Cli
) -> None:
    cli("dead-letters", "discard", "--reason", "malformed", "--why", "not ours")
    work_off(stores, host)
    assert (keys(stores), waiting(stores, "ann"), balance(stores, "ann")) == ({}, [], 100)
    assert cli("dead-letters", "list") == []
    [letter] = cli("dead-letters", "list", "--state", "discarded")
    assert "error" in cli("dead-letters", "retry", letter["letter"], "--why", "no", code=1)[0]


def test_a_key_is_paused_resumed_and_skipped(
    stores: PostgresStores, host: Host, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    cli("keys", "pause", "accounting", "bob", "--why", "let me look", "--by", "zoe")
    assert host.verdicts(deposit(account_id="bob", deposit_id="b2")) == [("parked", "key_parked")]
    cli("keys", "resume", "accounting", "bob", "--why", "seen", "--by", "zoe")
    assert cli("keys", "skip", "accounting", "ann", "--why", "not ours", "--by", "zoe")["skipped"] == "broken"
    work_off(stores, host)
    assert (keys(stores), balance(stores, "bob"), letters(stores)[0].message_id) == ({}, 101, "broken")
    assert [row[:4] for row in actions(dsn_by_context)] == [
        ("zoe", "let me look", "pause", "bob"),
        ("zoe", "seen", "resume", "bob"),
        ("zoe", "not ours", "skip", "ann"),
    ]
    told = [(each["who"], each["why"], each["action"], each["key"]) for each in cli("actions")]
    assert told == [row[:4] for row in reversed(actions(dsn_by_context))]
    [newest] = cli("actions", "--context", "accounting", "--limit", "1")
    assert (newest["context"], newest["action"], newest["message_id"]) == ("accounting", "skip", "broken")
    cli("keys", "resume", "accounting", "nobody", "--why", "x", code=1)


def test_nothing_is_done_without_a_reason_or_without_saying_to_what(host: Host, cli: Cli) -> None:
    cli("dead-letters", "retry", "--why", "all of it", code=2)
    cli("keys", "pause", "accounting", "ann", "--why", " ", code=2)
    cli("dead-letters", "discard", "accounting/999999", "--why", "x", code=1)


def test_what_was_handled_after_a_retry_is_neither_edited_nor_discarded(
    stores: PostgresStores, host: Host, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    [letter] = cli("dead-letters", "list")
    cli("dead-letters", "retry", letter["letter"], "--why", "fixed in 1.4.2")
    with psycopg.connect(dsn_by_context["accounting"]) as connection:  # the fix: it can be read now
        connection.execute(
            "UPDATE accounting.parked_messages SET data = %s WHERE message_id = 'broken'",
            (BROKEN.replace(b'"many"', b"50"),),
        )
    work_off(stores, host)
    assert (balance(stores, "ann"), keys(stores)) == (30, {})
    [handled] = cli("dead-letters", "list", "--state", "retried")
    for action in (("edit", letter["letter"], "amount_sat=50"), ("discard", letter["letter"])):
        assert "handled" in cli("dead-letters", *action, "--why", "late", code=1)[0]["error"]
    assert cli("dead-letters", "list", "--state", "all") == [handled]
    assert (waiting(stores, "ann"), keys(stores)) == ([], {})
    assert [row[2] for row in actions(dsn_by_context)] == ["retry"]


@pytest.mark.parametrize("action", [("edit", "amount_sat=50"), ("discard",)], ids=lambda action: action[0])
def test_what_still_waits_after_a_retry_can_be_edited_or_discarded(
    stores: PostgresStores, host: Host, cli: Cli, action: tuple[str, ...]
) -> None:
    [letter] = cli("dead-letters", "list")
    cli("dead-letters", "retry", letter["letter"], "--why", "hope")
    assert "error" not in cli("dead-letters", action[0], letter["letter"], *action[1:], "--why", "no hope")[0]
    work_off(stores, host)
    assert (keys(stores), balance(stores, "ann")) == ({}, 30 if action[0] == "edit" else 100)


def refused_at_the_door(stores: PostgresStores, message_id: str = "typo", **changes: Any) -> None:
    event = {"specversion": "1.0", "id": message_id, "source": "test", "type": "spark.accounting.deposit.v1"}
    body = json.dumps({**event, "subject": "ann", "data": json.loads(BROKEN)}).encode()
    letter = a_letter(message_id, subscriber="ingress", body=body)
    letter = replace(letter, **{"name": command_subject(Deposit.TYPE), "died_at": datetime.now(UTC), **changes})
    stores.run(stores.dead_letters("ingress").bury([letter]))


def talking(monkeypatch: pytest.MonkeyPatch, outcome: Answer | BaseException) -> None:
    """How every conversation with the daemon ends."""

    def talk(target: Target, conversation: object, acting: object = None) -> Answer:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(Target, "talk", talk)


ACTIONS = pytest.mark.parametrize("action", [("retry",), ("edit", "amount_sat=10")], ids=lambda action: action[0])


@ACTIONS
@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Answer("", Verdict.FAILED, "unauthenticated"), 1),
        (NotAcceptedError("full"), 6),
        (KeyboardInterrupt(), 130),
        (None, 3),
    ],
)
def test_a_refused_message_that_cannot_be_sent_again_waits_on(
    stores: PostgresStores,
    cli: Cli,
    dsn_by_context: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    action: tuple[str, ...],
    outcome: Answer | BaseException | None,
    code: int,
) -> None:
    refused_at_the_door(stores)
    [before] = cli("dead-letters", "list", "--context", "ingress")
    if outcome:  # otherwise there is no broker
        talking(monkeypatch, outcome)
    cli("dead-letters", action[0], before["letter"], *action[1:], "--why", "a try", "--by", "zoe", code=code)
    assert cli("dead-letters", "list", "--context", "ingress") == [before]
    with psycopg.connect(dsn_by_context["ingress"]) as connection:
        told = connection.execute("SELECT action, message_id FROM ingress.operator_actions ORDER BY action_id")
        assert told.fetchall() == [(action[0], "typo"), ("put back", "typo")]


@ACTIONS
def test_a_refused_message_that_the_queue_has_again_waits_no_longer(
    stores: PostgresStores, cli: Cli, monkeypatch: pytest.MonkeyPatch, action: tuple[str, ...]
) -> None:
    refused_at_the_door(stores)
    [letter] = cli("dead-letters", "list", "--context", "ingress")
    talking(monkeypatch, OutcomeUnknownError("no outcome yet"))
    cli("dead-letters", action[0], letter["letter"], *action[1:], "--why", "a try", code=6)
    assert cli("dead-letters", "list", "--context", "ingress") == []


def test_a_refused_message_that_took_effect_after_all_is_neither_edited_nor_discarded(
    stores: PostgresStores, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused_at_the_door(stores)
    talking(monkeypatch, Answer("typo", Verdict.DONE, ""))
    [letter] = cli("dead-letters", "list", "--context", "ingress")
    cli("dead-letters", "retry", letter["letter"], "--why", "fixed in 1.4.2")
    for action in (("edit", letter["letter"], "amount_sat=50"), ("discard", letter["letter"])):
        assert "sent" in cli("dead-letters", *action, "--why", "late", code=1)[0]["error"]
    [retried] = cli("dead-letters", "list", "--state", "all")
    assert retried["state"] == "retried"


@pytest.mark.parametrize("is_given_reversed", [False, True])
def test_letters_are_sent_again_oldest_first_however_they_are_named(
    stores: PostgresStores, cli: Cli, monkeypatch: pytest.MonkeyPatch, is_given_reversed: bool
) -> None:
    for number, message_id in enumerate(("first", "second", "third")):
        refused_at_the_door(stores, message_id, died_at=datetime.now(UTC) + timedelta(seconds=number))
    talking(monkeypatch, Answer("", Verdict.DONE, ""))
    named = [letter["letter"] for letter in cli("dead-letters", "list", "--context", "ingress")]
    told = cli("dead-letters", "retry", *sorted(named, reverse=is_given_reversed), "--why", "fixed in 1.4.2")
    assert [each["message_id"] for each in told] == ["first", "second", "third"]


def test_what_was_kept_only_in_part_is_not_sent_again(
    stores: PostgresStores, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = f"malformed: no JSON [the first 16384{KEPT_IN_PART}20000 bytes, SHA-256 x]"
    refused_at_the_door(stores, body=b'{"specversion": "1.0"', reason=reason)
    talking(monkeypatch, Answer("", Verdict.DONE, ""))
    [letter] = cli("dead-letters", "list", "--context", "ingress")
    [told] = cli("dead-letters", "retry", letter["letter"], "--why", "a try", code=1)
    assert "only in part" in told["error"]
    assert cli("dead-letters", "list", "--context", "ingress") == [letter]


def test_a_key_is_paused_for_those_only_who_take_events_of_the_context(
    host: Host, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    for context, nobody in (("accounting", "dashbord"), ("accounting", ""), ("crowdfunding", "auth")):
        cli("keys", "pause", context, "ann", "--for", nobody, "--why", "x", code=2)
    assert actions(dsn_by_context) == []
    cli("keys", "pause", "accounting", "ann", "--for", "dashboard", "--why", "x")
    assert {key["subscriber"] for key in cli("keys", "list")} == {"commands", "dashboard"}


def test_letters_are_in_states_that_there_are_only(host: Host, cli: Cli) -> None:
    cli("dead-letters", "list", "--state", "wating", code=2)


def test_a_refused_message_is_edited_into_the_same_one_whenever_that_is_repeated(
    stores: PostgresStores, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    for message_id in ("first", "second"):
        refused_at_the_door(stores, message_id)
    letters = OperatorDesk(dsn_by_context).letters("ingress", LetterFilter(), limit=2)

    def edit(letter: Letter, amount_sat: int) -> tuple[str, bytes]:
        return edited_event(REGISTRY, letter, {"amount_sat": amount_sat}, None, "a typo")

    assert edit(letters[0], 5) == edit(letters[0], 5)
    assert len({edit(letter, amount_sat)[0] for letter in letters for amount_sat in (5, 6)}) == 4


def all_is_forgotten(dsn_by_context: Mapping[str, str]) -> None:
    """The weeks pass after which the inbox remembers nothing of what was handled until now."""
    with psycopg.connect(dsn_by_context["accounting"]) as connection:
        for [partition] in connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'accounting.inbox'::regclass"
        ).fetchall():
            connection.execute(f"DROP TABLE {partition}".encode())
        connection.execute("SELECT accounting.make_inbox_partitions(now())")


def mended(dsn_by_context: Mapping[str, str]) -> None:
    """As if the program were: what failed can be read from now on, where it waits and in its letter."""
    readable = BROKEN.replace(b'"many"', b"50")
    with psycopg.connect(dsn_by_context["accounting"]) as connection:
        connection.execute("UPDATE accounting.parked_messages SET data = %s WHERE message_id = 'broken'", (readable,))
        connection.execute("UPDATE accounting.dead_letters SET body = %s WHERE message_id = 'broken'", (readable,))


def test_a_letter_that_was_handled_longer_ago_than_the_inbox_knows_does_not_take_effect_again(
    stores: PostgresStores, host: Host, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    [letter] = cli("dead-letters", "list")  # of a month in which there was no inbox yet
    mended(dsn_by_context)
    cli("dead-letters", "retry", letter["letter"], "--why", "fixed in 1.4.2")
    work_off(stores, host)
    assert balance(stores, "ann") == 30
    all_is_forgotten(dsn_by_context)
    [told] = cli("dead-letters", "retry", letter["letter"], "--why", "once more", code=1)
    assert ("might take effect twice" in told["error"], "--even-if-old" in told["error"]) == (True, True)
    assert told["code"] == "forgotten"
    work_off(stores, host)
    assert (balance(stores, "ann"), waiting(stores, "ann"), keys(stores)) == (30, [], {})
    assert [row[2] for row in actions(dsn_by_context)] == ["retry"]
    [told] = cli("dead-letters", "retry", letter["letter"], "--even-if-old", "--why", "the books lack it")
    assert (told["result"], waiting(stores, "ann")) == ("released", ["broken"])
    assert cli("actions")[0]["detail"].startswith("even if old")


def test_what_the_inbox_knows_is_not_made_to_wait_again_until_it_has_forgotten(
    stores: PostgresStores, host: Host, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    [letter] = cli("dead-letters", "list")
    mended(dsn_by_context)
    cli("dead-letters", "retry", letter["letter"], "--why", "fixed in 1.4.2")
    work_off(stores, host)
    cli("keys", "pause", "accounting", "ann", "--why", "let me look")
    [told] = cli("dead-letters", "retry", letter["letter"], "--why", "once more")
    assert (told["result"], waiting(stores, "ann")) == ("handled before", [])
    all_is_forgotten(dsn_by_context)
    cli("keys", "resume", "accounting", "ann", "--why", "seen")
    work_off(stores, host)
    assert (balance(stores, "ann"), keys(stores)) == (30, {})


def test_a_command_that_waits_may_be_released_however_long_it_has_waited(
    stores: PostgresStores, host: Host, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    all_is_forgotten(dsn_by_context)
    mended(dsn_by_context)
    cli("keys", "resume", "accounting", "ann", "--why", "fixed in 1.4.2")
    work_off(stores, host)
    assert (balance(stores, "ann"), keys(stores)) == (30, {})


def test_a_copy_of_what_was_handled_does_not_wait_for_the_inbox_to_forget(
    stores: PostgresStores, host: Host, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    again = sent(deposit(account_id="bob", deposit_id="b2", amount_sat=7), "b2")
    host.take(again)
    cli("keys", "pause", "accounting", "bob", "--why", "let me look")
    assert host.verdicts(again) == [("done", "")]
    all_is_forgotten(dsn_by_context)
    cli("keys", "resume", "accounting", "bob", "--why", "seen")
    work_off(stores, host)
    assert balance(stores, "bob") == 8


@pytest.mark.parametrize("action", ["resume", "skip"])
def test_events_that_are_older_than_the_inbox_knows_are_asked_about(
    stores: PostgresStores, cli: Cli, dsn_by_context: Mapping[str, str], action: str
) -> None:
    cli("keys", "pause", "accounting", "ann", "--for", "dashboard", "--why", "let me look")
    parking = stores.outbox_reader("accounting").parking
    old = [Envelope(name, "accounting.deposited", 1, "ann", b"{}", "story", "", NOW) for name in ("first", "second")]
    stores.run(parking.park("dashboard", old))
    words = ("keys", action, "accounting", "ann", "--for", "dashboard", "--why", "seen")
    cli(*words, code=1)
    assert [key["state"] for key in cli("keys", "list")] == ["paused"]
    cli(*words, "--even-if-old")
    assert [key["state"] for key in cli("keys", "list")] == ["released"]


def test_events_that_the_inbox_would_know_are_released(
    stores: PostgresStores, cli: Cli, dsn_by_context: Mapping[str, str]
) -> None:
    cli("keys", "pause", "accounting", "ann", "--for", "crowdfunding", "--why", "let me look")
    recent = Envelope("new", "accounting.deposited", 1, "ann", b"{}", "story", "", datetime.now(UTC))
    stores.run(stores.outbox_reader("accounting").parking.park("crowdfunding", [recent]))
    cli("keys", "resume", "accounting", "ann", "--for", "crowdfunding", "--why", "seen")


def test_what_was_refused_at_the_door_before_the_inbox_knows_is_asked_about(
    stores: PostgresStores, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused_at_the_door(stores, died_at=NOW)
    talking(monkeypatch, Answer("typo", Verdict.DONE, ""))
    [letter] = cli("dead-letters", "list", "--context", "ingress")
    [told] = cli("dead-letters", "retry", letter["letter"], "--why", "fixed in 1.4.2", code=1)
    assert "might take effect twice" in told["error"]
    assert cli("dead-letters", "list", "--context", "ingress") == [letter]
    cli(
        "dead-letters", "retry", letter["letter"], "--even-if-old", "--why", "the producer says it was never sent again"
    )
    assert cli("dead-letters", "list", "--context", "ingress") == []


def test_nobody_pauses_a_key_that_is_empty(dsn_by_context: Mapping[str, str], host: Host) -> None:
    desk, zoe = OperatorDesk(dsn_by_context), Operator("zoe", "let me look")
    for act in (desk.pause, desk.resume, desk.skip):
        with pytest.raises(DeskError, match="nobody's"):
            act("accounting", "commands", "", zoe)
    with psycopg.connect(dsn_by_context["accounting"]) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "INSERT INTO accounting.parked_keys VALUES ('commands', '', 'paused', 'by hand', now(), 'zoe')"
        )
