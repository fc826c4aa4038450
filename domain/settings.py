"""Satoshi Spark's own settings, beside those of the runtime. `default.toml` here documents each of them."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from config.groups import INSIDE, Count, Group, Pause, Percent, Rate, RetentionSettings, Seconds
from config.settings import Settings


class SimulatedLightning(Group):
    payment_delay_seconds: Pause = 0.5
    latency_seconds: Pause = 0.0
    failure_rate: Rate = 0.0
    unknown_rate: Rate = 0.0
    largest_invoice_sat: Count = 2_100_000_000_000_000
    fee_sat: Annotated[int, Field(ge=0)] = 0

    @field_validator("unknown_rate")
    @classmethod
    def _rates_leave_room(cls, value: float, info: ValidationInfo) -> float:
        if value + info.data.get("failure_rate", 0.0) > 1:
            raise ValueError("a rate that together with lightning.simulated.failure_rate is at most 1")
        return value


class Withdrawals(Group):
    smallest_sat: Count = 1
    largest_sat: Count = 10_000_000
    day_sat: Count = 50_000_000
    longest_days: Count = 7


class Fees(Group):
    least_sat: Count = 2
    percent: Percent = 1.0


def _address(value: str) -> str:
    parts = urlsplit(value)
    is_plain = parts.hostname and not (parts.username or parts.password or parts.query or parts.fragment)
    if value and not (parts.scheme in ("http", "https") and is_plain):
        raise ValueError("an http:// or https:// URL without a user or a key in it, or nothing")
    return value.rstrip("/")


def _absolute(value: str) -> str:
    if value and not PurePath(value).is_absolute():
        raise ValueError("an absolute path, or nothing")
    return value


Address = Annotated[str, AfterValidator(_address)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]


class Lnbits(Group):
    url: Address = ""
    admin_key_file: AbsolutePath = ""
    invoice_key_file: AbsolutePath = ""


class Lnd(Group):
    url: Address = ""
    macaroon_file: AbsolutePath = ""
    tls_cert_file: AbsolutePath = ""


NEEDED = {"lnbits": ("url", "admin_key_file", "invoice_key_file"), "lnd": ("url", "macaroon_file")}
"""What a node must be told of, by its name."""


class Lightning(Group):
    node: Literal["simulated", "lnbits", "lnd"] = "simulated"
    network: Literal["bc", "tb", "tbs", "bcrt"] = "bcrt"
    invoice_expiry_seconds: Seconds = 3600
    watch_interval_seconds: Seconds = 0.5
    watch_expired_days: Seconds = 3
    call_timeout_seconds: Seconds = 10
    look_up_timeout_seconds: Seconds = 40
    max_concurrent_calls: Count = 16
    withdrawals: Withdrawals = Field(default_factory=Withdrawals)
    fees: Fees = Field(default_factory=Fees)
    simulated: SimulatedLightning = Field(default_factory=SimulatedLightning)
    lnbits: Lnbits = Field(default_factory=Lnbits)
    lnd: Lnd = Field(default_factory=Lnd)

    @model_validator(mode="after")
    def _the_node_can_be_reached(self) -> Lightning:
        for name in NEEDED.get(self.node, ()):
            if not getattr(getattr(self, self.node), name):
                told = {"wanted": f"simulated, as long as lightning.{self.node}.{name} is empty", INSIDE: "node"}
                raise PydanticCustomError("missing", "{wanted}", told)
        return self


class SparkRetention(RetentionSettings):
    activity_days: Count = 90


class SparkSettings(Settings):
    """Everything that can be set for Satoshi Spark."""

    retention: SparkRetention = Field(default_factory=SparkRetention)
    lightning: Lightning = Field(default_factory=Lightning)
