"""The strict way in: bytes from outside become a command or a query, or are refused with a precise reason.

The standard library's parser is the one that shows every pair of an object, so that a key that comes twice is seen.
What goes on is not the raw text but the checked values encoded anew: one canonical form, so that no two parsers can
ever read different messages from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, NoReturn, TypeVar, cast, get_args

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.errors import MalformedMessageError, MessageError
from spark_actors.kernel.ids import is_id
from spark_actors.kernel.messages import Command, MessageRegistry, Query, Upcast
from spark_actors.messaging.buckets import BUCKETS, bucket_of
from spark_actors.messaging.cloudevents import (
    EVENT_CONTENT_TYPE,
    HEADERS_CHARACTERS,
    attributes_in,
    characters_of,
    command_subject,
    event_type,
    event_type_of,
    is_binary,
    parted,
    query_subject,
    trace_of,
    unreadable_format,
)
from spark_actors.messaging.envelope import Envelope, Reply, upcasted
from spark_actors.messaging.schemas import CloudEvent, Schemas, flaw_of_extensions
from spark_actors.messaging.scrubbing import PROOFS, is_secret_name

Model = TypeVar("Model", bound=BaseModel)

_SHOWN_CHARACTERS = 80
"""How much of a refused value is quoted."""
_SHOWN_PROBLEMS = 3
_MEMBERS = 200
"""Of one object at most: far more than any message has, and few enough to look for the one that is repeated."""
_NO_HEADERS: Mapping[str, str] = {}
_PLAINER = {
    "string_pattern_mismatch": "contains a control character",
    "extra_forbidden": "is not a known field",
    "missing": "is missing",
    "string_unicode": "contains half of a surrogate pair",
    "model_type": "expected a JSON object",
    "tuple_type": "expected a JSON array",
}


class RefusedError(MessageError):
    """A message was refused at the door.

    *code* is one of: unknown_subject, unknown_type, subject_type_mismatch, oversized, not_json, malformed_envelope,
    malformed_data, key_mismatch, bucket_mismatch; or, of its sender (`identity.py`), unauthenticated, forbidden; or, of
    a login, wrong_credentials, too_many_attempts, busy; or, of an answer, too_large; or internal (a bug). *message_id*
    is empty when it could not be read. *retry_after_seconds* is 0 where trying again will not help.
    """

    def __init__(self, code: str, detail: str, message_id: str = "", retry_after_seconds: int = 0) -> None:
        super().__init__(code, detail, message_id, retry_after_seconds)
        self.code, self.detail, self.message_id = code, detail, message_id
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


@dataclass(frozen=True)
class _CommandForm:
    """What the door knows of one command."""

    name: str
    version: int
    key_field: str
    subject: str
    schema: type[CloudEvent]
    type: str
    upcasts: Sequence[Upcast] = ()
    """What makes the data of an older version into that which the schema asks for."""


class Admitted(NamedTuple):
    """A command that the door let in, and what its identity is made of besides (see `identity.py`)."""

    envelope: Envelope
    """Under the id that its sender chose; `correlation_id` is empty if they chose none."""
    source: str


class Door:
    """Lets in what has the form of a registered command or query; raises RefusedError, and only that, for the rest."""

    def __init__(self, registry: MessageRegistry, max_body_bytes: int) -> None:
        schemas = Schemas()
        self.max_body_bytes = max_body_bytes
        self._forms = {
            event_type(cls.TYPE): _CommandForm(
                cls.TYPE.name,
                cls.TYPE.version,
                cls.TYPE.key_field,
                command_subject(cls.TYPE),
                schemas.event_of(cls),
                event_type(cls.TYPE),
            )
            for cls in registry
            if issubclass(cls, Command)
        }
        self._forms |= {
            event_type_of(name, version): replace(current, upcasts=registry.upcasts(name, version))
            for name, version in registry.older_versions
            if (current := self._forms.get(event_type(registry.find(name, version).TYPE)))
        }
        self._command_subjects = {form.subject for form in self._forms.values()}
        self._queries = {query_subject(cls.TYPE): (cls, schemas.of(cls)) for cls in registry if issubclass(cls, Query)}

    def command(self, subject: str, body: bytes, now: datetime, headers: Mapping[str, str] = _NO_HEADERS) -> Admitted:
        """The command that came on *subject*, received at *now*; *headers* are those of `event_headers`."""
        attributes = self._attributes(body, headers)
        try:
            return self._envelope(subject, attributes, now)
        except RefusedError as error:
            raise RefusedError(error.code, error.detail, _readable_id(attributes)) from None

    def _envelope(self, subject: str, attributes: Mapping[str, object], now: datetime) -> Admitted:
        short, bucket = parted(subject)
        form = self._form(short, attributes)
        event = _checked(form.schema, _current(form, attributes))
        values = event.data.__dict__
        key = values[form.key_field]
        if event.subject not in (None, key):
            expected = f"expected the value of data.{form.key_field}, {_shown(key)}"
            raise RefusedError("key_mismatch", f"subject = {_shown(event.subject)}: {expected}")
        if bucket and bucket != str(bucket_of(key)):
            expected = f"expected {bucket_of(key)} (CRC-32 of data.{form.key_field}, & {BUCKETS - 1}), or none"
            raise RefusedError("bucket_mismatch", f"it came on a subject that ends with {_shown(bucket)}: {expected}")
        if (extensions := event.model_extra) and (flaw := flaw_of_extensions(extensions)):
            raise RefusedError("malformed_envelope", flaw)
        envelope = Envelope(
            message_id=event.id,
            name=form.name,
            version=form.version,
            key=key,
            data=msgspec.json.encode(values, enc_hook=vars),  # objects within are of pydantic's making
            correlation_id=event.correlationid or trace_of(event.traceparent or ""),
            causation_id=event.causationid or "",
            occurred_at=now,
            why=event.why or "",
        )
        return Admitted(envelope, event.source)

    def query(self, subject: str, body: bytes) -> Query:
        """The query that was asked on *subject*; an empty body is an empty object."""
        known = self._queries.get(subject)
        if known is None:
            _refuse_subject(subject, "a view: spark.queries.<context>.<view>")
        cls, schema = known
        return cls(**_checked(schema, _object(self._json(body or b"{}"))).__dict__)

    def _attributes(self, body: bytes, headers: Mapping[str, str]) -> Mapping[str, object]:
        """Of an event in either mode, with its data. One that is null is as if it were not there."""
        if headers and characters_of(headers) > HEADERS_CHARACTERS:
            raise RefusedError("oversized", f"headers of the event: expected at most {HEADERS_CHARACTERS} characters")
        if headers and is_binary(headers):
            return self._from_headers(body, headers)
        if headers and (given := unreadable_format(headers)):
            raise RefusedError("malformed_envelope", f"content type {_shown(given)}: expected {EVENT_CONTENT_TYPE}")
        members = _object(self._json(body))
        if None not in members.values():
            return members
        return {name: value for name, value in members.items() if value is not None or name == "data"}

    def _from_headers(self, body: bytes, headers: Mapping[str, str]) -> Mapping[str, object]:
        try:
            attributes: dict[str, object] = dict(attributes_in(headers))
        except ValueError as error:
            raise RefusedError("malformed_envelope", str(error)) from None
        if "data" in attributes:
            detail = "header ce-data: expected the data in the body"
            raise RefusedError("malformed_envelope", detail, _readable_id(attributes))
        try:
            return {**attributes, "data": self._json(body)}
        except RefusedError as error:
            raise RefusedError(error.code, error.detail, _readable_id(attributes)) from None

    def _json(self, body: bytes) -> object:
        """What is in *body*, as far as JSON alone goes."""
        if len(body) > self.max_body_bytes:
            raise RefusedError("oversized", f"body of {len(body)} bytes: expected at most {self.max_body_bytes}")
        try:
            return _PARSE(body.decode("utf-8"))
        except RecursionError:
            raise RefusedError("not_json", "body is nested too deeply") from None
        except ValueError as error:
            raise RefusedError("not_json", f"body is not JSON: {_why_not_json(body, error)}") from None

    def _form(self, subject: str, attributes: Mapping[str, object]) -> _CommandForm:
        if subject not in self._command_subjects:
            _refuse_subject(subject, "a command: spark.commands.<context>.<command>, with its key's bucket or without")
        if not isinstance(given := attributes.get("type"), str):
            found = f"= {_shown(given)}" if "type" in attributes else "is missing"
            raise RefusedError("malformed_envelope", f"type {found}: expected spark.<context>.<command>.v1")
        form = self._forms.get(given)
        if form is None:
            raise RefusedError("unknown_type", f"type = {_shown(given)} is not a command known here")
        if form.subject != subject:
            detail = f"type = {_shown(given)} came on subject {_shown(subject)}: expected it on {form.subject}"
            raise RefusedError("subject_type_mismatch", detail)
        return form


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise RefusedError("malformed_envelope", f"body = {_outlined(value)}: expected a JSON object")
    return value


def _current(form: _CommandForm, attributes: Mapping[str, object]) -> Mapping[str, object]:
    """The attributes as the current version has them."""
    data = attributes.get("data")
    if not form.upcasts or not isinstance(data, dict):
        return attributes if not form.upcasts else {**attributes, "type": form.type}
    try:
        return {**attributes, "type": form.type, "data": dict(upcasted(form.upcasts, data, form.name))}
    except MalformedMessageError as error:
        raise RefusedError("malformed_data", f"data: {error.reason}") from None


def outcome_body(reply: Reply, message_id: str) -> bytes:
    """What the one who sent a command under *message_id* is told of how it ended."""
    return _reply_body(message_id, reply.verdict, reply.reason, reply.data)


def refusal_body(error: RefusedError) -> bytes:
    """What the one who sent a message is told of its refusal at the door: the code is the reason."""
    return _reply_body(error.message_id, Verdict.FAILED, error.code, {"detail": error.detail})


def _reply_body(message_id: str, verdict: Verdict, reason: str, data: Mapping[str, object]) -> bytes:
    return msgspec.json.encode({"id": message_id, "outcome": verdict, "reason": reason, "data": data})


def _unrepeated(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > _MEMBERS:
        raise ValueError(f"an object has {len(pairs)} members: expected at most {_MEMBERS}")
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {_shown(repeated)} comes more than once in one object")
    return members


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


_PARSE = json.JSONDecoder(object_pairs_hook=_unrepeated, parse_constant=_no_constant).decode


def _why_not_json(body: bytes, error: ValueError) -> str:
    if not body:
        return "it is empty"
    if body.startswith(b"\xef\xbb\xbf"):
        return "it starts with a byte order mark"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return str(error)


def _readable_id(attributes: Mapping[str, object]) -> str:
    """The id of a message that may yet be refused: something that can stand in a reply and a row, or empty."""
    given = attributes.get("id")
    return given if isinstance(given, str) and is_id(given) else ""


def _refuse_subject(subject: str, expected: str) -> NoReturn:
    detail = f"subject {_shown(subject)} is not known here: expected {expected}"
    raise RefusedError("unknown_subject", detail)


def _checked(schema: type[Model], members: Mapping[str, object]) -> Model:
    try:
        return cast(Model, schema.__pydantic_validator__.validate_python(members))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        raise RefusedError(_code(schema, problems[0]), _explained(schema, problems)) from None


def _code(schema: type[BaseModel], problem: Mapping[str, Any]) -> str:
    is_attribute = issubclass(schema, CloudEvent) and problem["loc"][:1] != ("data",)
    return "malformed_envelope" if is_attribute else "malformed_data"


def _explained(schema: type[BaseModel], problems: Sequence[Mapping[str, Any]]) -> str:
    more = len(problems) - _SHOWN_PROBLEMS
    told = "; ".join(_explained_one(schema, problem) for problem in problems[:_SHOWN_PROBLEMS])
    return f"{told}; and {more} more" if more > 0 else told


def _explained_one(schema: type[BaseModel], problem: Mapping[str, Any]) -> str:
    kind, place = problem["type"], ".".join(map(str, problem["loc"]))
    place = place if place.isprintable() and len(place) <= _SHOWN_CHARACTERS else _shown(place)
    reason = _PLAINER.get(kind, problem["msg"])
    is_data = _code(schema, problem) == "malformed_data"
    if kind == "string_pattern_mismatch" and is_data and (told := _described(schema, problem["loc"])):
        reason = f"expected {told}"
    if kind == "extra_forbidden":
        return f"{place} {reason}: expected only {', '.join(_known_fields(schema, problem['loc']))}"
    if kind in ("missing", "attribute_name"):
        return f"{place} {reason}"
    show = {"model_type": _outlined, "id": _escaped}.get(kind, _shown)
    name = next((step for step in reversed(problem["loc"]) if isinstance(step, str)), "")  # a list's, of its members
    value = "(hidden)" if name in PROOFS or is_secret_name(name) else show(problem["input"])
    return f"{place} = {value}: {reason[:1].lower()}{reason[1:]}"


def _known_fields(schema: type[BaseModel], place: Sequence[str | int]) -> Mapping[str, FieldInfo]:
    """The fields of the object in which *place* is; none if that is a list of plain values."""
    for step in place[:-1]:
        if isinstance(step, str):  # and no place in a list
            inner: Any = schema.model_fields[step].annotation
            schema = next(iter(get_args(inner)), inner)
    return getattr(schema, "model_fields", {})


def _described(schema: type[BaseModel], place: Sequence[str | int]) -> str | None:
    """What the field at *place* stands for, in words, if its pattern alone does not say it."""
    field = _known_fields(schema, place).get(str(place[-1]))
    return field.description if field else None


def _outlined(value: object) -> str:
    """What stands where an object should be; a text there may be a password."""
    return "a text" if isinstance(value, str) else _shown(value)


def _escaped(value: object) -> str:
    """*value* in ASCII alone: what is not seen, or looks like something else, shows."""
    return _shown(value, ascii)


def _shown(value: object, write: Callable[[object], str] = repr) -> str:
    """*value* as a short, printable text."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    text = write(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}… ({len(text)} characters)"
