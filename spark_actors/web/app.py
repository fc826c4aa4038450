"""The web application: routes as data become answers over HTTP, behind one protection for all of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qsl

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount
from starlette.routing import Route as HttpRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spark_actors.kernel.errors import SparkError
from spark_actors.web import tuning
from spark_actors.web.options import WebOptions
from spark_actors.web.pages import (
    NOBODY,
    Answer,
    Asker,
    Audience,
    AwayError,
    LogIn,
    LogOut,
    NotAllowedError,
    NothingThereError,
    Page,
    Pages,
    Redirect,
    Route,
    TooBusyError,
    Visit,
    Visitor,
)
from spark_actors.web.protection import HARMLESS, HEADERS, refusal_of
from spark_actors.web.rendering import LIVE, STATIC, Renderer, Surroundings, address
from spark_actors.web.sessions import Sessions
from spark_actors.web.streams import Look, Streams

log = structlog.get_logger(__name__)

SECRET_FIELDS = ("password", "token")
"""A form with one of these is never shown again with what was in it."""
EVENT_STREAM = "text/event-stream"
API = "/api"
"""Below it no cookie is read."""
NEVER_EXPIRES = float("inf")


class Daemon(Protocol):
    """Who asks and sends for visitors."""

    def for_visitor(self, visitor: Visitor) -> Asker: ...


class _FormError(SparkError):
    """What was sent is no form of ours."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(status, sentence)
        self.status, self.sentence = status, sentence


@dataclass(frozen=True, kw_only=True)
class Site:
    """What all routes are served with."""

    options: WebOptions
    daemon: Daemon
    streams: Streams
    sessions: Sessions
    renderer: Renderer
    log_in: str
    """Where people log in; empty if they cannot."""


def site_of(name: str, pages: Sequence[Pages], daemon: Daemon, streams: Streams, options: WebOptions) -> Site:
    """*name*: that of the application. Of *pages* the later stand before the earlier."""
    return Site(
        options=options,
        daemon=daemon,
        streams=streams,
        sessions=Sessions(options.port, is_encrypted=options.is_encrypted),
        renderer=Renderer(name, pages),
        log_in=next((each.log_in for each in reversed(pages) if each.log_in), ""),
    )


