"""Satoshi Spark's own settings, beside those of the runtime. `default.toml` here documents each of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from config.groups import Count, Group, Pause, Percent, Rate, RetentionSettings, Seconds
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


class Lightning(Group):
    node: Literal["simulated"] = "simulated"
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


class SparkRetention(RetentionSettings):
    activity_days: Count = 90


class SparkSettings(Settings):
    """Everything that can be set for Satoshi Spark."""

    retention: SparkRetention = Field(default_factory=SparkRetention)
    lightning: Lightning = Field(default_factory=Lightning)
