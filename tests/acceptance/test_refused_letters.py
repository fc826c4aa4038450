"""What the door refused of an operator: it is kept until it is corrected or let through, and then handled once."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

import psycopg
from psycopg.rows import dict_row

from domain.accounting.messages import Deposit, OpenAccount
from spark_actors.ingress.client import SparkClient
from spark_actors.messaging.cloudevents import command_subject, event_type
from tests.acceptance.test_poison import ask, send, value
from tests.fixtures.daemon import Daemon

SUBJECT = command_subject(Deposit.TYPE)


def a_deposit(account_id: str, amount: object) -> bytes:
    """Its id is that of the account."""
    data = {"account_id": account_id, "deposit_id": f"{account_id}-1", "amount_sat": amount}
    event = {"specversion": "1.0", "id": account_id, "source": "test", "type": event_type(Deposit.TYPE)}
    return json.dumps({**event, "subject": account_id, "data": data, "why": "a test"}).encode()


def malformed(account_id: str) -> bytes:
    """A deposit of "ten" satoshis."""
    return a_deposit(account_id, "ten")


def refusal_of(daemon: Daemon, body: bytes, subject: str = SUBJECT) -> str:
    """What the door says of a deposit; nothing if it lets it in and it is done."""

    async def talk() -> str:
        card = daemon.card
        async with await SparkClient.connect(card.nats_url, card.nats_token, identity=card.operator_token) as client:
            return (await client.send_raw(subject, body, timeout=30)).reason

    return asyncio.run(talk())


def letter_of(daemon: Daemon, message_id: str) -> dict[str, Any]:
    """The one letter of a message."""
    with psycopg.connect(daemon.card.dsn["ingress"], row_factory=dict_row) as connection:
        [letter] = connection.execute("SELECT * FROM ingress.dead_letters WHERE message_id = %s", (message_id,))
    return letter


def act(daemon: Daemon, action: str, message_id: str, *words: str) -> dict[str, Any]:
    address = f"ingress/{letter_of(daemon, message_id)['letter_id']}"
    [told] = ask(daemon, "dead-letters", action, address, *words, "--why", "a test")
    return dict(told)


def balance(daemon: Daemon, account_id: str) -> int:
    return int(value(daemon, f"SELECT balance_sat FROM accounting.accounts WHERE account_id = '{account_id}'"))


def test_what_the_door_refused_is_refused_again_as_it_is_and_waits_on(running: Daemon) -> None:
    assert refusal_of(running, malformed("dora")) == "malformed_data"
    before = letter_of(running, "dora")
    assert (before["subscriber"], before["state"], before["body"]) == ("ingress", "waiting", malformed("dora"))
    assert act(running, "retry", "dora")["result"] == "failed malformed_data"
    after = letter_of(running, "dora")
    assert after == {**before, "attempts": 2, "died_at": after["died_at"]}


def test_what_the_door_refused_is_handled_once_when_it_is_corrected(running: Daemon) -> None:
    assert send(running, OpenAccount(account_id="otto")) == ["done"]
    assert refusal_of(running, malformed("otto")) == "malformed_data"
    assert "amount_sat = 'eleven'" in act(running, "edit", "otto", "amount_sat=eleven")["error"]
    assert letter_of(running, "otto")["state"] == "waiting"
    assert act(running, "edit", "otto", "amount_sat=10")["result"] == "done"
    letter = letter_of(running, "otto")
    assert (letter["state"], letter["body"], balance(running, "otto")) == ("edited", malformed("otto"), 10)
    handled = f"SELECT verdict FROM accounting.inbox WHERE message_id LIKE '% {letter['edited_into']}'"
    assert value(running, handled) == "done"
    assert "is edited: nothing was done" in act(running, "edit", "otto", "amount_sat=20")["error"]
    assert balance(running, "otto") == 10


def bucket(key: str) -> int:
    """As any producer computes it."""
    return zlib.crc32(key.encode()) & 4095


def test_a_producer_may_name_the_bucket_of_the_key(running: Daemon) -> None:
    assert send(running, OpenAccount(account_id="bea")) == ["done"]
    assert refusal_of(running, a_deposit("bea", 10), f"{SUBJECT}.{bucket('bea')}") == ""
    assert refusal_of(running, a_deposit("bea", 10)) == ""  # the same command without it: known by its id
    assert balance(running, "bea") == 10


def test_what_came_on_the_bucket_of_another_key_is_refused_and_handled_once_it_is_let_through(running: Daemon) -> None:
    assert send(running, OpenAccount(account_id="cleo")) == ["done"]
    assert refusal_of(running, a_deposit("cleo", 10), f"{SUBJECT}.{bucket('bea')}") == "bucket_mismatch"
    assert balance(running, "cleo") == 0
    assert f"expected {bucket('cleo')}" in letter_of(running, "cleo")["reason"]
    assert act(running, "retry", "cleo")["result"] == "done"
    assert balance(running, "cleo") == 10
