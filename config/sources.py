"""Where settings come from: layers of values, the later over the earlier, each remembered for error messages."""

from __future__ import annotations

import difflib
import logging
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings import SettingsError as UnreadableVariableError

from config.caller import TOKEN
from config.errors import SettingsError
from config.groups import INSIDE
from config.node import FOLDER

PREFIX = "SPARK_"
NO_SETTINGS = frozenset({TOKEN, FOLDER})
"""Variables of ours that are no settings."""
DELIMITER = "__"
MASK = "***"
SERVICE_LINK = re.compile(
    r"SPARK(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes sets in a container for services called `spark`, `spark-nats` …; `enableServiceLinks` ends it."""
LINK_PORT = re.compile(r"(tcp|udp|sctp)://\S+")
"""The value of its `…_PORT`: by it that is told from a setting of ours with an underscore too few."""

_logger = logging.getLogger(__name__)

F = TypeVar("F", bound=BaseModel)
Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Layer:
    """Values from one place."""

    source: str
    """A file, an environment variable, or `option`."""
    values: Mapping[str, Any]


def default_layer() -> Layer:
    """The documented defaults that are shipped with the package."""
    return Layer("default.toml", tomllib.loads(files("config").joinpath("default.toml").read_text("utf-8")))


def file_layer(file: Path) -> Layer:
    """A TOML file. Raises SettingsError if it cannot be read."""
    try:
        return Layer(str(file), tomllib.loads(file.read_text("utf-8")))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError("--config", str(file), f"a readable TOML file ({reason})") from error


def option_layer(overrides: Mapping[str, Any]) -> Layer:
    """Flags of the command line; `nats__port` stands for `nats.port`, and None for a flag that was not given."""
    values: dict[str, Any] = {}
    for name, value in overrides.items():
        if value is not None:
            *groups, last = name.split(DELIMITER)
            nested: Any = {last: value}
            for group in reversed(groups):
                nested = {group: nested}
            values = merged(values, nested)
    return Layer("option", values)


def application_layer() -> list[Layer]:
    """The variable that names the application, if it is set; which others there are follows from it."""
    named = {name.upper(): name for name in os.environ if name.upper() == f"{PREFIX}APPLICATION"}
    return [Layer(name, {"application": os.environ[name]}) for name in named.values()]


def environment_layers(form: type[BaseModel]) -> list[Layer]:
    """One layer for each `SPARK_` variable, so that a wrong one is known by its name.

    In alphabetical order: `SPARK_NATS__PORT` goes over `SPARK_NATS` (a whole group as JSON). What Kubernetes sets for
    services of such a name is passed over, and one line of the log says so. Raises SettingsError.
    """
    found = sorted(
        (name, text) for name, text in os.environ.items() if name.upper().startswith(PREFIX) and name not in NO_SETTINGS
    )
    links = [name for name, text in found if _is_service_link(name, text)]
    if links:
        _logger.warning("passed over as Kubernetes' service links, which are no settings: %s", ", ".join(links))
    return [_variable(form, name, text) for name, text in found if name not in links]


def _is_service_link(name: str, text: str) -> bool:
    """Whether Kubernetes has set it, so that it is not meant for us."""
    return bool(SERVICE_LINK.fullmatch(name)) and (not name.endswith("_PORT") or _is_port_of_a_link(name, text))


def _is_port_of_a_link(name: str, text: str) -> bool:
    if name.endswith(("_SERVICE_PORT", "_TCP_PORT", "_UDP_PORT", "_SCTP_PORT")):
        return text.isdecimal()
    return bool(LINK_PORT.fullmatch(text))


def validated(form: type[F], layers: Sequence[Layer], known: Mapping[str, Sequence[str]]) -> F:
    """The layers as a *form*, the last one having the highest priority. Raises SettingsError.

    *known* are the names of the application, by their kind.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        values = merged(values, layer.values)
    try:
        return form.model_validate(values, context=known)
    except ValidationError as error:
        first, *others = (_refusal(form, layers, detail) for detail in error.errors())
    raise SettingsError(first.name, first.value, first.expected, first.source, tuple(others))


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merge; any other value replaces the one below."""
    result = dict(below)
    for name, value in above.items():
        mine = result.get(name)
        result[name] = merged(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return result


class _Variable(EnvSettingsSource):
    """Reads a single variable the way pydantic-settings reads all of them."""

    def __init__(self, form: type[BaseModel], name: str, text: str) -> None:
        self._given = {name.lower(): text}
        super().__init__(cast("type[BaseSettings]", form), env_prefix=PREFIX, env_nested_delimiter=DELIMITER)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given


def _variable(form: type[BaseModel], name: str, text: str) -> Layer:
    path: Location = tuple(name[len(PREFIX) :].lower().split(DELIMITER))
    dotted = ".".join(map(str, path))
    try:
        values = _Variable(form, name, text)()
    except UnreadableVariableError:
        raise SettingsError(dotted, _shown(form, path, text), "JSON (a list or a table)", name) from None
    if not values:
        raise SettingsError(dotted, MASK, _known_names(form, path), name)
    return Layer(name, values)


def _refusal(form: type[BaseModel], layers: Sequence[Layer], detail: ErrorDetails) -> SettingsError:
    inside: str = detail.get("ctx", {}).get(INSIDE, "")
    path = tuple(part for part in (*detail["loc"], inside) if part not in ("[key]", ""))
    source = next((layer.source for layer in reversed(layers) if _reaches(layer.values, path)), "")
    unknown = detail["type"] == "extra_forbidden"
    expected = _known_names(form, path) if unknown else _expectation(detail["msg"])
    value = detail["input"][inside] if inside else detail["input"]
    return SettingsError(".".join(map(str, path)), _shown(form, path, value), expected, source)


def _reaches(values: Any, path: Location) -> bool:
    """Whether these values decide what is at *path*."""
    for part in path:
        if isinstance(values, Mapping):
            if part not in values:
                return False
            values = values[part]
        else:
            break
    return True


def _expectation(message: str) -> str:
    """What pydantic expected, without its way of saying that it was not so."""
    for opening in ("Value error, ", "Input should be "):
        message = message.removeprefix(opening)
    return message.partition(", unable to ")[0].replace("String should", "text that should")


def _known_names(form: type[BaseModel], path: Location) -> str:
    """The names that are known where *path* breaks off, the likeliest first."""
    for part in path:
        inner = _group_of(form, part)
        if inner is None:
            break
        form = inner
    likely = difflib.get_close_matches(str(part), form.model_fields, n=1)
    return (f"{likely[0]!r}, or another " if likely else "a ") + f"known name: {', '.join(form.model_fields)}"


def _shown(form: type[BaseModel], path: Location, value: object) -> str:
    """The value for a message. Hidden if it is, holds, or (under a name that nobody knows) may be a secret."""
    return MASK if _is_secret(form, path) else _clipped(value)


def _clipped(value: object) -> str:
    text = re.sub(r"://[^\s'\"]*@", f"://{MASK}@", repr(value))
    return text if len(text) <= 100 else f"{text[:100]}…"


def _is_secret(form: type[BaseModel], path: Location) -> bool:
    if not path:
        return any(_is_secret(form, (name,)) for name in form.model_fields)
    inner = _group_of(form, path[0])
    if inner is not None:
        return _is_secret(inner, path[1:])
    field = form.model_fields.get(str(path[0]))
    return field is None or _holds_secret(field.annotation)


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


def _group_of(form: type[BaseModel], name: str | int) -> type[BaseModel] | None:
    """The group that *name* stands for, if it is one."""
    field = form.model_fields.get(str(name))
    annotation = field.annotation if field else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
