"""Logging in: one answer for all who are refused, a bound on attempts, and hashes that cost what they should."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher

from domain.auth.adapters.attempts import AttemptLimits, Attempts
from domain.auth.adapters.credentials import Credential
from domain.auth.adapters.login import BUSY_SECONDS, WAITING_MOST, Login, Sessions
from domain.auth.adapters.passwords import (
    AT_ONCE,
    NICENESS,
    NOBODYS_HASH,
    PasswordCheck,
    hash_password,
    is_too_dear,
)
from domain.auth.messages import HashCost, LogIn, Session
from domain.auth.user import is_password_hash
from spark_actors.identity.tokens import TokenIssuer, TokenVerifier
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.identity import Principal, Role
from spark_actors.messaging.telemetry import LoginTried, TelemetryEvent
from tests.fixtures.identity import KEY, LEEWAY_SECONDS, REALM

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = AttemptLimits(for_name=3, overall=5, window_seconds=60)


class Users:
    """Users in memory."""

    def __init__(self, users: Mapping[str, Credential]) -> None:
        self._users = users

    async def of(self, username: str) -> Credential | None:
        return self._users.get(username)


class Scene:
    """A login for `ann`, whose password is `correct horse`; hashes are compared by what they look like."""

    def __init__(self) -> None:
        self.now = NOW
        self.seconds = 0.0
        """What has gone by, whatever the wall clock says."""
        self.told: list[TelemetryEvent] = []
        self.compared: list[str | None] = []
        self.gate = asyncio.Event()
        self.gate.set()
        users = Users({"ann": Credential("account-of-ann", "hash of correct horse")})
        sessions = Sessions(TokenIssuer([KEY], REALM, lambda: self.now), timedelta(minutes=30))
        self.login = Login(
            users, self.fits, sessions, Attempts(LIMITS), telemetry=self.told.append, now=lambda: self.seconds
        )

    async def fits(self, password_hash: str | None, password: str) -> bool:
        self.compared.append(password_hash)
        await self.gate.wait()
        return password_hash == f"hash of {password}"

    async def as_(self, username: str, password: str) -> Session:
        return await self.login.answer(LogIn(username=username, password=password))

    async def refusal(self, username: str, password: str) -> RefusedError:
        with pytest.raises(RefusedError) as refused:
            await self.as_(username, password)
        return refused.value


def test_the_right_password_gives_a_token_for_the_account() -> None:
    async def play() -> None:
        scene = Scene()
        session = await scene.as_("Ann", "correct horse")
        assert (session.account_id, session.expires_at) == ("account-of-ann", NOW + timedelta(minutes=30))
        bearer = TokenVerifier([KEY], REALM, LEEWAY_SECONDS)(f"Bearer {session.token}", NOW.timestamp())
        assert bearer == Principal("account-of-ann", frozenset([Role.USER]))
        assert scene.told == [LoginTried("ok")]
        assert session.token not in repr(session)

    asyncio.run(play())


def test_a_wrong_password_and_a_name_that_nobody_has_are_told_and_treated_alike() -> None:
    async def play() -> None:
        scene = Scene()
        wrong, nobody = await scene.refusal("ann", "wrong"), await scene.refusal("nobody", "wrong")
        assert vars(wrong) == vars(nobody)
        assert wrong.code == "wrong_credentials"
        assert scene.compared == ["hash of correct horse", None]

    asyncio.run(play())


def test_a_name_that_is_tried_too_often_has_to_wait_even_with_the_right_password() -> None:
    async def play() -> None:
        scene = Scene()
        for _ in range(LIMITS.for_name):
            assert (await scene.refusal("ann", "wrong")).code == "wrong_credentials"
        refused = await scene.refusal("ann", "correct horse")
        assert (refused.code, refused.retry_after_seconds) == ("too_many_attempts", 60)
        assert len(scene.compared) == LIMITS.for_name
        scene.seconds += 60
        assert (await scene.as_("ann", "correct horse")).account_id == "account-of-ann"

    asyncio.run(play())


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_jump_of_the_clock_locks_nobody_out_and_lets_nobody_in(jump: timedelta) -> None:
    async def play() -> None:
        scene = Scene()
        for _ in range(LIMITS.for_name):
            await scene.refusal("ann", "wrong")
        scene.now += jump
        assert (await scene.refusal("ann", "correct horse")).retry_after_seconds == 60
        scene.seconds += 60
        assert (await scene.as_("ann", "correct horse")).account_id == "account-of-ann"

    asyncio.run(play())


def test_attempts_are_timed_by_a_clock_that_cannot_be_set() -> None:
    assert inspect.signature(Login).parameters["now"].default is time.monotonic


def test_who_logs_in_has_his_attempts_forgotten() -> None:
    async def play() -> None:
        scene = Scene()
        for _ in range(2 * LIMITS.overall):
            await scene.as_("ann", "correct horse")

    asyncio.run(play())


def test_all_names_together_are_bounded_too() -> None:
    async def play() -> None:
        scene = Scene()
        codes = [(await scene.refusal(f"name-{n}", "x")).code for n in range(LIMITS.overall + 2)]
        assert codes == ["wrong_credentials"] * LIMITS.overall + ["too_many_attempts"] * 2

    asyncio.run(play())


def test_only_so_many_wait_to_be_compared() -> None:
    async def play() -> None:
        scene = Scene()
        scene.gate.clear()
        attempts = Attempts(AttemptLimits(for_name=100, overall=100, window_seconds=60))
        scene.login._attempts = attempts
        waiting = [asyncio.create_task(scene.refusal("ann", "wrong")) for _ in range(WAITING_MOST)]
        await asyncio.sleep(0)
        refused = await scene.refusal("bob", "x")
        assert (refused.code, refused.retry_after_seconds) == ("busy", BUSY_SECONDS)
        assert scene.told == [LoginTried("busy")]
        scene.gate.set()
        assert {refused.code for refused in await asyncio.gather(*waiting)} == {"wrong_credentials"}

    asyncio.run(play())


def test_the_window_slides_and_what_is_refused_does_not_count() -> None:
    attempts = Attempts(AttemptLimits(for_name=2, overall=10, window_seconds=10))
    assert [attempts.take("ann", now) for now in (0.0, 4.0, 5.0, 9.0)] == [0.0, 0.0, 5.0, 1.0]
    assert attempts.take("ann", 10.0) == 0.0
    assert attempts.take("ann", 11.0) == 3.0


def test_a_password_fits_its_hash_and_nothing_fits_nobodys() -> None:
    async def play() -> None:
        check = PasswordCheck()
        hashed = await asyncio.to_thread(hash_password, "correct horse")
        assert await check.fits(hashed, "correct horse")
        assert not await check.fits(hashed, "wrong")
        assert not await check.fits(None, "correct horse")
        assert not await check.fits("$argon2id$nonsense", "x")
        check.close()

    asyncio.run(play())


DEARER = [HashCost(65_544, 3, 4), HashCost(65_536, 4, 4), HashCost(65_536, 3, 5)]


@pytest.mark.parametrize("cost", DEARER)
def test_a_hash_that_is_too_dear_is_not_computed_and_takes_as_long_as_nobodys(
    cost: HashCost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be some from before only HASH_COST was taken."""
    dear = f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}$c29tZXNhbHQ$aGFzaGhhc2hoYXNo"
    compared = []

    def verify(check: PasswordCheck, password_hash: str, password: str) -> bool:
        compared.append(password_hash)
        return True

    async def play() -> None:
        check = PasswordCheck()
        assert not await check.fits(dear, "x")
        assert not await check.fits(None, "x")
        check.close()

    monkeypatch.setattr(PasswordCheck, "_verify", verify)
    asyncio.run(play())
    assert compared == [NOBODYS_HASH] * 2


