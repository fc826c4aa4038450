"""The groups of settings and what each value must be. `default.toml` documents every one of them.

Defaults here equal those in `default.toml` (a test compares them), so that a group can be built alone.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

N = TypeVar("N", int, float)

INSIDE = "inside"
"""Under this key a refusal of a whole group says which of its settings is meant."""
WRITING, SCHEMAS = "writing", "schemas"
"""What the context of a validation knows of the application: its contexts with commands, and all that have tables."""

NATS_SCHEMES = ("nats://", "tls://", "ws://", "wss://")


def _not_a_switch(value: Any) -> Any:
    """Python counts True as 1; a number of seconds or messages is never meant by it."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "a number")
    return value


def _dsn(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not text.startswith(("postgresql://", "postgres://")) and "=" not in text:
        raise ValueError("a postgresql:// URL, a key=value connection string, or nothing")
    return value


def _servers(value: str) -> str:
    if value and not all(server.strip().startswith(NATS_SCHEMES) for server in value.split(",")):
        raise ValueError("nats://, tls://, ws:// or wss:// URLs with commas between them, or nothing")
    return value


def _public_url(value: str) -> str:
    plain = value.rstrip("/")
    parts = urlsplit(plain)
    is_origin = parts.scheme in ("http", "https") and parts.netloc and "@" not in parts.netloc
    if value and not (is_origin and plain == f"{parts.scheme}://{parts.netloc}"):
        raise ValueError("an http:// or https:// URL of a host alone, without a path, or nothing")
    return plain


def _known(info: ValidationInfo, kind: str) -> Sequence[str]:
    """The names of the application; empty where there is none to know of."""
    known: Sequence[str] = (info.context or {}).get(kind, ())
    return known


def _schema(value: str, info: ValidationInfo) -> str:
    return _one_of(_known(info, SCHEMAS), value)


def _writing(value: str, info: ValidationInfo) -> str:
    return _one_of(_known(info, WRITING), value)


def _one_of(known: Sequence[str], value: str) -> str:
    if known and value not in known:
        raise ValueError(f"a known name: {', '.join(known)}")
    return value


def _instance(value: str, info: ValidationInfo) -> str:
    context, _, key = value.partition(":")
    known = _known(info, WRITING)
    if (known and context not in known) or not context or not key:
        raise ValueError(f"context:key with a context of {', '.join(known)}")
    return value


def _signing_key(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}:\S{32,}", value.get_secret_value()):
        raise ValueError("id:secret, the secret of 32 characters or more")
    return value


_Number = BeforeValidator(_not_a_switch)
Count = Annotated[int, _Number, Field(ge=1)]
Port = Annotated[int, _Number, Field(ge=0, le=65_535)]
Seconds = Annotated[float, _Number, Field(gt=0)]
Pause = Annotated[float, _Number, Field(ge=0)]
Leeway = Annotated[float, _Number, Field(ge=0, le=300)]
Percent = Annotated[float, _Number, Field(ge=0, le=100)]
Rate = Annotated[float, _Number, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]
Dsn = Annotated[SecretStr, AfterValidator(_dsn)]
SigningKeyText = Annotated[SecretStr, AfterValidator(_signing_key)]
Servers = Annotated[str, AfterValidator(_servers)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
Instance = Annotated[str, AfterValidator(_instance)]
Schema = Annotated[str, AfterValidator(_schema)]
WritingContext = Annotated[str, AfterValidator(_writing)]

_NO_DSN = SecretStr("")


class Group(BaseModel):
    """Settings that belong together; cannot be changed, and knows no other names than its own."""

    # Built when first used, and so never in actors, which get settings that are checked already: that saves memory.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class PostgresSettings(Group):
    dsn: Dsn = _NO_DSN
    listen_dsn: Dsn = _NO_DSN
    prepared_statements: bool = True
    context_dsn: dict[Schema, Dsn] = Field(default_factory=dict)
    context_listen_dsn: dict[Schema, Dsn] = Field(default_factory=dict)

    def dsn_of(self, schema: str) -> str:
        return self.context_dsn.get(schema, _NO_DSN).get_secret_value() or self.dsn.get_secret_value()


class NatsSettings(Group):
    url: Servers = Field(default="", repr=False)
    token: SecretStr = SecretStr("")
    port: Port = 4222
    stream_max_bytes: Annotated[int, _Number, Field(ge=0)] = 0
    stream_replicas: Annotated[int, _Number, Field(ge=1, le=5)] = 1
    ack_wait_seconds: Seconds = 30


class RaySettings(Group):
    address: str = ""
    namespace: Text = "spark"


class ClusterSettings(Group):
    listen: str = ""
    join: str = Field(default="", repr=False)
    token: SecretStr = SecretStr("")
    port: Port = 6379
    postgres_port: Port = 5432
    drain_seconds: Seconds = 60


class HttpSettings(Group):
    host: str = ""
    port: Port = 9464


class WebSettings(Group):
    enabled: bool = True
    host: Text = "127.0.0.1"
    port: Port = 9465
    public_url: PublicUrl = ""
    plain_http: bool = False
    max_streams: Count = 1000

    @model_validator(mode="after")
    def _tells_no_token_in_the_open(self) -> WebSettings:
        """What is not encrypted goes no further than this machine, unless somebody wants it so."""
        if not (is_loopback(self.host) or self.plain_http or self.public_url.startswith("https://")):
            wanted = "127.0.0.1, as long as web.public_url is no https:// URL and web.plain_http is off"
            raise PydanticCustomError("in_the_open", "{wanted}", {"wanted": wanted, INSIDE: "host"})
        return self


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine itself reaches what listens on *host*."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class PlacementSettings(Group):
    aggregate_actors: Count = 2
    resident_instances: Count = 50_000
    resident_bytes: Annotated[int, _Number, Field(ge=1_048_576)] = 67_108_864
    dedicated_instances: tuple[Instance, ...] = ()
    dedicated_kinds: dict[WritingContext, Count] = Field(default_factory=dict)


class IngressSettings(Group):
    max_in_flight_commands: Count = 1000
    max_body_bytes: Annotated[int, _Number, Field(ge=1, le=1_048_576)] = 65_536
    max_relay_backlog_events: Count = 100_000
    groups: tuple[tuple[WritingContext, ...], ...] = ()
    """Empty: one that holds all."""

    @field_validator("groups")
    @classmethod
    def _each_context_once(
        cls, groups: tuple[tuple[str, ...], ...], info: ValidationInfo
    ) -> tuple[tuple[str, ...], ...]:
        known = _known(info, WRITING)
        named = sorted(context for group in groups for context in group)
        if groups and not (all(groups) and len(set(named)) == len(named) and named == sorted(known or named)):
            raise ValueError(f"groups that hold each of {', '.join(known)} exactly once, none of them empty")
        return groups


class IdentitySettings(Group):
    keys: tuple[SigningKeyText, ...] = ()
    keys_file: str = ""
    issuer: Text = "spark-actors"
    audience: Text = "spark"
    session_seconds: Seconds = 3600
    leeway_seconds: Leeway = 30
    login_attempts: Count = 5
    overall_login_attempts: Count = 300
    login_window_seconds: Seconds = 60

    @field_validator("keys_file")
    @classmethod
    def _one_place_for_keys(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("keys"):
            raise ValueError("nothing, when identity.keys is set")
        return value


class TurnsSettings(Group):
    max_commands: Count = 500
    max_attempts: Count = 5


class RelaySettings(Group):
    batch_events: Count = 500
    max_in_flight_events: Count = 2000
    poll_interval_seconds: Seconds = 1.0
    max_attempts: Count = 8
    retry_base_seconds: Seconds = 0.2
    retry_ceiling_seconds: Seconds = 60

    @field_validator("max_in_flight_events")
    @classmethod
    def _a_batch_fits(cls, value: int, info: ValidationInfo) -> int:
        return _at_least("relay.batch_events", info.data.get("batch_events"), value)

    @field_validator("retry_ceiling_seconds")
    @classmethod
    def _above_the_base(cls, value: float, info: ValidationInfo) -> float:
        return _at_least("relay.retry_base_seconds", info.data.get("retry_base_seconds"), value)


class RetentionSettings(Group):
    inbox_days: Count = 7
    sagas_days: Count = 30
    dead_letters_days: Count = 365
    refused_messages: Count = 10_000


class SupervisionSettings(Group):
    heartbeat_seconds: Seconds = 0.5
    patience_seconds: Seconds = 10

    @field_validator("patience_seconds")
    @classmethod
    def _outlasts_a_heartbeat(cls, value: float, info: ValidationInfo) -> float:
        return _at_least("supervision.heartbeat_seconds", info.data.get("heartbeat_seconds"), value)


class ShutdownSettings(Group):
    grace_seconds: Seconds = 15


class LogSettings(Group):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    file_max_bytes: Annotated[int, _Number, Field(ge=1_000_000)] = 50_000_000


def _at_least(name: str, floor: Any, value: N) -> N:
    """*value*, which must not be below the setting *name* (whose value is None if it is wrong itself)."""
    if floor is not None and value < floor:
        raise ValueError(f"at least {name}, which is {floor}")
    return value
