"""The desk as an Ingress has it: answers over the broker, in a few threads of its own, so that commands do not wait.

Who asks more than the threads do is told to ask again. What is done to a letter that the door refused, and what is sent
to the door again for it, goes out with the token of who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from spark_actors.ingress.client import Answer, OutcomeUnknownError, SparkClient
from spark_actors.kernel.messages import Action, Query
from spark_actors.messaging.cloudevents import parted
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.ports import Asker, DeskHandler, DeskHandlers
from spark_actors.operations import tuning
from spark_actors.operations.acts import Actor, told
from spark_actors.operations.desk import Desk
from spark_actors.operations.messages import MESSAGES, WhoAmI, WhoYouAre
from spark_actors.persistence.operator_desk import DeskError

T = TypeVar("T")


async def who_am_i(question: WhoAmI, asker: Asker) -> WhoYouAre:
    """By the token alone."""
    ends = datetime.fromtimestamp(asker.good_until, UTC)
    return WhoYouAre(asker.name, asker.subject, tuple(sorted(asker.roles)), ends)


class DeskAtBroker:
    """Answers what is asked of the desk. Close it when nobody asks any more."""

    def __init__(self, desk: Desk, connect: Callable[[], Awaitable[SparkClient]]) -> None:
        """*connect* makes a client of the deployment's own broker, for nobody in particular."""
        self._desk = desk
        self._threads = ThreadPoolExecutor(tuning.THREADS, thread_name_prefix="desk")
        self._asked = 0
        self._connect = connect
        self._client: SparkClient | None = None
        self._connecting = asyncio.Lock()

    @property
    def handlers(self) -> DeskHandlers:
        """Of every message of the runtime."""
        asked: dict[type[Query], DeskHandler] = {WhoAmI: who_am_i}
        for cls in MESSAGES:
            if issubclass(cls, Action):
                asked[cls] = self.act
            elif issubclass(cls, Query) and cls is not WhoAmI:
                asked[cls] = self.answer
        return asked

    async def answer(self, question: Query, asker: Asker) -> object | None:
        """Raises RefusedError for what cannot be, StorageError."""
        return await self._within(partial(self._desk.answer, question))

    async def act(self, action: Any, asker: Asker) -> object | None:
        """The same for what is to be done."""
        loop, token = asyncio.get_running_loop(), asker.authorization.removeprefix("Bearer ")

        def resend(subject: str, body: bytes) -> str:  # in a thread of the desk
            sent = asyncio.run_coroutine_threadsafe(self._sent(token, subject, body), loop)
            try:
                return told(sent.result(tuning.LOOP_SECONDS))
            except TimeoutError:  # it is stopping: nobody is left who would take the answer
                raise OutcomeUnknownError(f"no outcome within {tuning.LOOP_SECONDS:g} s") from None

        return await self._within(partial(self._desk.act, action, Actor(asker.name, resend), tuning.ACT_SECONDS))

    async def close(self) -> None:
        """What is under way goes on to its end; nobody waits for it."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            await self._client.close()

    async def _sent(self, token: str, subject: str, body: bytes) -> Answer:
        """Raises ClientError."""
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                self._client = await self._connect()
        short, _ = parted(subject)
        return await self._client.acting_as(token).send_raw(short, body, timeout=tuning.OUTCOME_SECONDS)

    async def _within(self, work: Callable[[], T]) -> T:
        if self._asked >= tuning.ASKED_AT_ONCE:
            raise RefusedError("busy", f"{self._asked} others are asking; ask again", retry_after_seconds=1)
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except DeskError as error:
            raise RefusedError(error.code, str(error)) from error
        finally:
            self._asked -= 1
