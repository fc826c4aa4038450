"""The way to the daemon: one connection to its broker for all visitors, made again whenever it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import msgspec
import structlog

from spark_actors.ingress.client import (
    ClientError,
    OutcomeUnknownError,
    SparkClient,
    ViewRefusedError,
)
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.messages import Action, Command, Query
from spark_actors.web import tuning
from spark_actors.web.options import FindBroker
from spark_actors.web.pages import Asker, AwayError, NotAllowedError, Outcome, Sent, TooBusyError, Visitor

T = TypeVar("T")
log = structlog.get_logger(__name__)

NOT_FOUND = "not_found"
NOT_NOW = ("unavailable", "storage_unavailable", "unreadable")
"""What the daemon says of a question that it cannot answer just now."""
_SENT = {Verdict.DONE: Sent.DONE, Verdict.REJECTED: Sent.REJECTED, Verdict.PARKED: Sent.UNDER_WAY}


class Gateway:
    """Asks and sends for visitors. `keep` is to run as long as it is used."""

    def __init__(self, find: FindBroker, on_sent: Callable[[], None] = lambda: None) -> None:
        """*on_sent* is called after each command that the broker has taken, and after each action."""
        self._find = find
        self._on_sent = on_sent
        self._client: SparkClient | None = None
        self._threads = ThreadPoolExecutor(tuning.THREADS, thread_name_prefix="web-work")
        self._at_work = 0

    async def keep(self) -> None:
        """Be connected, again and again, until cancelled; then close."""
        try:
            while True:
                if self._client is None or self._client.is_closed:
                    await self._connect()
                await asyncio.sleep(tuning.RECONNECT_SECONDS)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            if self._client is not None:
                await self._client.close()

    async def _connect(self) -> None:
        was_there, self._client = self._client, None
        if was_there is not None:
            log.warning("broker_lost")
            await was_there.close()
        address = self._find()
        if address is None:
            return
        try:
            self._client = await SparkClient.connect(address.url, address.token)
        except ClientError as error:
            log.debug("broker_away", error=str(error))
            return
        log.info("broker_reached")

    def for_visitor(self, visitor: Visitor) -> Asker:
        """What asks and sends with this visitor's token."""
        return _VisitorsWay(self, visitor)

    async def ask(self, query: Query, token: str) -> Any:
        """See `Asker.ask`."""
        seconds = tuning.ACTION_SECONDS if isinstance(query, Action) else tuning.VIEW_SECONDS
        try:
            answer = await self.acting_as(token).view(query, timeout=seconds)
        except ViewRefusedError as error:
            if error.code == NOT_FOUND:
                return None
            if error.code in NOT_NOW:
                raise AwayError(error.code) from error
            raise NotAllowedError(error.code, error.detail) from error
        except ClientError as error:
            raise AwayError(str(error)) from error
        finally:
            if isinstance(query, Action):
                self._on_sent()
        return msgspec.convert(answer, query.RESULT)

    async def send(self, command: Command, message_id: str, token: str) -> Outcome:
        """See `Asker.send`."""
        client = self.acting_as(token)
        try:
            answer = await client.send(command, message_id=message_id, timeout=tuning.OUTCOME_SECONDS)
        except OutcomeUnknownError:
            return Outcome(Sent.UNDER_WAY)
        except ClientError as error:
            raise AwayError(str(error)) from error
        finally:
            self._on_sent()
        return Outcome(_SENT.get(answer.outcome, Sent.REFUSED), answer.reason)

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """See `Asker.in_thread`."""
        if self._at_work >= tuning.WORK_WAITING_MOST:
            raise TooBusyError
        self._at_work += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *arguments))
        finally:
            self._at_work -= 1

    def acting_as(self, token: str) -> SparkClient:
        """The client for whoever has this token; for nobody if it is empty. Raises AwayError."""
        if self._client is None or self._client.is_closed:
            raise AwayError("there is no connection to its broker")
        return self._client.acting_as(token)


class _VisitorsWay:
    def __init__(self, gateway: Gateway, visitor: Visitor) -> None:
        self._gateway, self._token = gateway, visitor.token

    def with_token(self, token: str) -> Asker:
        return self._gateway.for_visitor(Visitor(token=token))

    async def ask(self, query: Query) -> Any:
        return await self._gateway.ask(query, self._token)

    async def send(self, command: Command, message_id: str) -> Outcome:
        return await self._gateway.send(command, message_id, self._token)

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await self._gateway.in_thread(work, *arguments)
