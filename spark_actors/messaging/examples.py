"""An example of every message and view, made from its fields: for the documentation and for tests."""

from __future__ import annotations

import dataclasses
import types
import typing
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")

_WORDS: dict[str, object] = {
    "account_id": "0b0f7e9c-52a1-4d5e-9a43-6f2c1f0d8a11",
    "from_account_id": "0b0f7e9c-52a1-4d5e-9a43-6f2c1f0d8a11",
    "to_account_id": "7c3d2a54-1b6e-4f0a-8d2b-93e1c4b7f022",
    "owner_account_id": "7c3d2a54-1b6e-4f0a-8d2b-93e1c4b7f022",
    "campaign_id": "4e9a1c70-3f2d-4b8b-a6c5-0d7e8f9a1b33",
    "donation_id": "9d8c7b6a-5e4f-4a3b-8c2d-1e0f9a8b7c44",
    "username": "satoshi",
    "password": "correct horse battery staple",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
    "password_hash": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0$WmVybyBrbm93bGVkZ2UgaGFzaCBvZiAzMiBieXRl",
    "title": "A public well",
    "description": "Clean water for the village.\nEvery satoshi counts.",
    "purpose": "donation",
    "reason": "insufficient_funds",
    "state": "registered",
    "kind": "deposit",
    "event": "crowdfunding.donation-registered",
    "payment_request": "lnbc210u1pexample",
    "payment_hash": "6f" * 32,
    "preimage": "a1" * 32,
    "limit": 20,
    "donations": 3,
}
_INSTANT = datetime(2026, 1, 3, 18, 15, 5, tzinfo=UTC)
_AMOUNT_SAT = 21_000


def example(cls: type[T]) -> T:
    """An instance of a message or view dataclass with plausible values; the same one each time."""
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(typing.cast(Any, cls))
    return cls(**{field.name: _value(field.name, hints[field.name]) for field in fields})


def _value(name: str, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _value(name, arguments[0])
    if origin is tuple:
        return (_value(name, arguments[0]),)
    if origin is dict:
        return {"amount_sat": _AMOUNT_SAT}
    if dataclasses.is_dataclass(hint):
        return example(typing.cast(type, hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    return _WORDS.get(name, _plain(name, hint))


def _plain(name: str, hint: Any) -> object:
    plain: dict[Any, object] = {str: f"{name.removesuffix('_id')}-1", int: _AMOUNT_SAT, bool: True, datetime: _INSTANT}
    return plain[hint]
