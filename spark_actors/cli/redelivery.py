"""Messages that operators send again: edited, checked like any other, and delivered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spark_actors.cli.arguments import json_object, read_input, split_fields
from spark_actors.cli.daemon import Target
from spark_actors.cli.errors import CliError, UsageMistakeError
from spark_actors.cli.vocabulary import registry
from spark_actors.kernel.ids import derived_id
from spark_actors.messaging.cloudevents import parted
from spark_actors.messaging.identity import FORBIDDEN, UNAUTHENTICATED

MAX_BODY_BYTES = 65_536


def redeliver(target: Target, subject: str, body: bytes, timeout: float) -> str:
    """Publish a message that was refused at the door on its subject again; how it ended.

    No bucket goes with it: the one that it came with may be why it was refused. It is sent with the token of whoever
    acts here, not of whoever sent it first. Raises CliError if they may not send it (the door keeps no letter of that),
    or else as `Target.talk` and `SparkClient.send_raw` do.
    """
    short, _ = parted(subject)
    answer = target.talk(lambda client: client.send_raw(short, body, timeout=timeout))
    if answer.reason in (UNAUTHENTICATED, FORBIDDEN):
        raise CliError(f"{answer.reason}: {answer.data.get('detail', '')}")
    return f"{answer.outcome.value} {answer.reason}".strip()


def edited(
    name: str, version: int, key: str, body: bytes, fields: Sequence[str], data: Path | None
) -> tuple[int, bytes]:
    """The changed content of a message, checked by the strict schema of its current version, and that version.

    Raises UsageMistakeError, also if it would be for another instance: what waits behind it waits for this one.
    """
    import msgspec

    from spark_actors.messaging.schemas import Schemas

    if not registry().has(name, version):
        raise UsageMistakeError(f"{name} v{version} is not known to this version: it can be retried or discarded")
    cls = registry().current(name)
    content = _changed(_content(body), fields, data)
    try:
        checked = Schemas().of(cls).model_validate(content)
    except ValidationError as error:
        raise UsageMistakeError(_problems(name, error)) from None
    if str(content.get(cls.TYPE.key_field)) != key:
        raise UsageMistakeError(f"{cls.TYPE.key_field} must stay {key!r}")
    return cls.TYPE.version, msgspec.json.encode(checked.__dict__)


def edited_event(
    address: str, subject: str, body: bytes, fields: Sequence[str], data: Path | None, why: str
) -> tuple[str, bytes]:
    """The changed CloudEvent of a command that was refused, checked by the door itself, after its new id.

    *fields* change its data, *data* replaces all of it; *why* goes with it, for what asks for a reason. The letter
    at *address* edited in the same way has the same id again, so that an edit which may or may not have been taken can
    be repeated. Raises UsageMistakeError.
    """
    from spark_actors.messaging.door import Door, RefusedError

    event = _content(body) if data is None else json_object(read_input(data))
    old_id = event.get("id")
    content = event.get("data")
    event["data"] = _changed(content if isinstance(content, dict) else {}, fields, None)
    event["id"] = new_id = derived_id(address, json.dumps(event, sort_keys=True))
    if isinstance(old_id, str) and old_id:
        event["causationid"] = old_id
    event["why"] = event.get("why") or why
    changed = json.dumps(event, ensure_ascii=False).encode()
    try:
        Door(registry(), MAX_BODY_BYTES).command(parted(subject)[0], changed, datetime.now(UTC))
    except RefusedError as error:
        raise UsageMistakeError(str(error)) from None
    return new_id, changed


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UsageMistakeError("its content is no JSON object: give a whole one with --data")
    return content


def _changed(content: Mapping[str, Any], fields: Sequence[str], data: Path | None) -> dict[str, Any]:
    if data is not None:
        content = json_object(read_input(data))
    return {**content, **{name: _value(text) for name, text in split_fields(fields).items()}}


def _value(text: str) -> Any:
    """A number, true, false or null as JSON has it; anything else is text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, (str, list, dict)) else value


def _problems(name: str, error: ValidationError) -> str:
    told = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_url=False)]
    return f"{name}: {'; '.join(told)}"
