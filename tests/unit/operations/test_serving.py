"""The desk in an Ingress: bounded, in threads of its own, and its refusals are told as such."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event
from typing import Any, cast

import pytest

from spark_actors.ingress.client import Answer, NotAcceptedError, OutcomeUnknownError, SparkClient
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Query
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.ports import Asker
from spark_actors.operations import tuning
from spark_actors.operations.acts import Actor, told
from spark_actors.operations.desk import Desk
from spark_actors.operations.messages import MESSAGES, ListLetters, PauseKey
from spark_actors.operations.serving import DeskAtBroker
from spark_actors.persistence.operator_desk import DeskError, ForgottenError
from tests.unit.actors.test_ingress import NOW

ZOE = Asker("operator zoe", "zoe", {"operator"}, 0.0, "Bearer zoes-token")
PAUSE = PauseKey("accounting", "ann", "a test")


class FakeDesk:
    """Answers and acts as the test says."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.actors: list[Actor] = []

    def answer(self, question: Query) -> Any:
        return self.work()

    def act(self, action: Any, actor: Actor, seconds: float) -> Any:
        self.actors.append(actor)
        return self.work()


class FakeClient:
    """Remembers with whose token it sent what."""

    is_closed = False

    def __init__(self, outcome: Answer | Exception) -> None:
        self.outcome, self.token = outcome, ""
        self.sent: list[tuple[str, str, bytes]] = []

    def acting_as(self, token: str) -> FakeClient:
        self.token = token
        return self

    async def send_raw(self, subject: str, body: bytes, *, timeout: float) -> Answer:
        self.sent.append((self.token, subject, body))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def close(self) -> None: ...


def at_broker(desk: FakeDesk, client: FakeClient | None = None) -> DeskAtBroker:
    async def connect() -> SparkClient:
        return cast(SparkClient, client)

    return DeskAtBroker(cast(Desk, desk), connect)


def test_every_message_of_the_desk_has_who_answers_it() -> None:
    assert set(at_broker(FakeDesk(list)).handlers) == set(MESSAGES)


def test_who_asks_more_than_the_desk_does_at_once_is_told_to_ask_again() -> None:
    gate = Event()

    async def play() -> list[object]:
        served = at_broker(FakeDesk(lambda: gate.wait(30)))
        first = [asyncio.create_task(served.answer(ListLetters(), ZOE)) for _ in range(tuning.ASKED_AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(RefusedError) as refused:
            await served.answer(ListLetters(), ZOE)
        gate.set()
        answers: list[object] = await asyncio.gather(*first)
        assert (refused.value.code, refused.value.retry_after_seconds) == ("busy", 1)
        assert await served.answer(ListLetters(), ZOE) is True
        await served.close()
        return answers

    assert asyncio.run(play()) == [True] * tuning.ASKED_AT_ONCE


@pytest.mark.parametrize(
    ("error", "code"), [(DeskError("gone"), "refused"), (ForgottenError("m", NOW, None), "forgotten")]
)
def test_a_refusal_of_the_desk_is_one_of_the_answer(error: Exception, code: str) -> None:
    def refuse() -> None:
        raise error

    with pytest.raises(RefusedError) as refused:
        asyncio.run(at_broker(FakeDesk(refuse)).act(PAUSE, ZOE))
    assert (refused.value.code, refused.value.detail) == (code, str(error))


def resent(outcome: Answer | Exception) -> tuple[str, FakeClient]:
    """How a letter ended that the desk sends to the door again, from a thread of its own."""
    client = FakeClient(outcome)
    desk = FakeDesk(lambda: desk.actors[-1].resend("spark.commands.accounting.deposit.17", b"body"))

    async def play() -> object:
        served = at_broker(desk, client)
        try:
            return await served.act(PAUSE, ZOE)
        finally:
            await served.close()

    return str(asyncio.run(play())), client


def test_what_goes_to_the_door_again_goes_with_the_token_of_who_asks_and_without_its_bucket() -> None:
    ended, client = resent(Answer("m", Verdict.REJECTED, "insufficient_funds"))
    assert ended == "rejected insufficient_funds"
    assert client.sent == [("zoes-token", "spark.commands.accounting.deposit", b"body")]


@pytest.mark.parametrize("error", [NotAcceptedError("full"), OutcomeUnknownError("not yet")])
def test_what_could_not_be_sent_is_an_error_of_its_own(error: Exception) -> None:
    with pytest.raises(type(error)):
        resent(error)


def test_what_its_sender_may_not_send_is_refused() -> None:
    with pytest.raises(DeskError, match="forbidden: not yours"):
        told(Answer("m", Verdict.FAILED, "forbidden", {"detail": "not yours"}))
