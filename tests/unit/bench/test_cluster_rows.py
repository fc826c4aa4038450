"""What the load on a cluster has seen becomes figures, and these rows: from the moment of the event on, not earlier."""

from __future__ import annotations

from random import Random

import pytest

from tests.lab.bench.cluster import OneRun, rows, used
from tests.lab.chaos.orders import Cast, Orders
from tests.lab.load.steady import Sent, in_turns, longest_silence, refused, served_again, waits

CAST = Cast.of("x", accounts=4, campaigns=2)
FAULT = 10.0


def some(*moments: tuple[float, float | None]) -> list[Sent]:
    """Commands to one account after the other, by when each was due and when it was answered."""
    orders = Orders(CAST, Random(1), "x")
    accounts = CAST.accounts
    return [Sent(orders.deposit(accounts[number % len(accounts)], 1), *each) for number, each in enumerate(moments)]


def test_a_key_is_served_again_with_the_first_answer_to_what_was_due_after_the_fault() -> None:
    sent = some((9, 13), (11, 12), (12, None), (12, 12.1), (12, 14), (13, 11.5))
    assert served_again(sent, FAULT) == {CAST.accounts[0]: 14, CAST.accounts[1]: 11.5, CAST.accounts[3]: 12.1}


def test_the_longest_silence_begins_with_the_fault_or_with_an_answer() -> None:
    assert longest_silence(some((9, 9), (9, 14), (9, 15)), FAULT, 16) == 4
    assert longest_silence(some((9, 11), (9, 14), (9, 15)), FAULT, 16) == 3
    assert longest_silence(some((9, 11)), FAULT, 16) == 5


def test_a_command_waits_from_the_moment_at_which_it_was_due() -> None:
    assert waits(some((9, 20), (10, 11), (12, 15), (13, None), (16, 17)), FAULT, 16) == [1, 3]


def test_whatever_is_answered_other_than_that_it_is_done_is_refused() -> None:
    sent = some((9, 9), (11, 11), (12, 12))
    for each, answers in zip(sent, [("refused: early",), ("done",), ("done", "refused: late")], strict=True):
        each.order.answers = answers
    assert refused(sent, FAULT, 16) == [f"{sent[2].order.message_id}: refused: late"]


def test_all_instances_have_their_turn_and_one_command_in_five_is_a_donation() -> None:
    making = in_turns(Orders(CAST, Random(1), "x"), CAST)
    made = [next(making) for _ in range(10)]
    assert {order.command.key for order in made} == {*CAST.accounts, *CAST.campaigns}
    assert sum(order.donation is not None for order in made) == 2


def a_run(seconds: float, *objections: str) -> OneRun:
    run = OneRun(commands=100, is_over=True)
    run.costs[1] = {"NATS": 10.0 * seconds, "Ray": 5.0}, {"p99_ms": seconds}
    run.events["node killed"] += [{"served_seconds": seconds}, {"served_seconds": seconds + 1}]
    run.wrong["lost"] += objections
    return run


def test_a_row_has_the_medians_of_all_runs_and_what_was_wrong_in_any() -> None:
    cost, killed, books = rows([a_run(1), a_run(2), a_run(9, "a coin")])
    assert (cost.workload, cost.cpu_us_per_command, cost.figures) == ("cluster of 1", 25.0, {"p99_ms": 2})
    assert killed.figures == {"served_seconds": pytest.approx(2.5)}
    assert killed.note == "served_seconds 1.0, 2.0, 2.0, 3.0, 9.0, 10.0"
    assert (books.figures["commands"], books.figures["lost"], books.wrong) == (300, 1, ["lost: a coin"])


def test_a_run_that_was_not_played_to_its_end_is_not_sound() -> None:
    assert [run.is_sound for run in (a_run(1), a_run(1, "a coin"), OneRun())] == [True, False, False]


def test_what_has_ended_meanwhile_takes_nothing_from_what_the_others_have_used() -> None:
    before = {(1, "NATS"): 5.0, (2, "Ingress"): 100.0}
    assert used(before, {(1, "NATS"): 6.0, (3, "Ingress"): 2.0}) == {"NATS": 1.0, "Ingress": 2.0}