def web_app(site: Site, pages: Sequence[Pages], for_programs: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The whole of it, as an ASGI application. *for_programs*: what reads no cookie, below the path API."""
    routes = [(route, each.log_in or site.log_in) for each in reversed(pages) for route in each.routes]
    served: list[BaseRoute] = [*for_programs, Mount("/static", StaticFiles(directory=str(STATIC)))]
    for route, log_in in routes:
        if route.live:
            served.append(HttpRoute(f"{LIVE}{route.path}", partial(_stream, site, route), methods=["GET"]))
        served.append(HttpRoute(route.path, partial(_answer, site, route, log_in), methods=[route.method]))
    inside = Starlette(
        routes=served,
        exception_handlers={
            HTTPException: partial(_http_error, site),
            SparkError: partial(_spark_error, site),
            Exception: partial(_bug, site),
        },
    )
    return _Protected(inside, site)


async def _answer(site: Site, route: Route, log_in: str, request: Request) -> Response:
    """*log_in*: where people log in for this route; empty if they cannot."""
    request.state.log_in = log_in
    visitor = _visitor(site, request)
    if not visitor.is_of(route.audience):
        return _not_for(site, route, request, visitor)
    form = await _form(request) if route.method == "POST" else {}
    request.state.form = form
    answer = await route.handler(_visit(site, request, visitor, form))
    return _response(site, request, answer, visitor, is_live=bool(route.live))


def _visit(site: Site, request: Request, visitor: Visitor, form: Mapping[str, str]) -> Visit:
    return Visit(
        visitor=visitor,
        daemon=site.daemon.for_visitor(visitor),
        now=datetime.now(UTC),
        url=site.options.url,
        path={name: str(value) for name, value in request.path_params.items()},
        query=dict(request.query_params),
        form=form,
    )


async def _stream(site: Site, route: Route, request: Request) -> Response:
    """The same handler, asked again and again; for a page for anybody on behalf of nobody."""
    visitor = _visitor(site, request)
    if not visitor.is_of(route.audience):
        return Response(status_code=HTTPStatus.UNAUTHORIZED)
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return Response(status_code=HTTPStatus.FORBIDDEN)
    if request.method == "HEAD":
        return Response(media_type=EVENT_STREAM)
    if site.streams.is_full:
        wait = {"Retry-After": str(tuning.RETRY_AFTER_SECONDS)}
        return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE, headers=wait)
    looker = NOBODY if route.audience is Audience.ANYBODY else visitor
    path = request.url.path.removeprefix(LIVE)

    async def ask() -> Look:
        answer = await route.handler(_visit(site, request, looker, {}))
        if not isinstance(answer, Page):
            return Look("", is_final=True)
        if answer.status >= HTTPStatus.BAD_REQUEST:  # a page about what is wrong has no such part
            raise AwayError("this is not answered just now")
        return Look(site.renderer.fragment(route.live, answer), answer.is_final)

    key = (path, request.url.query, looker.token)
    messages = site.streams.follow(key, ask, looker.expires_at if looker.is_known else NEVER_EXPIRES)
    return streamed(messages)


def streamed(messages: AsyncIterator[str]) -> Response:
    """The answer that a stream is."""
    return StreamingResponse(
        _bytes(messages),
        media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _bytes(messages: AsyncIterator[str]) -> AsyncIterator[bytes]:
    async for message in messages:
        yield message.encode()


def _response(site: Site, request: Request, answer: Answer, visitor: Visitor, *, is_live: bool = False) -> Response:
    match answer:
        case Page():
            path = request.url.path
            question = dict(request.query_params)
            live = address(f"{LIVE}{request.scope['raw_path'].decode('ascii')}", question) if is_live else ""
            around = Surroundings(visitor, address(path, question), live)
            html = site.renderer.page(answer, around)
            # Who goes back sees the page as it was, with the form that was sent: sent again, it counts once.
            return HTMLResponse(html, answer.status, {"Cache-Control": "private, no-cache"})
        case Redirect(path):
            return _see_other(path)
        case LogIn(token, path):
            return _see_other(path, {"Set-Cookie": site.sessions.begun(token, time.time())})
        case LogOut(path):
            return _see_other(path, {"Set-Cookie": site.sessions.ended(), "Clear-Site-Data": '"cache"'})


def _see_other(path: str, headers: Mapping[str, str] | None = None) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store", **(headers or {})})


def _visitor(site: Site, request: Request) -> Visitor:
    return site.sessions.visitor(request.cookies, time.time())


async def _form(request: Request) -> dict[str, str]:
    """Raises _FormError."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise _FormError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A form of these pages was expected.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > tuning.BODY_BYTES:
            raise _FormError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is more text than this form takes.")
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=tuning.FORM_FIELDS
        )
    except ValueError:
        raise _FormError(HTTPStatus.BAD_REQUEST, "A form of these pages was expected.") from None
    return {name: value.replace("\r\n", "\n") for name, value in fields}  # as browsers send the end of a line


def _not_for(site: Site, route: Route, request: Request, visitor: Visitor) -> Response:
    """To log in, if they have not; else no."""
    if visitor.is_known:
        sentence = "Your login does not allow you to see this."
        return _error(site, request, HTTPStatus.FORBIDDEN, "Not for you", sentence, is_to_log_in=True)
    log_in: str = request.state.log_in
    if log_in and route.method == "GET":
        return _see_other(address(log_in, {"then": address(request.url.path, dict(request.query_params))}))
    sentence = "For this you have to log in. If you were logged in, your session is over."
    return _error(site, request, HTTPStatus.UNAUTHORIZED, "Log in first", sentence)


