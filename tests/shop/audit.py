"""Whether stock and orders agree: what each context says of the other's business, held against that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from spark_actors.persistence.audit import Check, Finding, Snapshot

ORDER = ("inventory", "orders")
"""Orders are looked at last: an order is there before anything is set aside for it."""

_OVERSOLD = b"""
    SELECT key, 'of ' || (state ->> 'stock') || ' there are set aside ' || set_aside
    FROM inventory.documents, LATERAL (
        SELECT coalesce(sum(value::bigint), 0) AS set_aside FROM jsonb_each_text(state -> 'reserved')
    ) AS summed
    WHERE set_aside > (state ->> 'stock')::bigint
    LIMIT %(limit)s
"""
_ITEMS = b"""
    SELECT key, state -> 'reserved' FROM inventory.documents WHERE key > %(after)s ORDER BY key LIMIT %(limit)s
"""
# What is under way has the time of a saga to get there.
_ORDERS = b"""
    SELECT key, state ->> 'state', state -> 'lines', (state ->> 'since')::timestamptz < now() - %(stuck_after)s
    FROM orders.documents WHERE key > %(after)s ORDER BY key LIMIT %(limit)s
"""
_STATES = b"""
    SELECT key, state ->> 'state', (state ->> 'since')::timestamptz < now() - %(stuck_after)s
    FROM orders.documents WHERE key = ANY(%(keys)s)
"""
_RESERVED = b"SELECT key, state -> 'reserved' FROM inventory.documents WHERE key = ANY(%(keys)s)"


def checks(snapshots: Mapping[str, Snapshot]) -> Sequence[Check]:
    """The checks of both contexts together."""
    inventory, orders = snapshots["inventory"], snapshots["orders"]
    return [
        inventory.check("nothing is sold that is not there", _OVERSOLD),
        inventory.compare("what is set aside is an order's that is not over", _forgotten(inventory, orders)),
        orders.compare("every confirmed order has what it asks for", _lacking(inventory, orders)),
    ]


def _forgotten(inventory: Snapshot, orders: Snapshot) -> Iterator[Finding]:
    for page in inventory.pages(_ITEMS):
        keys = sorted({order_id for _, reserved in page for order_id in reserved})
        known = {key: (state, had_time) for key, state, had_time in orders.rows(_STATES, keys=keys)}
        for item_id, reserved in page:
            for order_id, quantity in sorted(reserved.items()):
                state, had_time = known.get(order_id, ("unknown", True))
                if state not in ("placed", "reserved", "confirmed") and had_time:
                    yield Finding(item_id, f"{quantity} are set aside for {order_id}, which is {state}")


def _lacking(inventory: Snapshot, orders: Snapshot) -> Iterator[Finding]:
    for page in orders.pages(_ORDERS):
        confirmed = [(key, lines) for key, state, lines, had_time in page if state == "confirmed" and had_time]
        items = sorted({line["item_id"] for _, lines in confirmed for line in lines})
        reserved: dict[str, dict[str, int]] = dict(inventory.rows(_RESERVED, keys=items))
        for order_id, lines in confirmed:
            for line in lines:
                found = reserved.get(line["item_id"], {}).get(order_id, 0)
                if found != line["quantity"]:
                    yield Finding(order_id, f"{found} of {line['item_id']} are set aside, not {line['quantity']}")
