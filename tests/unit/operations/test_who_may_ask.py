"""Who may ask and do what at the desk of operators, for each of its messages, whichever there are."""

from __future__ import annotations

import time
from itertools import product

import pytest

from spark_actors.kernel.messages import Action, Query, Sender
from spark_actors.messaging.cloudevents import query_subject
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.identity import Role
from spark_actors.operations.messages import MESSAGES, OPERATIONS
from tests.fixtures.application import REGISTRY
from tests.fixtures.identity import a_guard, a_token, bearer

ASKED = [cls for cls in REGISTRY if issubclass(cls, Query) and cls.TYPE.context == OPERATIONS]
SENDERS = {"nobody": "", **{str(role): bearer("ada", role) for role in Role}}
FORGED = f"Bearer {a_token()[:-4]}AAAA"


def refusal(cls: type[Query], authorization: str) -> str:
    """The code with which the guard refuses; empty if it lets the message in."""
    try:
        a_guard().sender(query_subject(cls.TYPE), authorization, time.time())
    except RefusedError as error:
        return error.code
    return ""


def expected(cls: type[Query], sender: str) -> str:
    if sender == "nobody":
        return "unauthenticated"
    if cls.TYPE.sent_by is Sender.KNOWN or sender == "operator":
        return ""
    return "" if sender == "reader" and not issubclass(cls, Action) else "forbidden"


def test_every_application_has_all_of_them() -> None:
    assert set(ASKED) == set(MESSAGES)


@pytest.mark.parametrize(("cls", "sender"), list(product(ASKED, SENDERS)), ids=str)
def test_each_sender_may_ask_what_its_role_allows_and_nothing_else(cls: type[Query], sender: str) -> None:
    assert refusal(cls, SENDERS[sender]) == expected(cls, sender)


@pytest.mark.parametrize("cls", ASKED, ids=str)
def test_a_forged_token_is_nobodys(cls: type[Query]) -> None:
    assert refusal(cls, FORGED) == "unauthenticated"
