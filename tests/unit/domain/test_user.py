"""The rules of signing up."""

from __future__ import annotations

import pytest

from domain.auth.messages import AccountRegistered, Reason
from domain.auth.user import User
from spark_actors.kernel.decisions import Verdict
from spark_actors.kernel.sagas import SagaState
from tests.unit.domain.builders import ARGON2, register
from tests.unit.domain.world import NOON, World


def test_a_user_signs_up_under_a_name_in_lower_case() -> None:
    world = World()
    assert world.send(register(username="Ann_B.C-9")).verdict is Verdict.DONE
    assert world.states["auth", "ann"] == User("ann", "ann_b.c-9", ARGON2, NOON)
    assert world.said(AccountRegistered) == [AccountRegistered(account_id="ann", username="ann_b.c-9")]


def test_a_name_is_taken_whatever_its_case() -> None:
    world = World().run(register())
    assert world.send(register(account_id="bob", username="ANN")).reason == Reason.USERNAME_TAKEN
    assert ("auth", "bob") not in world.states
    assert [event.key for event in world.events] == ["ann"] * len(world.events)


@pytest.mark.parametrize("username", ["", "ab", "a" * 33, "with space", "-ann", "ann!", "änn", "ann\n", "ann\0"])
def test_a_name_must_be_plain_and_neither_short_nor_long(username: str) -> None:
    assert World().send(register(username=username)).reason == Reason.INVALID_USERNAME


@pytest.mark.parametrize(
    "secret",
    ["", "hunter2", "$argon2", "$2b$12$abc", f"{ARGON2}\n", ARGON2 + "a" * 600]
    + [ARGON2.replace("m=65536", "m=65537"), ARGON2.replace("t=3", "t=4"), ARGON2.replace("p=4", "p=5")]  # too dear
    + [ARGON2.replace("m=65536", "m=8"), ARGON2.replace("t=3", "t=1"), ARGON2.replace("p=4", "p=1")]  # too cheap
    + [ARGON2.replace("argon2id", "argon2i"), ARGON2.replace("v=19", "v=16"), ARGON2.replace("$v=19", "")],
)
def test_a_password_must_come_as_an_argon2_hash(secret: str) -> None:
    world = World()
    assert world.send(register(password_hash=secret)).reason == Reason.INVALID_PASSWORD_HASH
    assert secret == "" or secret not in str(world.events)


@pytest.mark.parametrize("account_id", ["@lightning", "a b", "a\tb"])
def test_an_account_id_must_not_be_one_of_the_systems_own_nor_malformed(account_id: str) -> None:
    assert World().send(register(account_id=account_id)).reason == Reason.INVALID_ACCOUNT_ID


@pytest.mark.parametrize(
    "fields",
    [
        {"account_id": "bob", "username": "ann"},
        {"account_id": "ann", "username": "a name that a stranger has chosen"},
        {"account_id": "ann", "username": "other"},
        {"account_id": "bob", "password_hash": "text"},
    ],
)
def test_nothing_is_said_of_a_sign_up_that_is_refused(fields: dict[str, str]) -> None:
    world = World().run(register())
    before = list(world.events)
    assert world.send(register(**fields)).verdict is Verdict.REJECTED
    assert world.events == before


def test_signing_up_again_changes_nothing_and_says_nothing() -> None:
    world = World().run(register())
    before = list(world.events)
    assert world.send(register()).verdict is Verdict.DONE
    assert world.events == before


def test_nobody_signs_up_under_an_id_that_has_a_user() -> None:
    world = World().run(register())
    assert world.send(register(username="other")).reason == Reason.DUPLICATE_ACCOUNT
    assert world.states["auth", "ann"].username == "ann"


def test_a_sign_up_opens_the_account() -> None:
    world = World().run(register())
    assert world.account("ann").is_open
    assert world.saga("sign-up", "ann") == ("opened", SagaState.COMPLETED)
