"""The cookie: the daemon's token as it is, for this program alone."""

from __future__ import annotations

import pytest

from spark_actors.web.pages import NOBODY
from spark_actors.web.sessions import Sessions
from tests.fixtures.web import token

PLAIN, ENCRYPTED = Sessions(9465, is_encrypted=False), Sessions(9465, is_encrypted=True)


def test_it_is_out_of_reach_of_scripts_and_other_sites_and_named_by_the_port() -> None:
    made = PLAIN.begun(token("ada", "user", expires_at=1_600), now=1_000)
    parts = set(made.split("; "))
    assert made.startswith("spark-9465=e30.")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"} <= parts
    assert "Secure" not in parts
    assert not any(part.startswith("Domain") for part in parts)


def test_over_https_it_is_for_https_and_this_host_alone() -> None:
    made = ENCRYPTED.begun(token("ada", "user"), now=0)
    assert made.startswith("__Host-spark-9465=")
    assert "Secure" in made.split("; ")


def test_it_says_who_it_is_until_it_is_over() -> None:
    text = token("ada", "user", expires_at=1_600)
    visitor = PLAIN.visitor({"spark-9465": text}, now=1_599)
    assert (visitor.subject, visitor.roles, visitor.token) == ("ada", frozenset({"user"}), text)
    assert PLAIN.visitor({"spark-9465": text}, now=1_600) == NOBODY
    assert PLAIN.visitor({"spark-1": text}, now=0) == NOBODY
    assert text not in repr(visitor)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.b.c.d",
        "e30.e30.x",
        "e30.bm90IGpzb24.x",
        "e30.////.x",
        f"{token('ada', 'user')}\r\nX: y",
        f"{token('ada', 'user')}é",
        token("a" * 5_000, "user"),
    ],
)
def test_what_is_no_token_is_nobody(text: str) -> None:
    assert PLAIN.visitor({"spark-9465": text}, now=0) == NOBODY
