"""The shop's worker at the card company: whatever is done twice is charged once, and silence is no answer."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spark_actors.kernel.tasks import NotYet
from tests.shop.orders.adapters import LIMIT, CardWorker, SimulatedCardCompany
from tests.shop.orders.messages import NoteCharged, RejectOrder
from tests.shop.orders.tasks import ChargeCard, RefundCard

CHARGE = ChargeCard(order_id="o1", customer_id="ann", pieces=LIMIT)
TOO_MUCH = ChargeCard(order_id="o1", customer_id="ann", pieces=LIMIT + 1)
REFUND = RefundCard(order_id="o1")
CHARGED = [NoteCharged(order_id="o1")]
DECLINED = [RejectOrder(order_id="o1", reason="card_declined")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cards.sqlite3"


@pytest.fixture
def worker(file: Path) -> CardWorker:
    return CardWorker(SimulatedCardCompany(file))


def books(file: Path) -> list[tuple[str, int, str]]:
    with closing(sqlite3.connect(file)) as db:
        return db.execute("SELECT order_id, pieces, state FROM charges").fetchall()


def test_an_order_is_charged_once_by_two_workers_at_once(worker: CardWorker, file: Path) -> None:
    async def at_once() -> list[object]:
        both = (worker, CardWorker(SimulatedCardCompany(file)))
        return await asyncio.gather(*(each.charge(CHARGE) for each in both for _ in range(5)))

    assert asyncio.run(at_once()) == [CHARGED] * 10
    assert books(file) == [("o1", LIMIT, "charged")]


def test_more_than_a_card_is_good_for_is_declined_for_good(worker: CardWorker, file: Path) -> None:
    assert asyncio.run(worker.charge(TOO_MUCH)) == DECLINED
    generous = CardWorker(SimulatedCardCompany(file, limit=LIMIT + 1))
    assert asyncio.run(generous.charge(TOO_MUCH)) == DECLINED


def test_what_was_refunded_is_not_charged_by_a_worker_that_comes_late(worker: CardWorker, file: Path) -> None:
    assert asyncio.run(worker.charge(CHARGE)) == CHARGED
    assert [asyncio.run(worker.refund(REFUND)) for _ in range(2)] == [[], []]
    assert asyncio.run(worker.charge(CHARGE)) == CHARGED
    assert books(file) == [("o1", LIMIT, "refunded")]


def test_silence_is_no_answer_though_the_customer_was_charged(worker: CardWorker, file: Path) -> None:
    company = SimulatedCardCompany(file)
    asyncio.run(company.silence("ann"))
    assert asyncio.run(worker.charge(CHARGE)) == NotYet("the card company does not answer about ann")
    assert books(file) == [("o1", LIMIT, "charged")]
    asyncio.run(company.speak("ann"))
    assert asyncio.run(worker.charge(CHARGE)) == CHARGED


def test_books_that_cannot_be_used_are_no_answer_either(tmp_path: Path) -> None:
    away = CardWorker(SimulatedCardCompany(tmp_path / "no-such-folder" / "cards.sqlite3"))
    for answer in (asyncio.run(away.charge(CHARGE)), asyncio.run(away.refund(REFUND))):
        assert isinstance(answer, NotYet)
        assert answer.why.startswith("the card company's books cannot be used")
