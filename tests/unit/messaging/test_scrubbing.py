"""What of a refused message is kept: no password that somebody has sent by mistake."""

from __future__ import annotations

import json

import pytest

from domain.application import APPLICATION
from tests.unit.domain.builders import ARGON2

REGISTER = "spark.commands.auth.register-account"
DEPOSIT = "spark.commands.accounting.deposit"
SECRET = "hunter2-in-clear"
storable = APPLICATION.scrubber.storable


def event(**data: object) -> bytes:
    return json.dumps({"id": "m-1", "type": "t", "subject": "ann", "data": data}).encode()


LEAKS = [
    (REGISTER, event(account_id="ann", username="ann", password=SECRET)),
    (REGISTER, event(account_id="ann", username="ann", password_hash=SECRET)),
    (REGISTER, event(account_id="ann", username="ann", kennwort=SECRET)),
    (REGISTER, event(account_id="ann", username="ann", password=f"$a${SECRET}")),
    (REGISTER, event(account_id="ann", username="ann", password_hash=f"$argon2id${SECRET}")),
    (REGISTER, event(account_id="ann", login={"name": "ann", "value": [SECRET]})),
    (REGISTER, json.dumps({"id": "m-1", "data": SECRET}).encode()),
    (REGISTER, json.dumps(SECRET).encode()),
    (REGISTER, event(password=SECRET)[:-3]),
    (REGISTER, SECRET.encode() + b"\xff\x00"),
    (REGISTER, b"[" * 5_000 + SECRET.encode()),
    ("spark.commands.auth.login", json.dumps({"username": "ann", "password": SECRET}).encode()),
    (DEPOSIT, event(account_id="ann", Password=SECRET)),
    (DEPOSIT, event(account_id="ann", password={"value": SECRET})),
    (DEPOSIT, event(account_id="ann", password=SECRET)[:-3]),
    (DEPOSIT, json.dumps({"pass": SECRET}).replace("pass", "\\u0070ass").encode()),
    (DEPOSIT, b'{"password": "' + SECRET.encode() + b'", "password": "x"}'),
    (DEPOSIT, b'{"data": {"password": "' + SECRET.encode() + b'"}, "data": {}}'),
    (DEPOSIT, json.dumps({"password": SECRET}).encode("utf-16")),
    (DEPOSIT, event(authorization=f"Bearer {SECRET}")),
]


@pytest.mark.parametrize(("subject", "body"), LEAKS)
def test_no_password_is_kept(subject: str, body: bytes) -> None:
    kept = storable(subject, body)
    assert kept
    assert SECRET.encode() not in kept.replace(b"\x00", b"")


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (DEPOSIT, event(account_id="ann", amount_sat="5")),
        (DEPOSIT, b"\xff\x00 no json"),
        (DEPOSIT, b"x" * 20_000),
        (DEPOSIT, b""),
    ],
)
def test_what_holds_no_password_is_kept_as_it_came(subject: str, body: bytes) -> None:
    assert storable(subject, body) == body


def test_what_is_harmless_of_a_sign_up_is_kept_its_hash_too() -> None:
    kept = json.loads(storable(REGISTER, event(account_id="ann", username="x\n", password_hash=ARGON2, extra=SECRET)))
    assert kept["id"] == "m-1"
    assert kept["data"] == {"account_id": "ann", "username": "x\n", "password_hash": ARGON2, "extra": "***"}
