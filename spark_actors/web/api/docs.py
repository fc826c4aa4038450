"""Pages about the API: each message with its fields, how it is sent, and a form that sends it for the visitor."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from itertools import groupby
from pprint import pformat
from typing import Any
from urllib.parse import quote, urlencode

from spark_actors.kernel.messages import Message, MessageRegistry, Query, Sender
from spark_actors.messaging.catalogue import MessageEntry
from spark_actors.messaging.cloudevents import ATTRIBUTE_PREFIX, CONTENT_TYPE_HEADER
from spark_actors.web import tuning
from spark_actors.web.api.calls import Answered, Calls, has_secrets
from spark_actors.web.api.openapi import FOLDERS, JSON, path_of
from spark_actors.web.api.problems import ProblemError
from spark_actors.web.forms import FieldsError, fields_of, values_of
from spark_actors.web.pages import NothingThereError, Page, Visit

FIELD = "field."
"""What stands before the names of a message's fields in a form, so that they are not taken for the form's own."""
ORDER = ("command", "query", "action", "event")
TITLES = {"command": "Commands", "query": "Views", "action": "Actions", "event": "Events"}
_PYTHON = """import json
import urllib.request
from os import environ

request = urllib.request.Request(
    {url!r},
    method={method!r},
    data={data},
    headers={headers},
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer))
"""


class Docs:
    """Gives the pages."""

    def __init__(self, calls: Calls, registry: MessageRegistry, entries: Iterable[MessageEntry]) -> None:
        self._calls, self._registry = calls, registry
        self._known = {entry.name: entry for entry in sorted(entries, key=_place)}

    def overview(self) -> Page:
        """Every message."""
        contexts = [
            (context, [(TITLES[kind], list(some)) for kind, some in groupby(members, key=lambda entry: entry.kind)])
            for context, members in groupby(self._known.values(), key=_context)
        ]
        return Page("docs.html", {"contexts": contexts})

    def message(self, visit: Visit) -> Page:
        """One of them. Raises NothingThereError."""
        entry, cls = self._found(visit)
        return _page(cls, entry, visit)

    async def tried(self, visit: Visit) -> Page:
        """What comes of a form that was sent, as the visitor, under its id: however often, a command counts once.

        Raises NothingThereError.
        """
        entry, cls = self._found(visit)
        if not _may_be_tried(cls):
            raise NothingThereError("form for this message")
        texts = {name.removeprefix(FIELD): text for name, text in visit.form.items() if name.startswith(FIELD)}
        try:
            answered = await _answered(self._calls, cls, values_of(entry.schema, texts), visit)
        except FieldsError as error:
            return _page(cls, entry, visit, texts=texts, flaws=error.flaws)
        except ProblemError as error:
            problem = error.problem
            return _page(cls, entry, visit, texts=texts, told=(int(problem.status), problem.body()))
        return _page(cls, entry, visit, texts=texts, told=(int(answered.status), answered.body))

    def _found(self, visit: Visit) -> tuple[MessageEntry, type[Message]]:
        entry = self._known.get(visit.path["name"])
        if entry is None:
            raise NothingThereError("message of this name")
        return entry, self._registry.current(entry.name)


def _place(entry: MessageEntry) -> tuple[str, int, str]:
    return _context(entry), ORDER.index(entry.kind), entry.name


async def _answered(calls: Calls, cls: type[Message], values: dict[str, Any], visit: Visit) -> Answered:
    """Raises ProblemError."""
    token = visit.visitor.token
    match cls.TYPE.kind:
        case "command":
            headers = {CONTENT_TYPE_HEADER.lower(): JSON}
            if why := visit.form.get("why", ""):
                headers[f"{ATTRIBUTE_PREFIX}why"] = quote(why)
            body = json.dumps(values).encode()
            wait = tuning.OUTCOME_SECONDS
            return await calls.command(cls, body, headers, key=visit.message_id, token=token, wait=wait)
        case "action":
            return await calls.action(cls, json.dumps({"request_id": visit.message_id, **values}).encode(), token=token)
        case _:
            return await calls.view(cls, json.dumps(values).encode(), token=token)


def _page(
    cls: type[Message],
    entry: MessageEntry,
    visit: Visit,
    *,
    texts: Mapping[str, str] | None = None,
    flaws: Mapping[str, str] | None = None,
    told: tuple[int, Mapping[str, Any]] | None = None,
) -> Page:
    fields = fields_of(entry.schema)
    shown = {each.name: _text(entry.example.get(each.name)) for each in fields if each.is_required}
    values = {
        "entry": entry,
        "kind": TITLES[entry.kind].removesuffix("s"),
        "fields": fields,
        "address": path_of(entry),
        "examples": _examples(cls, entry, visit.url) if entry.kind in FOLDERS else (),
        "example": _pretty(entry.example),
        "schemas": [(title, _pretty(schema)) for title, schema in _schemas(entry)],
        "may_be_tried": _may_be_tried(cls),
        "needs_why": cls.TYPE.needs_why,
        "why": visit.form.get("why", ""),
        "texts": shown if texts is None else texts,
        "flaws": flaws or {},
        "told": (told[0], _pretty(told[1])) if told else None,
        "prefix": FIELD,
    }
    is_refused = bool(flaws) or (told is not None and told[0] >= 400)
    return Page("docs_message.html", values, status=422 if is_refused else 200)


def _may_be_tried(cls: type[Message]) -> bool:
    """Passwords are typed where people log in, and tokens shown nowhere."""
    return cls.TYPE.kind in FOLDERS and not has_secrets(cls)


def _context(entry: MessageEntry) -> str:
    return entry.name.partition(".")[0]


def _schemas(entry: MessageEntry) -> list[tuple[str, object]]:
    answer: list[tuple[str, object]] = [("JSON Schema of the answer", entry.result_schema)]
    return [("JSON Schema", entry.schema), *(answer if entry.result_schema else [])]


def _examples(cls: type[Message], entry: MessageEntry, url: str) -> list[tuple[str, str]]:
    """How it is sent: with curl, and with nothing but Python."""
    is_asked_by_address = entry.kind == "query" and not has_secrets(cls)
    address = f"{url}{path_of(entry)}"
    if is_asked_by_address and (question := _question(entry)):
        address = f"{address}?{question}"
    headers = {} if cls.TYPE.sent_by is Sender.ANYBODY else {"Authorization": "Bearer $TOKEN"}
    if not is_asked_by_address:
        headers["Content-Type"] = JSON
    if not issubclass(cls, Query):
        headers["Idempotency-Key"] = "an-id-of-your-own"
    if cls.TYPE.needs_why:
        headers["ce-why"] = quote("paid in at the counter")
    body = None if is_asked_by_address else entry.example
    return [("curl", _curl(address, headers, body)), ("Python", _python(address, headers, body))]


def _question(entry: MessageEntry) -> str:
    """The required fields of a view, as they stand in an address."""
    needed = entry.schema.get("required", ())
    return urlencode({name: _text(entry.example[name]) for name in needed})


def _curl(address: str, headers: Mapping[str, str], body: object) -> str:
    parts = [f"curl {shlex.quote(address)}", *(f'-H "{name}: {value}"' for name, value in headers.items())]
    if body is not None:
        parts.append(f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}")
    return " \\\n  ".join(parts)


def _python(address: str, headers: Mapping[str, str], body: object) -> str:
    said = pformat(dict(headers), sort_dicts=False, indent=8).replace("'Bearer $TOKEN'", '"Bearer " + environ["TOKEN"]')
    data = "None" if body is None else f"json.dumps({pformat(body, sort_dicts=False)}).encode()"
    return _PYTHON.format(url=address, method="GET" if body is None else "POST", data=data, headers=said)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _text(value: object) -> str:
    """A value as it is typed into a field."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