def _error(
    site: Site,
    request: Request,
    status: int,
    title: str,
    sentence: str,
    *,
    again: Mapping[str, str] | None = None,
    is_passing: bool = False,
    is_to_log_in: bool = False,
) -> Response:
    """A page that says what is wrong. *again*: a form to send once more. *is_passing*: it asks again by itself.
    *is_to_log_in*: it leads to where one logs in, as that of who has not does."""
    log_in = getattr(request.state, "log_in", site.log_in)
    values = {
        "title": title,
        "sentence": sentence,
        "again": again,
        "is_passing": is_passing and request.method in HARMLESS,
        "log_in": log_in if is_to_log_in or status == HTTPStatus.UNAUTHORIZED else "",
    }
    page = Page("error.html", values, status=int(status))
    return _response(site, request, page, _visitor(site, request))


async def _http_error(site: Site, request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    if status == HTTPStatus.NOT_FOUND:
        return _error(site, request, status, "Nothing here", "There is no page of this address.")
    return _error(site, request, status, "That does not work", f"{HTTPStatus(status).phrase}.")


async def _spark_error(site: Site, request: Request, error: Exception) -> Response:
    match error:
        case AwayError():
            return _away(site, request)
        case NothingThereError():
            sentence = f"There is no {error.what} here, or it is not yours. If it is new, it may show in a moment."
            return _error(site, request, HTTPStatus.NOT_FOUND, "Nothing here", sentence)
        case NotAllowedError(code="unauthenticated"):
            sentence = "Your session is over, or was not believed. Log in again."
            response = _error(site, request, HTTPStatus.UNAUTHORIZED, "Log in again", sentence)
            response.headers["Set-Cookie"] = site.sessions.ended()
            return response
        case NotAllowedError():
            sentence = "Your login does not allow you to see this."
            return _error(site, request, HTTPStatus.FORBIDDEN, "Not for you", sentence)
        case TooBusyError():
            sentence = "Too many people ask for this just now. Try again in a moment."
            return _error(site, request, HTTPStatus.SERVICE_UNAVAILABLE, "Busy", sentence)
        case _FormError():
            return _error(site, request, error.status, "That does not work", error.sentence)
        case _:
            return await _bug(site, request, error)


def _away(site: Site, request: Request) -> Response:
    form: Mapping[str, str] = getattr(request.state, "form", {})
    is_shown_again = bool(form) and not any(name in form for name in SECRET_FIELDS)
    sentence = (
        "What you sent may have arrived or not. Send it again when the daemon is back: however often, it counts once."
        if form
        else "This page comes by itself as soon as it is back."
    )
    return _error(
        site,
        request,
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The daemon is away",
        sentence,
        again=form if is_shown_again else None,
        is_passing=True,
    )


async def _bug(site: Site, request: Request, error: Exception) -> Response:
    log.error("page_failed", path=request.url.path, exc_info=error)
    sentence = "This should not happen. The log of these pages says why."
    return _error(site, request, HTTPStatus.INTERNAL_SERVER_ERROR, "A mistake of ours", sentence)


class _Protected:
    """Refuses what is not meant for these pages, and adds to each answer what browsers are told of them."""

    def __init__(self, inside: ASGIApp, site: Site) -> None:
        self._inside, self._site = inside, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*_plain_headers(scope, message), *message["headers"]]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        options = self._site.options
        is_for_programs = scope["path"].startswith(f"{API}/")
        refusal = refusal_of(scope["method"], headers, options.hosts, options.origins, is_for_programs=is_for_programs)
        if refusal is None:
            await self._inside(scope, receive, send_with_headers)
            return
        request = Request(scope, receive)
        response = _error(self._site, request, refusal.status, "Refused", refusal.sentence)
        await response(scope, receive, send_with_headers)


def _plain_headers(scope: Scope, message: Message) -> list[tuple[bytes, bytes]]:
    headers: dict[str, Any] = dict(HEADERS)
    if scope["path"].startswith("/static/") and b"v=" in scope["query_string"] and message["status"] == HTTPStatus.OK:
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
