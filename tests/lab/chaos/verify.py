"""Holds what the daemon did against what it was asked for: nothing lost, nothing doubled, and all views agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from domain.bitcoin.adapters.simulated import SimulatedBooks
from domain.bitcoin.ports import PaymentStatus
from tests.lab.chaos.orders import Order
from tests.lab.chaos.queries import ChaosQueries


@dataclass(frozen=True)
class Objection:
    """Something that is not as it must be."""

    kind: str
    """lost, doubled, late or wrong"""
    detail: str
    fault: int | None = None
    """The number of the last fault before the order was sent, where there is one."""


def objections(orders: Iterable[Order], queries: ChaosQueries, node: SimulatedBooks) -> list[Objection]:
    """All that speaks against the daemon, now that everything should have come to an end."""
    orders = [_decided(order, node) for order in orders]
    known = [order for order in orders if order.is_stored]
    unknown = [order for order in orders if not order.is_stored]
    return [
        *_late(orders),
        *_ledger(known, unknown, queries.movements()),
        *_inbox(known, queries.handled()),
        *_donations(known, unknown, queries.registered()),
        *_payments(known, node),
        *_answers(known),
        *_totals(known, unknown, queries),
        *(Objection("lost", f"dead letter: {letter}") for letter in queries.letters()),
        *(Objection("wrong", f"has not come to an end: {what}") for what in queries.waiting()[:50]),
    ]


def _decided(order: Order, node: SimulatedBooks) -> Order:
    """With the refund of a withdrawal that the node has not paid."""
    if order.payment is None or not order.movements or _status(order, node) is PaymentStatus.PAID:
        return order
    return replace(order, movements=(*order.movements, order.payment.refund))


def _status(order: Order, node: SimulatedBooks) -> PaymentStatus:
    told = (it.status for it in node.payments if order.payment and it.payment_hash == order.payment.payment_hash)
    return next(told, PaymentStatus.NOT_FOUND)


def _late(orders: Iterable[Order]) -> Iterator[Objection]:
    for order in orders:
        if order.is_late or not order.is_stored:
            yield Objection("late", f"{order.message_id} was not confirmed or answered in time", order.fault)


def _ledger(known: list[Order], unknown: list[Order], found: Mapping[str, tuple[str, str, int]]) -> Iterator[Objection]:
    expected = {movement.key: (movement, order) for order in known for movement in order.movements}
    possible = {movement.key for order in unknown for movement in order.movements}
    for key, (movement, order) in expected.items():
        if key not in found:
            yield Objection("lost", f"{key} of {movement.amount_sat} sat is not in the ledger", order.fault)
        elif found[key] != movement[1:]:
            yield Objection("wrong", f"{key} is {found[key]} instead of {movement[1:]}", order.fault)
    for key in found.keys() - expected.keys() - possible:
        yield Objection("doubled", f"{key} is in the ledger and nobody asked for it: {found[key]}")


def _inbox(known: list[Order], handled: Mapping[str, int]) -> Iterator[Objection]:
    for order in known:
        times = handled.get(order.message_id, 0)
        if times != 1:
            yield Objection(
                "lost" if times == 0 else "doubled", f"{order.message_id} handled {times} times", order.fault
            )
    for message_id, times in handled.items():
        if times > 1:
            yield Objection("doubled", f"{message_id} handled {times} times")


def _donations(known: list[Order], unknown: list[Order], found: Mapping[str, tuple[str, int]]) -> Iterator[Objection]:
    expected = {order.message_id: order for order in known if order.donation}
    for donation_id, order in expected.items():
        if found.get(donation_id) != order.donation:
            yield Objection(
                "lost", f"donation {donation_id} is {found.get(donation_id)} instead of {order.donation}", order.fault
            )
    for donation_id in found.keys() - expected.keys() - {order.message_id for order in unknown}:
        yield Objection("doubled", f"donation {donation_id} is registered and nobody gave it")


def _payments(known: list[Order], node: SimulatedBooks) -> Iterator[Objection]:
    """What went out at the node: each withdrawal paid and not refunded, or refunded (see `_ledger`) and not paid."""
    for order in known:
        if order.payment is not None:
            status = _status(order, node)
            ends = PaymentStatus.PAID if order.payment.is_paid else PaymentStatus.FAILED
            if status not in (ends, PaymentStatus.NOT_FOUND):
                kind = "doubled" if status is PaymentStatus.PAID else "lost"
                yield Objection(kind, f"withdrawal {order.message_id}: {status} at the node", order.fault)


def _answers(known: list[Order]) -> Iterator[Objection]:
    for order in known:
        if order.answers not in ((), ("done",)):
            yield Objection("wrong", f"{order.message_id} was answered {order.answers}", order.fault)


def _totals(known: list[Order], unknown: list[Order], queries: ChaosQueries) -> Iterator[Objection]:
    """Balances and campaigns, of the write side and as the views have them, from the orders alone."""
    if unknown:
        return  # whatever became of these is right, so the totals are not known
    balances = Counter({order.opens: 0 for order in known if order.opens})
    for movement in (movement for order in known for movement in order.movements):
        balances[movement.credit] += movement.amount_sat
        balances[movement.debit] -= movement.amount_sat
    gifts: dict[str, list[int]] = {}
    for campaign, amount_sat in (order.donation for order in known if order.donation):
        gifts.setdefault(campaign, []).append(amount_sat)
    raised = {campaign: (sum(amounts), len(amounts)) for campaign, amounts in gifts.items()}
    for seen, where in ((False, "the books"), (True, "the views")):
        yield from _compare(f"balance in {where}", balances, queries.balances(seen=seen))
        yield from _compare(f"campaign in {where}", raised, queries.campaigns(seen=seen))


def _compare(what: str, expected: Mapping[str, object], found: Mapping[str, object]) -> Iterator[Objection]:
    for key, value in expected.items():
        if not key.startswith("@") and found.get(key) != value:
            yield Objection("wrong", f"{what}: {key} is {found.get(key)} instead of {value}")
