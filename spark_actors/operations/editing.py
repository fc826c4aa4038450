"""Messages that operators correct: changed, and checked like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from pydantic import ValidationError

from spark_actors.kernel.ids import derived_id
from spark_actors.kernel.messages import MessageRegistry
from spark_actors.messaging.cloudevents import parted
from spark_actors.messaging.door import Door, RefusedError
from spark_actors.messaging.schemas import Schemas
from spark_actors.messaging.scrubbing import MASK
from spark_actors.persistence.operator_desk import DeskError, Letter

MAX_BODY_BYTES = 65_536


class UnfitError(DeskError):
    """What a message was changed into is none."""

    code = "usage"


def edited(
    registry: MessageRegistry, letter: Letter, changes: Mapping[str, Any], content: Mapping[str, Any] | None
) -> tuple[int, bytes]:
    """The changed content of a message, checked by the strict schema of its current version, and that version.

    *changes* are fields with new values, *content* replaces all of it. Raises UnfitError, also if it would be for
    another instance: what waits behind it waits for this one.
    """
    name, version = letter.name, letter.version
    if not registry.has(name, version):
        raise UnfitError(f"{name} v{version} is not known to this version: it can be retried or discarded")
    cls = registry.current(name)
    changed = _changed(_content(letter.body) if content is None else content, changes)
    try:
        checked = Schemas().of(cls).model_validate(changed)
    except ValidationError as error:
        raise UnfitError(_problems(name, error)) from None
    if str(changed.get(cls.TYPE.key_field)) != letter.key:
        raise UnfitError(f"{cls.TYPE.key_field} must stay {letter.key!r}")
    return cls.TYPE.version, msgspec.json.encode(checked.__dict__)


def edited_event(
    registry: MessageRegistry, letter: Letter, changes: Mapping[str, Any], event: Mapping[str, Any] | None, why: str
) -> tuple[str, bytes]:
    """The changed CloudEvent of a command that was refused, checked by the door itself, after its new id.

    *changes* are fields of its data, *event* replaces all of it; *why* goes with it, for what asks for a reason. The
    same letter edited in the same way has the same id again, so that an edit which may or may not have been taken can
    be repeated. Raises UnfitError.
    """
    whole = dict(_content(letter.body) if event is None else event)
    old_id, content = whole.get("id"), whole.get("data")
    whole["data"] = _changed(content if isinstance(content, dict) else {}, changes)
    whole["id"] = new_id = derived_id(letter.address, json.dumps(whole, sort_keys=True))
    if isinstance(old_id, str) and old_id:
        whole["causationid"] = old_id
    whole["why"] = whole.get("why") or why
    changed = json.dumps(whole, ensure_ascii=False).encode()
    try:
        Door(registry, MAX_BODY_BYTES).command(parted(letter.name)[0], changed, datetime.now(UTC))
    except RefusedError as error:
        raise UnfitError(str(error)) from None
    return new_id, changed


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UnfitError("its content is no JSON object: give a whole one")
    return content


def _changed(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    changed = {**content, **changes}
    if hidden := [name for name, value in changed.items() if value == MASK]:
        raise UnfitError(f"{hidden[0]} = {MASK} stands for what is not shown: leave it out, or say what it is")
    return changed


def _problems(name: str, error: ValidationError) -> str:
    told = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_url=False)]
    return f"{name}: {'; '.join(told)}"
