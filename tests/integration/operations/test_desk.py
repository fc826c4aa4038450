"""The desk of operators on a real Postgres: pages, groups, bounds, and that what is asked twice happens once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from domain.application import APPLICATION
from spark_actors.ingress.client import NotAcceptedError, OutcomeUnknownError
from spark_actors.kernel.messages import Query
from spark_actors.messaging.ports import DeadLetter
from spark_actors.operations import messages as of
from spark_actors.operations.acts import Actor
from spark_actors.operations.desk import Desk
from spark_actors.operations.paging import UnknownPlaceInListError
from spark_actors.persistence.desk_sessions import KeptSessions
from spark_actors.persistence.operator_desk import DeskError
from spark_actors.persistence.statements import load_for
from tests.contracts.test_parked_commands import keys, waiting
from tests.contracts.test_turns import Host, sent
from tests.fixtures.letters import a_letter
from tests.fixtures.postgres import emptied
from tests.fixtures.stores import PostgresStores
from tests.unit.domain.builders import deposit, funded

A_SECOND = timedelta(seconds=1)
LOOKED_AT = datetime.now(UTC)
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21l$RdescudvJCsgt3ub+b4dWRWJTmaaJObG"
SECRETS = {"account_id": "ann", "username": "ann", "password_hash": HASH, "preimage": "p" * 64}


@pytest.fixture
def database(module_database: str) -> str:
    """The module's own, emptied: these tests only write rows."""
    return emptied(module_database)


@pytest.fixture
def stores(dsn_by_context: Mapping[str, str]) -> Iterator[PostgresStores]:
    with asyncio.Runner() as runner, PostgresStores(dsn_by_context["accounting"], runner) as stores:
        yield stores


@pytest.fixture
def desk(dsn_by_context: Mapping[str, str]) -> Iterator[Desk]:
    """As a daemon has it."""
    sessions = KeptSessions(2)
    yield Desk(APPLICATION, dsn_by_context, sessions=sessions)
    sessions.close()


def nobody_is_asked(subject: str, body: bytes) -> str:
    raise AssertionError("nothing is sent to the door")


ZOE = Actor("operator zoe", nobody_is_asked)


def bury(stores: PostgresStores, context: str, *letters: DeadLetter) -> None:
    stores.run(stores.dead_letters(context).bury(letters))


def died(message_id: str, seconds: int = 0, **changes: Any) -> DeadLetter:
    letter = a_letter(message_id, body=message_id.encode(), died_at=LOOKED_AT + seconds * A_SECOND)
    return replace(letter, **changes)


def act(desk: Desk, action: Any, actor: Actor = ZOE) -> Any:
    return desk.act(action, actor, 10)


def of_group(group: of.LetterGroup) -> dict[str, Any]:
    """What an action on all letters of a group says."""
    told = {name: getattr(group, name) for name in ("context", "cause", "name", "subscriber", "up_to")}
    return {**told, "died_until": group.last_died_at}


def discard_group(group: of.LetterGroup, **changes: Any) -> of.DiscardMatchingLetters:
    return of.DiscardMatchingLetters(**{**of_group(group), "why": "a test", **changes})