def test_a_user_with_a_cheaper_hash_of_before_logs_in_as_ever() -> None:
    async def play() -> None:
        check = PasswordCheck()
        assert await check.fits(PasswordHasher(1, 8, 1).hash("correct horse"), "correct horse")
        check.close()

    asyncio.run(play())


def test_what_is_made_here_is_what_a_sign_up_takes() -> None:
    made = hash_password("correct horse")
    assert is_password_hash(made)
    assert not is_too_dear(made)
    assert not is_password_hash(PasswordHasher(1, 8, 1).hash("correct horse"))


def test_passwords_are_compared_one_after_the_other_and_behind_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, priorities = 0, 0, set()

    def verify(check: PasswordCheck, password_hash: str, password: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        priorities.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        running -= 1
        return True

    async def play() -> None:
        check = PasswordCheck()
        await asyncio.gather(*(check.fits(NOBODYS_HASH, "x") for _ in range(60)))
        check.close()

    ours = os.getpriority(os.PRIO_PROCESS, 0)
    monkeypatch.setattr(PasswordCheck, "_verify", verify)
    asyncio.run(play())
    assert most == AT_ONCE == 1
    assert priorities == {min(19, ours + NICENESS)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours


def test_the_loop_turns_while_a_password_is_compared() -> None:
    async def play() -> int:
        check, turns = PasswordCheck(), 0
        comparing = asyncio.ensure_future(check.fits(NOBODYS_HASH, "x"))
        while not comparing.done():
            turns += 1
            await asyncio.sleep(0)
        check.close()
        return turns

    assert asyncio.run(play()) > 100


def test_to_compare_with_nobodys_hash_costs_what_a_users_costs() -> None:
    assert not PasswordHasher().check_needs_rehash(NOBODYS_HASH)
    assert len(NOBODYS_HASH) == len(hash_password("x"))


def test_a_login_never_shows_its_password() -> None:
    assert "correct" not in repr(LogIn(username="ann", password="correct horse"))
