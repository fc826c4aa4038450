"""The shop's worker at the card company: whatever is done twice is charged once, and silence is no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from spark_actors.kernel.tasks import NotYet
from spark_actors.persistence.connections import Pool, make_pool
from tests.fixtures.stores import Async
from tests.shop.orders.adapters import LIMIT, CardWorker, SimulatedCardCompany
from tests.shop.orders.messages import NoteCharged, RejectOrder
from tests.shop.orders.tasks import ChargeCard, RefundCard

CHARGE = ChargeCard(order_id="o1", customer_id="ann", pieces=LIMIT)
TOO_MUCH = ChargeCard(order_id="o1", customer_id="ann", pieces=LIMIT + 1)
REFUND = RefundCard(order_id="o1")
CHARGED = [NoteCharged(order_id="o1")]
DECLINED = [RejectOrder(order_id="o1", reason="card_declined")]


@pytest.fixture
def run(runner: asyncio.Runner) -> Async:
    """Runs a coroutine to its end."""
    return runner.run


@pytest.fixture
def pool(emptied_shop_database: str, run: Async) -> Iterator[Pool]:
    pool = make_pool(emptied_shop_database)
    run(pool.open())
    yield pool
    run(pool.close())


@pytest.fixture
def company(pool: Pool) -> SimulatedCardCompany:
    return SimulatedCardCompany(pool)


@pytest.fixture
def worker(company: SimulatedCardCompany) -> CardWorker:
    return CardWorker(company)


def books(dsn: str) -> list[tuple[str, int, str]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT order_id, pieces, state FROM orders.card_charges").fetchall()


def test_an_order_is_charged_once_by_two_workers_at_once(emptied_shop_database: str, run: Async) -> None:
    async def at_once() -> list[object]:
        async with make_pool(emptied_shop_database) as one, make_pool(emptied_shop_database) as other:
            both = [CardWorker(SimulatedCardCompany(pool)) for pool in (one, other)]
            return await asyncio.gather(*(each.charge(CHARGE) for each in both for _ in range(5)))

    assert run(at_once()) == [CHARGED] * 10
    assert books(emptied_shop_database) == [("o1", LIMIT, "charged")]


def test_more_than_a_card_is_good_for_is_declined_for_good(worker: CardWorker, pool: Pool, run: Async) -> None:
    assert run(worker.charge(TOO_MUCH)) == DECLINED
    generous = CardWorker(SimulatedCardCompany(pool, limit=LIMIT + 1))
    assert run(generous.charge(TOO_MUCH)) == DECLINED


def test_what_was_refunded_is_not_charged_by_a_worker_that_comes_late(
    worker: CardWorker, emptied_shop_database: str, run: Async
) -> None:
    assert run(worker.charge(CHARGE)) == CHARGED
    assert [run(worker.refund(REFUND)) for _ in range(2)] == [[], []]
    assert run(worker.charge(CHARGE)) == CHARGED
    assert books(emptied_shop_database) == [("o1", LIMIT, "refunded")]


def test_silence_is_no_answer_though_the_customer_was_charged(
    worker: CardWorker, company: SimulatedCardCompany, emptied_shop_database: str, run: Async
) -> None:
    run(company.silence("ann"))
    assert run(worker.charge(CHARGE)) == NotYet("the card company does not answer about ann")
    assert books(emptied_shop_database) == [("o1", LIMIT, "charged")]
    run(company.speak("ann"))
    assert run(worker.charge(CHARGE)) == CHARGED


def test_books_that_cannot_be_used_are_no_answer_either(run: Async) -> None:
    closed = make_pool("host=/nowhere")
    away = CardWorker(SimulatedCardCompany(closed))
    for answer in (run(away.charge(CHARGE)), run(away.refund(REFUND))):
        assert isinstance(answer, NotYet)
        assert answer.why.startswith("the card company's books cannot be used")