def test_letters_of_several_contexts_come_page_by_page_and_each_once_though_others_die_meanwhile(
    stores: PostgresStores, desk: Desk
) -> None:
    for number in range(6):  # three moments, each with letters of both contexts
        for context in ("accounting", "auth"):
            bury(stores, context, died(f"{context}-{number}", number // 2))
    seen: list[str] = []
    after = ""
    while True:
        page = desk.answer(of.ListLetters(limit=5, after=after))
        seen += [letter.message_id for letter in page.letters]
        bury(stores, "auth", died(f"late-{len(seen)}", 60))
        if not (after := page.next):
            break
    assert len(seen) == len(set(seen)) == 12
    assert [letter[-1] for letter in seen] == sorted((letter[-1] for letter in seen), key=lambda n: -(int(n) // 2))


def test_letters_that_are_alike_are_a_group_and_a_subject_counts_without_its_bucket(
    stores: PostgresStores, desk: Desk
) -> None:
    subject = "spark.commands.accounting.deposit"
    for number, name in enumerate((subject, f"{subject}.17", f"{subject}.4095")):
        bury(stores, "ingress", died(f"m{number}", number, name=name, reason=f"malformed_data: amount = {number}"))
    bury(stores, "ingress", died("other", 9, name=subject, reason="not_json: no"))
    groups = desk.answer(of.GroupLetters())
    assert groups.is_whole
    assert [(each.context, each.cause, each.name, each.letters) for each in groups.groups] == [
        ("ingress", "malformed_data", subject, 3),
        ("ingress", "not_json", subject, 1),
    ]
    first = groups.groups[0]
    assert (first.first_died_at, first.last_died_at) == (LOOKED_AT, LOOKED_AT + 2 * A_SECOND)
    found = desk.answer(of.ListLetters(cause=first.cause, name=first.name)).letters
    assert [letter.message_id for letter in found] == ["m2", "m1", "m0"]


def test_what_dies_after_the_look_stays_also_what_has_died_before(stores: PostgresStores, desk: Desk) -> None:
    bury(stores, "auth", *(died(f"m{number}") for number in range(3)))
    act(desk, of.DiscardLetters("auth", (desk.answer(of.ListLetters()).letters[-1].letter_id,), "a test"))
    [group] = desk.answer(of.GroupLetters("auth")).groups
    assert group.letters == 2
    bury(stores, "auth", died("m0", 5), died("new", 5))  # one dies again, under its old number
    acted = act(desk, discard_group(group))
    assert ([each.result for each in acted.results], acted.next, acted.stopped) == (["discarded"] * 2, "", "")
    assert {letter.message_id for letter in desk.answer(of.ListLetters()).letters} == {"m0", "new"}


def test_all_that_match_are_acted_on_in_bounded_answers_the_oldest_first(stores: PostgresStores, desk: Desk) -> None:
    bury(stores, "auth", *(died(f"m{number}", number) for number in range(5)))
    [group] = desk.answer(of.GroupLetters()).groups
    action = discard_group(group, limit=2)
    done: list[str] = []
    for _ in range(3):
        acted = act(desk, action)
        done += [each.message_id for each in acted.results]
        action = replace(action, after=acted.next)
    assert (done, acted.next) == ([f"m{number}" for number in range(5)], "")


def test_an_answer_that_takes_too_long_says_where_to_go_on(stores: PostgresStores, desk: Desk) -> None:
    bury(stores, "auth", *(died(f"m{number}", number) for number in range(3)))
    [group] = desk.answer(of.GroupLetters()).groups
    acted = desk.act(discard_group(group), ZOE, -1.0)
    assert isinstance(acted, of.LettersActed)
    assert (acted.results, acted.next, "ask again" in acted.stopped) == ((), "", True)
    assert len(desk.answer(of.ListLetters()).letters) == 3


def test_what_is_asked_twice_under_one_request_happens_once_and_is_told_as_it_was(
    stores: PostgresStores, desk: Desk
) -> None:
    bury(stores, "auth", died("m"))
    [letter] = desk.answer(of.ListLetters()).letters
    discard = of.DiscardLetters("auth", (letter.letter_id,), "not ours", "request-1")
    told = [act(desk, discard).results[0] for _ in range(2)]
    assert [each.result for each in told] == ["discarded", "done before"]
    [again] = act(desk, replace(discard, request_id="request-2")).results
    assert (again.code, again.result) == ("refused", "")
    assert "is discarded: nothing was done" in again.problem
    [line] = desk.answer(of.ListActions()).actions
    assert (line.who, line.why, line.action, line.message_id) == ("operator zoe", "not ours", "discard", "m")


class Door:
    """What the door says to each that is sent to it again."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers, self.sent = list(answers), list[bytes]()

    def resend(self, subject: str, body: bytes) -> str:
        self.sent.append(body)
        if isinstance(answer := self.answers.pop(0), Exception):
            raise answer
        return answer


AT_DOOR: dict[str, Any] = {
    "name": "spark.commands.accounting.deposit",
    "subscriber": "ingress",
    "body": b"{}",
    "died_at": LOOKED_AT,
}


def test_a_request_that_could_not_be_sent_to_the_door_is_done_when_it_comes_again(
    stores: PostgresStores, desk: Desk
) -> None:
    bury(stores, "ingress", died("m", **AT_DOOR))
    [letter] = desk.answer(of.ListLetters()).letters
    door = Door(NotAcceptedError("full"), "done")
    retry = of.RetryLetters("ingress", (letter.letter_id,), "mended", request_id="r")
    stopped = act(desk, retry, Actor("operator zoe", door.resend))
    assert (stopped.results, "full" in stopped.stopped) == ((), True)
    assert [each.message_id for each in desk.answer(of.ListLetters()).letters] == ["m"]
    assert [each.result for each in act(desk, retry, Actor("operator zoe", door.resend)).results] == ["done"]
    assert desk.answer(of.ListLetters()).letters == ()
    assert [line.action for line in desk.answer(of.ListActions()).actions] == ["retry", "put back", "retry"]


def test_a_request_whose_outcome_was_not_known_tells_it_when_it_comes_again(stores: PostgresStores, desk: Desk) -> None:
    bury(stores, "ingress", died("m", **AT_DOOR))
    [letter] = desk.answer(of.ListLetters()).letters
    door = Door(OutcomeUnknownError("not yet"), "rejected insufficient_funds")
    retry = of.RetryLetters("ingress", (letter.letter_id,), "mended", request_id="r")
    told = [act(desk, retry, Actor("operator zoe", door.resend)).results[0] for _ in range(2)]
    assert [(each.code, each.result) for each in told] == [
        ("unknown_outcome", ""),
        ("", "rejected insufficient_funds"),
    ]
    assert door.sent == [b"{}"] * 2  # under one id: the second takes no effect
    assert [line.action for line in desk.answer(of.ListActions()).actions] == ["retry"]


def test_a_letter_of_the_door_that_somebody_gave_up_since_is_not_sent_by_an_old_request(
    stores: PostgresStores, desk: Desk
) -> None:
    bury(stores, "ingress", died("m", **AT_DOOR))
    [letter] = desk.answer(of.ListLetters()).letters
    retry = of.RetryLetters("ingress", (letter.letter_id,), "mended", request_id="r")
    door = Door("failed malformed_data")
    act(desk, retry, Actor("operator zoe", door.resend))
    bury(stores, "ingress", died("m", **{**AT_DOOR, "died_at": LOOKED_AT + A_SECOND}))  # refused again
    act(desk, of.DiscardLetters("ingress", (letter.letter_id,), "not ours"))
    assert [each.result for each in act(desk, retry, Actor("operator zoe", door.resend)).results] == ["done before"]
    assert len(door.sent) == 1


def test_a_message_is_skipped_once_and_only_the_one_that_was_seen(stores: PostgresStores, desk: Desk) -> None:
    host = Host(stores)
    host.take(*funded("ann", 100))
    act(desk, of.PauseKey("accounting", "ann", "let me look", request_id="p"))
    for number in (1, 2, 3):
        host.take(sent(deposit(deposit_id=f"d{number}"), f"d{number}"))
    assert waiting(stores, "ann") == ["d1", "d2", "d3"]
    [key] = desk.answer(of.ListKeys()).keys
    assert (key.key, key.state, key.messages, key.first_message_id) == ("ann", "paused", 3, "d1")
    skip = of.SkipKey("accounting", "ann", "not ours", first_message="d1", request_id="s")
    assert [act(desk, skip).skipped for _ in range(2)] == ["d1", "d1"]
    assert waiting(stores, "ann") == ["d2", "d3"]
    with pytest.raises(DeskError, match="d2 is the first"):
        act(desk, replace(skip, request_id="another"))
    assert waiting(stores, "ann") == ["d2", "d3"]
    assert [line.action for line in desk.answer(of.ListActions("accounting")).actions] == ["skip", "pause"]


def test_a_key_that_is_resumed_twice_under_one_request_is_not_released_again(
    stores: PostgresStores, desk: Desk
) -> None:
    act(desk, of.PauseKey("accounting", "ann", "let me look"))
    resume = of.ResumeKey("accounting", "ann", "seen", request_id="r")
    assert act(desk, resume).state == "released"
    act(desk, of.PauseKey("accounting", "ann", "let me look again"))
    act(desk, resume)
    assert set(keys(stores).values()) == {"paused"}


def test_keys_come_page_by_page_those_first_that_wait_longest(stores: PostgresStores, desk: Desk) -> None:
    names = [f"k{number}" for number in range(5)]
    for name in names:
        act(desk, of.PauseKey("accounting" if name != "k2" else "auth", name, "a test"))
    first = desk.answer(of.ListKeys(limit=3))
    rest = desk.answer(of.ListKeys(limit=3, after=first.next))
    assert ([key.key for key in (*first.keys, *rest.keys)], rest.next) == (names, "")


def test_a_letter_is_of_a_context_that_is_named(desk: Desk) -> None:
    for context in ("", "no-such-context"):
        with pytest.raises(DeskError, match="expected one of"):
            desk.answer(of.ShowLetter(context, 1))


def test_actions_of_all_contexts_come_page_by_page_the_newest_first(desk: Desk) -> None:
    for number in range(5):
        act(desk, of.PauseKey(("accounting", "auth")[number % 2], f"k{number}", f"reason {number}"))
    first = desk.answer(of.ListActions(limit=2))
    second = desk.answer(of.ListActions(limit=2, after=first.next))
    third = desk.answer(of.ListActions(limit=2, after=second.next))
    told = [line.why for page in (first, second, third) for line in page.actions]
    assert (told, third.next) == ([f"reason {number}" for number in reversed(range(5))], "")


def test_a_password_hash_and_a_proof_are_shown_to_nobody(stores: PostgresStores, desk: Desk) -> None:
    bury(stores, "auth", died("m", name="auth.register-account", body=json.dumps(SECRETS).encode()))
    [line] = desk.answer(of.ListLetters(has_bodies=True)).letters
    assert desk.answer(of.ShowLetter("auth", line.letter_id)) == line
    assert json.loads(line.body) == {**SECRETS, "password_hash": "***", "preimage": "***"}
    assert desk.answer(of.ListLetters()).letters[0].body == ""
    unreadable = b"password_hash: " + HASH.encode()
    bury(stores, "auth", died("n", name="auth.register-account", body=unreadable))
    assert HASH not in desk.answer(of.ListLetters(has_bodies=True)).letters[0].body


def test_what_is_not_shown_is_not_written_back_by_an_edit(stores: PostgresStores, desk: Desk) -> None:
    bury(stores, "auth", died("m", name="auth.register-account", key="ann", body=json.dumps(SECRETS).encode()))
    [line] = desk.answer(of.ListLetters(has_bodies=True)).letters
    [told] = act(desk, of.EditLetter("auth", line.letter_id, "a typo", content=json.loads(line.body))).results
    assert (told.code, "stands for what is not shown" in told.problem) == ("usage", True)


@pytest.mark.parametrize("after", ["x", "W10=", "WyJ4IiwgImF1dGgiLCAxXQ==", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwKzAwOjAwIl0="])
def test_a_list_goes_on_only_where_it_said(desk: Desk, after: str) -> None:
    with pytest.raises(UnknownPlaceInListError):
        desk.answer(of.ListLetters(after=after))


@pytest.mark.parametrize(
    "question",
    [of.ListLetters("dashboard"), of.ListLetters(state="wating"), of.ListKeys("ingress"), of.ListSagas(kind="dontion")],
    ids=str,
)
def test_what_there_is_not_is_refused_with_what_there_is(desk: Desk, question: Any) -> None:
    with pytest.raises(DeskError, match="expected|there are"):
        desk.answer(question)


def test_a_letter_that_there_is_not_has_nothing_done_beside_it(stores: PostgresStores, desk: Desk) -> None:
    bury(stores, "auth", died("m"))
    [letter] = desk.answer(of.ListLetters()).letters
    with pytest.raises(DeskError, match="there is no dead letter auth/999999"):
        act(desk, of.DiscardLetters("auth", (letter.letter_id, 999_999), "a test"))
    assert desk.answer(of.ListLetters()).letters == (letter,)


def test_every_query_is_answered_on_empty_tables(desk: Desk) -> None:
    for cls in of.MESSAGES:
        if cls.TYPE.kind == "query" and cls not in (of.WhoAmI, of.ShowLetter, of.ShowStory):
            assert issubclass(cls, Query)
            assert isinstance(desk.answer(cls()), cls.RESULT)


def test_relays_are_listed_with_what_waits_for_each(desk: Desk) -> None:
    act(desk, of.PauseKey("accounting", "ann", "a test", subscriber="dashboard"))
    lines = {(line.context, line.subscriber): line for line in desk.answer(of.ListContexts()).relays}
    assert {line for line, told in lines.items() if told.parked_keys} == {("accounting", "dashboard")}
    assert ("accounting", "commands") in lines


MANY = """
INSERT INTO accounting.dead_letters
    (message_id, name, key, subscriber, reason, attempts, body, correlation_id, causation_id, died_at, state)
SELECT 'm' || n, 'accounting.deposit', 'k' || n % 1000, 'commands', 'handler_raised: ' || n, 1, '{}', 'story', '',
       now() - n * interval '1 second', CASE WHEN n % 10 = 0 THEN 'waiting' ELSE 'discarded' END
FROM generate_series(1, 20000) AS n;
ANALYZE accounting.dead_letters
"""


def test_a_page_of_many_letters_is_read_by_an_index(stores: PostgresStores, desk: Desk, database: str) -> None:
    place = {"after_at": datetime.now(UTC) - timedelta(hours=1), "after_id": 1}
    values: dict[str, Any] = dict.fromkeys(
        ("letter_id", "letter_ids", "cause", "reason", "name", "key", "subscriber", "since", "up_to", "died_until")
    )
    values |= {**place, "state": "waiting", "limit": 50, "has_bodies": False}
    with psycopg.connect(database, autocommit=True, prepare_threshold=None) as connection:
        for statement in MANY.split(";"):
            connection.execute(statement.encode())
        sql = load_for("operator_desk", "accounting")
        for name in ("letters", "oldest_letters"):
            plan = "\n".join(row[0] for row in connection.execute(b"EXPLAIN " + sql[name], values))
            assert "dead_letters_waiting_by_age_idx" in plan, plan
            assert "Sort" not in plan, plan
