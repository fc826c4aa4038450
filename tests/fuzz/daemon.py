"""Hostile messages for a running daemon, with good ones in between whose waiting is measured."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from spark_actors.embedded.data_dir import DaemonCard
from spark_actors.messaging.cloudevents import authorization
from tests.fixtures.raw_nats import hpub, pub, reply_to, send_raw
from tests.fuzz.hostile import Hostile

PATIENCE_SECONDS = 60.0
ODD_REPLIES = [
    b"spark.commands.accounting.deposit",
    b"$JS.API.STREAM.PURGE.SPARK_COMMANDS",
    b">",
    b"a" * 5_000,
    b"\xff",
]
UNREADABLE = [
    pub(b"spark.commands.\xff\xfe", b"{}"),
    hpub(b"spark.commands.x", b"NATS/1.0 404 \xff\xff\r\n\r\n", b"{}"),
    hpub(b"spark.commands.x", b"NATS/1.0", b"{}"),
    *(hpub(b"spark.commands.accounting.deposit", reply_to(value), b"{}") for value in ODD_REPLIES),
]
"""What no client library would send."""


@dataclass
class Answers:
    """What came back."""

    outcomes: dict[str, str] = field(default_factory=dict)
    """Of the good messages, by their number."""
    waits: list[float] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    """How many hostile ones were refused, by reason."""


async def converse(card: DaemonCard, name: str, good: int, hostile: Sequence[Hostile]) -> Answers:
    """Send *good* deposits one after the other, each answered before the next, and all *hostile* ones in between."""
    client = await nats.connect(card.nats_url, token=card.nats_token, allow_reconnect=False)
    try:
        return await _Conversation(client, card.operator_token, name, hostile).hold(good)
    finally:
        await client.close()


async def send_unreadable(card: DaemonCard) -> None:
    """Send what no client library would."""
    port = int(card.nats_url.rpartition(":")[2])
    await send_raw(port, card.nats_token, b"".join(UNREADABLE))


HEADER_NAME = re.compile(r"[a-z0-9_-]+", re.ASCII)


def _sendable(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a message's headers, those that stay what they are in the client and on the line."""
    return {name: value for name, value in headers.items() if value.isprintable() and HEADER_NAME.fullmatch(name)}


class _Conversation:
    def __init__(self, client: Client, identity: str, name: str, hostile: Sequence[Hostile]) -> None:
        self._client, self._name, self._hostile = client, name, hostile
        self._identity = authorization(identity)
        self._inbox = client.new_inbox()
        self._answers = Answers()
        self._refused = 0
        self._all_refused = asyncio.Event()

    async def hold(self, good: int) -> Answers:
        await self._client.subscribe(f"{self._inbox}.bad", cb=self._on_refusal)
        share = -(-len(self._hostile) // good)
        for number in range(good):
            for message in self._hostile[number * share : (number + 1) * share]:
                headers = {**_sendable(message.headers), **self._wanted("bad")}
                await self._client.publish(message.subject, message.body, headers=headers)
            await self._deposit(number)
        if self._hostile:
            await asyncio.wait_for(self._all_refused.wait(), PATIENCE_SECONDS)
        return self._answers

    async def _deposit(self, number: int) -> None:
        replies = await self._client.subscribe(f"{self._inbox}.{number}")
        began = time.perf_counter()
        await self._client.publish(
            "spark.commands.accounting.deposit", self._body(number), headers=self._wanted(str(number))
        )
        answer = json.loads((await replies.next_msg(PATIENCE_SECONDS)).data)
        self._answers.waits.append(time.perf_counter() - began)
        self._answers.outcomes[answer["id"]] = answer["outcome"]
        await replies.unsubscribe()

    async def _on_refusal(self, message: Msg) -> None:
        answer = json.loads(message.data)
        reason = answer["reason"] if answer["outcome"] == "failed" else answer["outcome"]
        self._answers.refusals[reason] = self._answers.refusals.get(reason, 0) + 1
        self._refused += 1
        if self._refused == len(self._hostile):
            self._all_refused.set()

    def _wanted(self, name: str) -> dict[str, str]:
        return {**self._identity, "Spark-Reply-To": f"{self._inbox}.{name}"}

    def _body(self, number: int) -> bytes:
        data = {"account_id": self._name, "deposit_id": f"{self._name}-{number}", "amount_sat": 1}
        attributes = {"specversion": "1.0", "id": f"{self._name}-{number}", "source": "/fuzz", "subject": self._name}
        attributes["why"] = "fuzz"
        return json.dumps({**attributes, "type": "spark.accounting.deposit.v1", "data": data}).encode()
