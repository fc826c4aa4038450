"""Nothing secret gets into a log, by whatever name or form it comes."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from spark_actors.telemetry.masking import masked, masked_text


@dataclass
class Registration:
    username: str
    password_hash: str


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "password_hash",
        "token",
        "nats_token",
        "dsn",
        "listen_dsn",
        "preimage",
        "Authorization",
        "client_secret",
    ],
)
def test_a_field_with_the_name_of_a_secret_is_masked(name: str) -> None:
    assert masked({name: "s3cret", "deep": [{name: b"s3cret"}]}) == {name: "***", "deep": [{name: "***"}]}


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://spark:s3cret@db:5432/spark",
        "cannot reach postgresql://spark:s3cret@db/spark, trying again",
        "postgresql://spark:s3c@ret@db/spark",
        "postgresql://db/spark?user=u&password=s3cret&x=1",
        "host=db password=s3cret dbname=spark",
        "host=db password='s3 cret' dbname=spark",
        r"host=db password='s3\'cret' dbname=spark",
        "nats://s3cret@127.0.0.1:4222",
        "nats://user:s3cret@127.0.0.1:4222",
        "Registration(username='a', password_hash='s3cret')",
        '{"preimage": "s3cret"}',
        "{'nats_token': 's3cret'}",
        "Authorization: Bearer s3cret",
        "a token eyJhbGciOiJIUzI1NiJ9.s3cret.s3cret in the middle",
        "headers Basic czNjcmV0s3cret",
        "hash $argon2id$v=19$m=65536$s3cret",
    ],
)
def test_a_secret_inside_text_is_masked(text: str) -> None:
    assert not {"s3cret", "s3", "ret", "cret"} & set(masked_text(text).replace("'", " ").replace("@", " ").split())
    assert "s3" not in masked_text(text)
    assert "***" in masked_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "turn_taken",
        "nats://127.0.0.1:4222",
        "http://127.0.0.1:9464/metrics",
        "postgresql://spark@db/spark",
        'password authentication failed for user "spark"',
        "the basic idea",
    ],
)
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert masked_text(text) == text


def test_the_text_around_a_secret_stays() -> None:
    assert masked_text("to postgresql://spark:x@db/spark now") == "to postgresql://spark:***@db/spark now"
    assert masked_text("host=db password=x dbname=spark") == "host=db password=*** dbname=spark"


def test_an_object_becomes_text_and_hides_nothing() -> None:
    assert masked(Registration("alice", "s3cret")) == "Registration(username='alice', password_hash=***)"


def test_plain_values_stay_plain() -> None:
    values = {"n": 1, "x": 0.5, "yes": True, "none": None, "token": None, "has_token": True, "list": (1, "a")}
    assert masked(values) == {**values, "list": [1, "a"]}
    assert masked(Path("/tmp/x")) == "/tmp/x"
    assert masked(b"12345") == "<5 bytes>"
