"""JSON Web Tokens (HS256): made for those who have logged in or hold the key, and verified for everybody.

A token is good for a command if it was when the broker stored the command: what waits in the queue does not
go bad there. What was verified is remembered, so that a sender's next command costs a look-up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import jwt
from jwt.types import Options

from spark_actors.identity.signing_keys import SigningKey
from spark_actors.kernel.ids import is_subject
from spark_actors.messaging.cloudevents import AUTHORIZATION_CHARACTERS
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.identity import ANONYMOUS, UNAUTHENTICATED, Principal, Role
from spark_actors.messaging.ports import Clock

ALGORITHM = "HS256"
REMEMBERED = 10_000
_SCHEME = "Bearer "
_OPTIONS: Options = {
    "require": ["exp", "iat", "aud", "iss", "sub"],
    "verify_exp": False,  # not by the clock, but by when it was sent
    "verify_nbf": False,
    "verify_iat": False,
}


@dataclass(frozen=True)
class IssuedToken:
    text: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class Realm:
    """Between whom tokens are good."""

    issuer: str
    audience: str


class TokenIssuer:
    """Makes tokens, signed with the first of *keys*."""

    def __init__(self, keys: Sequence[SigningKey], realm: Realm, clock: Clock) -> None:
        self._key, self._realm, self._clock = keys[0], realm, clock

    def issue(self, subject: str, roles: Collection[str], lifetime: timedelta) -> IssuedToken:
        now = self._clock().replace(microsecond=0)
        claims = {
            "iss": self._realm.issuer,
            "aud": self._realm.audience,
            "sub": subject,
            "roles": sorted(roles),
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
        }
        text = jwt.encode(claims, self._key.secret, algorithm=ALGORITHM, headers={"kid": self._key.key_id})
        return IssuedToken(text, now + lifetime)


class _Verified(NamedTuple):
    principal: Principal
    good_from: float
    good_until: float


class TokenVerifier:
    """The port `Authenticate`: who sent something, by its token. Without keys nobody is known."""

    def __init__(
        self,
        keys: Sequence[SigningKey],
        realm: Realm,
        leeway_seconds: float,
        *,
        roles: Collection[str] = tuple(Role),
        remembered: int = REMEMBERED,
    ) -> None:
        """*leeway_seconds*: how far the clocks of who makes a token and of the broker may differ.

        *roles* are all that a token may name.
        """
        self._roles = roles
        self._leeway = leeway_seconds
        self._secrets = {key.key_id: key.secret for key in keys}
        self._realm = realm
        self._verified = lru_cache(maxsize=remembered)(self._verify)  # remembers no refusal

    def __call__(self, authorization: str, at: float) -> Principal:
        if not authorization:
            return ANONYMOUS
        if len(authorization) > AUTHORIZATION_CHARACTERS:
            _refuse(f"the token is longer than {AUTHORIZATION_CHARACTERS} characters")
        principal, good_from, good_until = self._verified(authorization)
        if at >= good_until + self._leeway:
            _refuse("the token has expired: log in again, or issue another")
        if at < good_from - self._leeway:
            _refuse("the token is not good yet")
        return principal

    def _verify(self, authorization: str) -> _Verified:
        """All but the time, which goes by. PyJWT would hold it against the clock, not against when it was sent."""
        if not authorization.startswith(_SCHEME):
            _refuse("expected the header to be: Bearer <token>")
        claims = self._claims(authorization.removeprefix(_SCHEME))
        good_from, good_until = claims.get("nbf", claims["iat"]), claims["exp"]
        if not (type(good_from) is type(good_until) is int):
            _refuse("expected exp, iat and nbf of the token to be whole seconds")
        return _Verified(_principal(claims, self._roles), good_from, good_until)

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            secret = self._secrets.get(str(jwt.get_unverified_header(token).get("kid")))
            if secret is None:
                _refuse("the token is signed with no key that is known here")
            return jwt.decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                audience=self._realm.audience,
                issuer=self._realm.issuer,
                options=_OPTIONS,
            )
        except jwt.InvalidSignatureError:
            _refuse("the token's signature is wrong")
        except jwt.MissingRequiredClaimError as error:
            _refuse(f"the token has no {error.claim}")
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
            _refuse("the token was made for something else (aud or iss)")
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            _refuse("the token cannot be read")


def _principal(claims: Mapping[str, Any], known: Collection[str]) -> Principal:
    subject, names = claims["sub"], claims.get("roles")
    if not is_subject(subject):
        _refuse("the token's sub is no name of an account or service")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name in known for name in names):
        _refuse(f"expected roles of the token to be a list of {', '.join(known)}")
    return Principal(subject, frozenset(names), good_until=claims["exp"])


def _refuse(detail: str) -> NoReturn:
    raise RefusedError(UNAUTHENTICATED, detail)
