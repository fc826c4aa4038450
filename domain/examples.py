"""Plausible values of fields, by their names: for the examples in the documentation, which tests send."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, object] = {
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
