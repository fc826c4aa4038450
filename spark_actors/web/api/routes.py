"""The API over HTTP: headers and bodies become calls, and what these give becomes answers.

One rule for the paths: `/api/commands`, `/api/views` or `/api/actions`, then the wire name with a slash for its dot.
Who asks is said by `Authorization: Bearer` alone; no cookie is read, and there are no CORS headers.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from spark_actors.kernel.errors import SparkError
from spark_actors.kernel.messages import Message
from spark_actors.messaging.cloudevents import CONTENT_TYPE_HEADER, EVENT_CONTENT_TYPE, event_headers, is_json
from spark_actors.web import tuning
from spark_actors.web.api.calls import Answered, Calls, has_secrets
from spark_actors.web.api.problems import PROBLEM_TYPE, ProblemError, http_problem, refused
from spark_actors.web.app import NEVER_EXPIRES, streamed
from spark_actors.web.forms import FieldsError, JsonSchema, values_of
from spark_actors.web.pages import AwayError
from spark_actors.web.sessions import bearer_of
from spark_actors.web.streams import Look, Streams

log = structlog.get_logger(__name__)

NOT_KEPT = {"Cache-Control": "no-store"}
_BEARER = re.compile(r"(?i:bearer) +([!-~]{1,4000})")
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})(?:$|[,;\s])")
Endpoint = Callable[[Request], Awaitable[Response]]


def app_of(calls: Calls, streams: Streams, schemas: Mapping[str, JsonSchema]) -> ASGIApp:
    """What is below the path of the API. *schemas*: of messages by their names."""
    http = _Http(calls, streams, schemas)
    return Starlette(
        routes=[
            Route("/commands/{context}/{name}", _guarded(http.command), methods=["POST"]),
            Route("/views/{context}/{name}", _guarded(http.view), methods=["GET", "POST"]),
            Route("/actions/{context}/{name}", _guarded(http.action), methods=["POST"]),
            Route("/stream/{context}/{name}", _guarded(http.stream), methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_error},
    )


class _Http:
    def __init__(self, calls: Calls, streams: Streams, schemas: Mapping[str, JsonSchema]) -> None:
        self._calls, self._streams, self._schemas = calls, streams, schemas

    async def command(self, request: Request) -> Response:
        cls, token = self._message("commands", request), _token(request)
        headers = event_headers(request.headers)
        _check_type(headers.get(CONTENT_TYPE_HEADER.lower(), ""), is_event_taken=True)
        key, wait = _key(request), _wait(request)
        body = await _body(request)
        return _json(await self._calls.command(cls, body, headers, key=key, token=token, wait=wait))

    async def view(self, request: Request) -> Response:
        cls, token = self._message("views", request), _token(request)
        body = await _posted(request) if request.method == "POST" else self._question(cls, request)
        return _json(await self._calls.view(cls, body, token=token))

    async def action(self, request: Request) -> Response:
        cls, token = self._message("actions", request), _token(request)
        return _json(await self._calls.action(cls, await _posted(request), token=token))

    async def stream(self, request: Request) -> Response:
        """What is wrong is told before the stream begins; what goes wrong later ends it."""
        cls, token = self._message("views", request), _token(request)
        body = self._question(cls, request)
        await self._calls.view(cls, body, token=token)
        if self._streams.is_full:
            raise refused("busy", "no more streams are taken", tuning.RETRY_AFTER_SECONDS)

        async def look() -> Look:
            try:
                answer = await self._calls.view(cls, body, token=token)
            except ProblemError as error:
                if error.problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
                    raise AwayError(error.problem.detail) from error
                raise
            return Look(json.dumps(answer.body, ensure_ascii=False))

        bearer = bearer_of(token, time.time())
        until = bearer.expires_at if bearer.is_known else NEVER_EXPIRES
        return streamed(self._streams.follow((cls, body, token), look, until))

    def _question(self, cls: type[Message], request: Request) -> bytes:
        if has_secrets(cls):
            detail = "passwords do not belong into an address: expected POST"
            raise http_problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        return _question(self._schemas[cls.TYPE.name], request)

    def _message(self, folder: str, request: Request) -> type[Message]:
        return self._calls.message(folder, "{context}.{name}".format(**request.path_params))


def _guarded(endpoint: Endpoint) -> Endpoint:
    """The same, with problems for errors."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ProblemError as error:
            return _problem(error)
        except SparkError as error:
            log.error("api_failed", path=request.url.path, exc_info=error)
            return _problem(refused("internal", "this should not happen; the log of the web process says why"))

    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    """Of paths and methods that are not there."""
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    told = f"{request.method} {request.url.path}: expected a path and a method of /openapi.json"
    response = _problem(http_problem(status, status.phrase.lower().replace(" ", "_"), told))
    response.headers.update(getattr(error, "headers", None) or {})
    return response


def _json(answered: Answered) -> Response:
    return JSONResponse(answered.body, answered.status, {**NOT_KEPT, **answered.headers})


def _problem(error: ProblemError) -> Response:
    problem = error.problem
    return JSONResponse(problem.body(), problem.status, {**NOT_KEPT, **problem.headers()}, media_type=PROBLEM_TYPE)


def _token(request: Request) -> str:
    """The bearer's; empty if nobody says who asks."""
    given = request.headers.get("authorization")
    if given is None:
        return ""
    found = _BEARER.fullmatch(given.strip())
    if found is None:
        raise refused("unauthenticated", "the header Authorization is not understood: expected Bearer TOKEN")
    return found[1]


def _key(request: Request) -> str:
    """The header Idempotency-Key, with the quotes of its draft standard or without; empty if there is none."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return ""
    key = given[1:-1] if len(given) > 1 and given[0] == given[-1] == '"' else given
    if not key:
        raise refused("malformed_envelope", "Idempotency-Key is empty: expected an id of your own, such as a UUID")
    return key


def _wait(request: Request) -> float:
    """How long the asker prefers to wait (RFC 7240); what is not understood is no preference."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(float(found[1]), tuning.WAIT_SECONDS_MOST) if found else tuning.OUTCOME_SECONDS


def _check_type(given: str, *, is_event_taken: bool = False) -> None:
    plain = given.partition(";")[0].strip().lower()
    is_of_events = plain.startswith("application/cloudevents")
    if (is_event_taken and plain == EVENT_CONTENT_TYPE) if is_of_events else is_json(given):
        return
    expected = f"application/json{f' or {EVENT_CONTENT_TYPE}' if is_event_taken else ''}"
    detail = f"Content-Type = {given[:80]!r}: expected {expected}, in UTF-8"
    raise http_problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


async def _posted(request: Request) -> bytes:
    _check_type(request.headers.get("content-type", ""))
    return await _body(request)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > tuning.API_BODY_BYTES:
            raise refused("oversized", f"the body is too large: expected at most {tuning.API_BODY_BYTES} bytes")
    return bytes(body)


def _question(schema: JsonSchema, request: Request) -> bytes:
    """The fields in the address, as the JSON that the view is asked with."""
    pairs = request.query_params.multi_items()
    texts = dict(pairs)
    if len(texts) != len(pairs):
        raise refused("malformed_data", "a field comes more than once in the address: expected each once")
    try:
        return json.dumps(values_of(schema, texts, is_empty_left_out=False)).encode()
    except FieldsError as error:
        told = "; ".join(f"{name} = {texts.get(name, '')[:80]!r}: {flaw}" for name, flaw in error.flaws.items())
        raise refused("malformed_data", told) from None
