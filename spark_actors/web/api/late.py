"""What of the API is there from the start: paths, and no more. The schemas of all messages take a second and twenty
MiB, and so are made when somebody asks for them first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from spark_actors.application import Application
from spark_actors.web.app import API
from spark_actors.web.pages import Audience, Link, Page, Pages, Visit
from spark_actors.web.pages import Route as PageRoute
from spark_actors.web.streams import Streams

if TYPE_CHECKING:
    from spark_actors.web.api.api import Api
    from spark_actors.web.api.calls import Broker

T = TypeVar("T")
JSON = "application/json"


class Late(Generic[T]):
    """Something that is made in a thread when it is asked for first, and once."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._made: list[T] = []

    async def get(self) -> T:
        """Raises what making it raises; then the next one tries again."""
        async with self._making:
            if not self._made:
                self._made.append(await asyncio.to_thread(self._make))
        return self._made[0]


class LateApi:
    """The API, and the pages that describe it."""

    def __init__(self, application: Application, broker: Broker, streams: Streams) -> None:
        def make() -> Api:
            from spark_actors.web.api.api import Api

            return Api(application, broker, streams)

        self._api = Late(make)

    def routes(self) -> list[BaseRoute]:
        """The paths that are for programs."""
        return [
            Mount(API, self._answer),
            Route("/openapi.json", self._openapi, methods=["GET"]),
            Route("/asyncapi.json", self._asyncapi, methods=["GET"]),
        ]

    def pages(self) -> Pages:
        """For anybody: what the catalogue says is no secret, and what a form asks for the daemon judges."""
        anybody = Audience.ANYBODY
        return Pages(
            routes=(
                PageRoute("GET", "/docs", anybody, self._overview),
                PageRoute("GET", "/docs/{name}", anybody, self._message),
                PageRoute("POST", "/docs/{name}", anybody, self._tried),
            ),
            templates=__package__,
            menu=(Link("API", "/docs", Audience.READER),),
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._api.get()).app(scope, receive, send)

    async def _openapi(self, request: Request) -> Response:
        api = await self._api.get()
        return Response(await asyncio.to_thread(lambda: api.openapi), media_type=JSON)

    async def _asyncapi(self, request: Request) -> Response:
        api = await self._api.get()
        return Response(await asyncio.to_thread(lambda: api.asyncapi), media_type=JSON)

    async def _overview(self, visit: Visit) -> Page:
        return (await self._api.get()).docs.overview()

    async def _message(self, visit: Visit) -> Page:
        return (await self._api.get()).docs.message(visit)

    async def _tried(self, visit: Visit) -> Page:
        return await (await self._api.get()).docs.tried(visit)
