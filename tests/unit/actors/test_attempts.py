"""What an AggregateActor tries next: the table of `attempts.py`, and what becomes of the commands."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from spark_actors.actors.attempts import (
    Attempt,
    Ended,
    Next,
    after_refusal,
    failure_reason,
    isolation,
    retry_reason,
)
from spark_actors.actors.tuning import REFUSAL_PASSES
from spark_actors.actors.turn import LOCKED
from spark_actors.kernel.decisions import DONE
from spark_actors.kernel.errors import (
    ConstraintError,
    DuplicateMessageError,
    KeyParkedError,
    RowLockedError,
    StaleVersionError,
    StorageError,
    StorageUnavailableError,
)
from spark_actors.messaging.envelope import Envelope

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOST = 5
BROKEN = ConstraintError("no_overdraft", "of ann")


def a_command(message_id: str, key: str = "ann") -> Envelope:
    return Envelope(message_id, "accounting.deposit", 1, key, b"{}", "c", "", NOW)


TWO = Attempt([a_command("m1"), a_command("m2", "bob")])
ONE = Attempt([a_command("m1")])


@pytest.mark.parametrize(
    ("said", "of_coming", "of_released"),
    [
        (DuplicateMessageError("m1"), Next.ASK_INBOX, Next.ASK_INBOX),
        (StaleVersionError("ann"), Next.ASK_PARKING, Next.ASK_PARKING),
        (KeyParkedError("ann"), Next.ASK_BOTH, Next.STAY_PARKED),
        (RowLockedError("ann"), Next.LEAVE_OUT, Next.HAND_BACK),
        (StorageUnavailableError("away"), Next.HAND_BACK, Next.HAND_BACK),
        (BROKEN, Next.REFUSE, Next.REFUSE),
        (StorageError("something new"), Next.ISOLATE, Next.ISOLATE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.name,
)
def test_what_the_store_says_decides_what_comes_next(said: StorageError, of_coming: Next, of_released: Next) -> None:
    assert after_refusal(said, TWO, {"m1"}, MOST, is_released=False) is of_coming
    assert after_refusal(said, TWO, {"m1"}, MOST, is_released=True) is of_released


@pytest.mark.parametrize("said", [DuplicateMessageError("m"), StaleVersionError("ann"), KeyParkedError("ann")])
def test_after_the_last_attempt_the_commands_are_handed_back(said: StorageError) -> None:
    last_but_one, last = TWO._replace(number=MOST - 2), TWO._replace(number=MOST - 1)
    assert after_refusal(said, last_but_one, (), MOST, is_released=False) is not Next.OUT_OF_ATTEMPTS
    assert after_refusal(said, last, (), MOST, is_released=False) is Next.OUT_OF_ATTEMPTS


def test_a_released_key_that_was_stopped_and_a_locked_row_need_no_further_attempt() -> None:
    last = TWO._replace(number=MOST - 1)
    assert after_refusal(KeyParkedError("ann"), last, (), MOST, is_released=True) is Next.STAY_PARKED
    assert after_refusal(RowLockedError("ann"), last, (), MOST, is_released=False) is Next.LEAVE_OUT


@pytest.mark.parametrize(("most", "passes"), [(MOST, REFUSAL_PASSES), (2, 1)])
def test_a_turn_is_decided_anew_a_few_times_for_broken_rules_then_isolated(most: int, passes: int) -> None:
    steps = [
        after_refusal(BROKEN, TWO._replace(number=number), {"m1"}, most, is_released=False)
        for number in range(passes + 1)
    ]
    assert steps == [Next.REFUSE] * passes + [Next.ISOLATE]
    assert after_refusal(BROKEN, TWO, (), most, is_released=False) is Next.ISOLATE


def test_many_are_halved_and_one_is_refused_by_the_domain_or_given_up() -> None:
    answered, bug = {"no_overdraft"}, ValueError("bug")
    assert isolation(BROKEN, TWO, answered) is Next.HALVE
    assert isolation(bug, TWO, answered) is Next.HALVE
    assert isolation(BROKEN, ONE, answered) is Next.REFUSE_ALONE
    assert isolation(BROKEN, ONE.alone("no_overdraft"), answered) is Next.GIVE_UP
    assert isolation(BROKEN, ONE, ()) is Next.GIVE_UP
    assert isolation(bug, ONE, answered) is Next.GIVE_UP


@pytest.mark.parametrize("attempt", [ONE, TWO], ids=["one", "many"])
@pytest.mark.parametrize("away", [StorageUnavailableError("away"), RowLockedError("all of them")])
def test_nothing_is_given_up_or_halved_because_the_store_is_away(attempt: Attempt, away: StorageError) -> None:
    assert isolation(away, attempt, ()) is Next.HAND_BACK


def test_metrics_and_dead_letters_name_the_reason() -> None:
    assert retry_reason(RowLockedError("ann")) == "row_locked"
    assert retry_reason(ValueError("bug")) == "raised"
    assert failure_reason(BROKEN) == "store_refused_no_overdraft"
    assert failure_reason(ValueError("bug")) == "turn_raised_ValueError"


def test_the_next_attempt_knows_what_was_found_out_and_halves_begin_anew() -> None:
    known = TWO.again(known={"m1": DONE}).again(parked=frozenset({"bob"}), refused={"m2": "no_overdraft"})
    assert known.number == 2
    assert [command.message_id for command in known.pending] == ["m2"]
    assert known.parked == {"bob"}
    assert known.refused == {"m2": "no_overdraft"}
    assert known.halves() == [Attempt(TWO.commands[:1]), Attempt(TWO.commands[1:])]


def test_halves_of_keys_keep_the_commands_of_each_key_together_and_in_order() -> None:
    commands = [a_command(f"m{number}", key) for number, key in enumerate("abacb")]
    first, second = Attempt(commands).halves_of_keys()
    assert [command.message_id for command in first.commands] == ["m0", "m2"]
    assert [command.message_id for command in second.commands] == ["m1", "m3", "m4"]


def test_a_key_that_is_locked_is_left_out_of_every_attempt_that_follows() -> None:
    ended = Ended()
    assert ended.without_locked(TWO) is TWO
    ended.locked.add("ann")
    assert ended.without_locked(TWO).commands == TWO.commands[1:]
    assert ended.outcomes == {"m1": LOCKED}
