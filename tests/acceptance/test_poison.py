"""Poison on the running daemon: it parks its key alone, everything else flows, and nothing is lost or doubled after."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import psycopg

from domain.accounting.messages import Deposit, OpenAccount, Withdraw
from spark_actors.ingress.client import SparkClient
from spark_actors.kernel.messages import Command
from tests.fixtures.daemon import Daemon, eventually

UNHEARD_OF = """
INSERT INTO accounting.outbox
    (message_id, name, version, key, sequence, data, correlation_id, causation_id, occurred_at)
VALUES ('from-the-future', 'accounting.deposited', 99, 'poison-ann', 2, '{}', 'story', 'cause', now())
"""


def ask(daemon: Daemon, *words: str) -> Any:
    result = daemon.cli(*words, "--json")
    assert result.stdout, result.stderr
    return json.loads(result.stdout)


def send(daemon: Daemon, *commands: Command) -> list[str]:
    """How commands end that are sent one after the other."""

    async def talk() -> list[str]:
        card = daemon.card
        async with await SparkClient.connect(card.nats_url, card.nats_token, identity=card.operator_token) as client:
            return [(await client.send(command, why="a test", timeout=30)).outcome.value for command in commands]

    return asyncio.run(talk())


def deposit(account_id: str, number: int) -> Deposit:
    return Deposit(account_id=account_id, deposit_id=f"{account_id}-{number}", amount_sat=10)


def value(daemon: Daemon, query: str) -> Any:
    with psycopg.connect(daemon.card.dsn["accounting"]) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def parked(daemon: Daemon, key: str) -> int:
    return int(value(daemon, f"SELECT count(*) FROM accounting.parked_keys WHERE key = '{key}'"))


def activity(daemon: Daemon, account_id: str) -> list[str]:
    """What the read model has taken of an account, as it happened."""
    with psycopg.connect(daemon.card.dsn["dashboard"]) as connection:
        rows = connection.execute(
            "SELECT data->>'deposit_id' FROM dashboard.activity"
            " WHERE event_key = %s AND event = 'accounting.deposited' ORDER BY occurred_at, position",
            (account_id,),
        ).fetchall()
    return [row[0] for row in rows]


def taken_up(daemon: Daemon) -> list[str]:
    """The events of released keys in the order in which the read model was handed them."""
    lines = [json.loads(line) for line in (daemon.data_dir / "logs" / "daemon.jsonl").read_text().splitlines()]
    return [line["message_id"] for line in lines if "parked_event_taken_up" in line.values() and _for_views(line)]


def _for_views(line: Mapping[str, Any]) -> bool:
    return line.get("subscriber") == "dashboard" and line.get("key") == "poison-ann"


def test_commands_of_a_paused_key_wait_and_are_handled_in_order_when_it_is_resumed(running: Daemon) -> None:
    assert send(running, OpenAccount(account_id="poison-zoe"), OpenAccount(account_id="poison-bob")) == ["done", "done"]
    ask(running, "keys", "pause", "accounting", "poison-zoe", "--why", "a test")
    withdrawal = Withdraw(account_id="poison-zoe", withdrawal_id="w1", amount_sat=10)
    assert send(running, deposit("poison-zoe", 1), deposit("poison-bob", 1), withdrawal) == ["parked", "done", "parked"]
    assert [key["messages"] for key in ask(running, "keys", "list", "--key", "poison-zoe")] == [2]
    ask(running, "keys", "resume", "accounting", "poison-zoe", "--why", "a test")
    assert eventually(lambda: parked(running, "poison-zoe") == 0)
    assert value(running, "SELECT balance_sat FROM accounting.accounts WHERE account_id = 'poison-zoe'") == 0
    assert value(running, "SELECT count(*) FROM accounting.ledger WHERE debit_account = 'poison-zoe'") == 1


def test_an_event_that_nobody_knows_parks_its_key_and_the_rest_follows_in_order_once_it_is_given_up(
    running: Daemon,
) -> None:
    assert send(running, OpenAccount(account_id="poison-ann"), deposit("poison-ann", 1)) == ["done", "done"]
    assert eventually(lambda: activity(running, "poison-ann") == ["poison-ann-1"])
    with psycopg.connect(running.card.dsn["accounting"], autocommit=True) as connection:
        connection.execute(UNHEARD_OF)
    assert eventually(lambda: parked(running, "poison-ann") > 0)
    assert set(send(running, *[deposit("poison-ann", number) for number in range(2, 7)], deposit("poison-bob", 2))) == {
        "done"
    }
    assert eventually(lambda: "poison-bob-2" in activity(running, "poison-bob"))
    assert eventually(lambda: value(running, "SELECT count(*) FROM accounting.outbox") == 0)
    assert activity(running, "poison-ann") == ["poison-ann-1"]
    backlog = {row["context"]: row for row in ask(running, "status")["backlog"]}["accounting"]
    assert backlog["parked_keys"] == backlog["dead_letters"] > 0
    waiting = value(
        running,
        "SELECT array_agg(message_id ORDER BY place) FROM accounting.parked_messages WHERE subscriber = 'dashboard'",
    )
    ask(running, "dead-letters", "discard", "--reason", "not_understood", "--why", "a test")
    assert eventually(lambda: parked(running, "poison-ann") == 0)
    assert activity(running, "poison-ann") == [f"poison-ann-{number}" for number in range(1, 7)]
    assert eventually(lambda: taken_up(running) == waiting[1:])
    assert running.cli("audit").returncode == 0
