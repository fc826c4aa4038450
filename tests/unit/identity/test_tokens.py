"""Tokens: what is believed, for how long, and that a refusal never quotes one."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from spark_actors.identity.signing_keys import SigningKey, TokenKeysError, new_key, parse_keys
from spark_actors.identity.tokens import Realm, TokenVerifier
from spark_actors.messaging.cloudevents import AUTHORIZATION_CHARACTERS
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.identity import ANONYMOUS, Principal, Role
from tests.fixtures.identity import KEY, LEEWAY_SECONDS, REALM, a_token, user

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AT = NOW.timestamp()
OTHER_KEY = SigningKey("test-2", "another secret that only the tests know")
CLAIMS = {
    "iss": REALM.issuer,
    "aud": REALM.audience,
    "sub": "ann",
    "roles": ["user"],
    "iat": int(AT),
    "exp": int(AT) + 9,
}


def verifier(*keys: SigningKey) -> TokenVerifier:
    return TokenVerifier(keys or (KEY,), REALM, LEEWAY_SECONDS)


def crafted(*, key: SigningKey = KEY, algorithm: str = "HS256", kid: str = KEY.key_id, **claims: Any) -> str:
    """A token with some claims changed; one changed to `...` is left out."""
    wanted = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not ...}
    return "Bearer " + jwt.encode(wanted, key.secret, algorithm=algorithm, headers={"kid": kid})


def refusal(authorization: str, at: float = AT, *keys: SigningKey) -> str:
    with pytest.raises(RefusedError) as caught:
        verifier(*keys)(authorization, at)
    assert caught.value.code == "unauthenticated"
    assert authorization.removeprefix("Bearer ")[:20] not in str(caught.value) or len(authorization) < 20
    return caught.value.detail


def test_a_token_says_who_its_bearer_is() -> None:
    assert verifier()(user("ann", now=NOW), AT) == Principal("ann", frozenset([Role.USER]))


def test_without_a_token_one_is_nobody() -> None:
    assert verifier()("", AT) is ANONYMOUS


def test_a_token_is_good_until_it_expires_and_for_clocks_that_differ_a_little() -> None:
    token = f"Bearer {a_token(now=NOW, lifetime=timedelta(minutes=1))}"
    check = verifier()
    for moment in (AT + 59, AT + 60 + LEEWAY_SECONDS - 1, AT - LEEWAY_SECONDS + 1):
        assert check(token, moment).subject == "operator"
    for moment, word in ((AT + 60 + LEEWAY_SECONDS, "expired"), (AT - LEEWAY_SECONDS - 1, "not good yet")):
        with pytest.raises(RefusedError, match=word):  # also though it was verified before
            check(token, moment)


def test_what_counts_is_when_the_command_was_stored_not_when_it_is_read() -> None:
    """A backlog may take longer than a token lives; the clock here is many months past both."""
    assert time.time() > AT + 60
    assert verifier()(f"Bearer {a_token(now=NOW, lifetime=timedelta(seconds=30))}", AT + 29).is_known


REFUSED = [
    ("Basic eHg6eXk6eno=", "Bearer"),
    ("bearer x", "Bearer"),
    ("Bearer not-a-token-at-all", "cannot be read"),
    ("Bearer a.b.c", "cannot be read"),
    ("Bearer " + "x" * AUTHORIZATION_CHARACTERS, "longer than"),
    (crafted(exp=...), "has no exp"),
    (crafted(iat=...), "has no iat"),
    (crafted(aud=...), "has no aud"),
    (crafted(iss=...), "has no iss"),
    (crafted(sub=...), "has no sub"),
    (crafted(aud="another-daemon"), "made for something else"),
    (crafted(iss="somebody"), "made for something else"),
    (crafted(exp=int(AT) - 60), "expired"),
    (crafted(exp=AT + 9.5), "whole seconds"),
    (crafted(exp=True), "whole seconds"),
    (crafted(exp="soon"), "whole seconds"),
    (crafted(nbf=int(AT) + 60), "not good yet"),
    (crafted(sub=""), "sub"),
    (crafted(sub="@transit"), "sub"),
    (crafted(sub="ann bob"), "sub"),
    (crafted(sub=7), "cannot be read"),
    (crafted(roles=...), "roles"),
    (crafted(roles=[]), "roles"),
    (crafted(roles="operator"), "roles"),
    (crafted(roles=["user", "god"]), "roles"),
    (crafted(roles=[["user"]]), "roles"),
    (crafted(kid="unknown"), "no key that is known"),
    (crafted(key=OTHER_KEY), "signature is wrong"),
    (crafted(key=SigningKey("k", "x" * 64), algorithm="HS512"), "cannot be read"),
]


@pytest.mark.parametrize(("authorization", "part"), REFUSED)
def test_what_is_no_good_token_is_refused_with_a_reason(authorization: str, part: str) -> None:
    assert part in refusal(authorization)


def test_a_token_that_says_it_needs_no_signature_is_refused() -> None:
    head, body = ({"alg": "none", "kid": KEY.key_id}, CLAIMS)
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, body)]
    assert "cannot be read" in refusal(f"Bearer {parts[0]}.{parts[1]}.")


def test_a_token_with_a_changed_claim_is_refused() -> None:
    head, _, signature = user("ann", now=NOW).split(".")
    body = base64.urlsafe_b64encode(json.dumps({**CLAIMS, "roles": ["operator"]}).encode()).rstrip(b"=").decode()
    assert "signature" in refusal(f"{head}.{body}.{signature}")


def test_old_keys_verify_and_a_key_that_is_gone_does_not() -> None:
    older, newer = a_token(key=OTHER_KEY, now=NOW), a_token(key=KEY, now=NOW)
    rotating = verifier(KEY, OTHER_KEY)
    assert rotating(f"Bearer {older}", AT) == rotating(f"Bearer {newer}", AT)
    assert "no key" in refusal(f"Bearer {older}", AT, KEY)


def test_without_keys_nobody_is_known() -> None:
    with pytest.raises(RefusedError, match="no key"):
        TokenVerifier((), REALM, LEEWAY_SECONDS)(user("ann", now=NOW), AT)


def test_tokens_of_another_deployment_are_refused() -> None:
    assert "something else" in refusal(f"Bearer {a_token(realm=Realm('spark-actors', 'staging'), now=NOW)}")


def test_what_was_verified_is_looked_up_and_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    decode = jwt.decode

    def counting(token: str, *words: Any, **options: Any) -> Any:
        decoded.append(token)
        return decode(token, *words, **options)

    monkeypatch.setattr(jwt, "decode", counting)
    check = TokenVerifier([KEY], REALM, LEEWAY_SECONDS, remembered=2)
    ann, bob, eve = (user(name, now=NOW) for name in ("ann", "bob", "eve"))
    for authorization in (ann, ann, bob, ann, bob):
        check(authorization, AT)
    assert len(decoded) == 2
    for authorization in (eve, ann, bob):
        check(authorization, AT)
    assert len(decoded) > 3


def test_keys_are_written_one_a_line_the_newest_first() -> None:
    made = new_key("k-2")
    keys = parse_keys(["# keys", "", made.line, f"k-1:{'s' * 32}"], "keys")
    assert keys == (made, SigningKey("k-1", "s" * 32))
    assert made.secret not in repr(keys)


@pytest.mark.parametrize(
    "lines", [[], ["# none"], ["no colon"], ["k:short"], ["a b:" + "s" * 32], ["k:" + "s" * 32, "k:" + "t" * 32]]
)
def test_keys_that_cannot_be_used_are_refused_without_being_quoted(lines: list[str]) -> None:
    with pytest.raises(TokenKeysError) as refused:
        parse_keys(lines, "identity.keys")
    assert "identity.keys" in str(refused.value)
    assert not any(line and line in str(refused.value) for line in lines)
