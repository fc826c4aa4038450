"""The way in under thousands of hostile messages; `scripts/fuzz` runs the same with as many as are asked for."""

from __future__ import annotations

from tests.fuzz.checks import CODES, Checker, run_many
from tests.fuzz.hostile import Hostile, big, in_binary_mode, messages
from tests.fuzz.mutations import variants


def test_every_message_is_refused_with_a_reason_or_handled_like_a_good_one() -> None:
    checker = Checker()

    def check(message: Hostile) -> None:
        for each in (message, *variants(message, 3)):
            checker.check(each)

    run_many(messages, check, 1_000)
    run_many(in_binary_mode(), check, 200)  # few of all are, and how many is drawn from what is imported, too
    assert checker.fates["accepted"] > 50
    assert checker.binary > 10
    assert set(checker.fates) >= (CODES - {"oversized"}), "the messages are not various enough"


def test_big_messages_are_refused_at_once() -> None:
    checker = Checker()
    run_many(big(), checker.check, 60)
    assert checker.fates["oversized"] > 3
    assert checker.fates["not_json"] > 3
