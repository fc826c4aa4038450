"""Bugs of Satoshi Spark put back on purpose, and what of the runtime's is seen in its money alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from domain.accounting.account import Movement
from domain.bitcoin.adapters.worker import LightningWorker
from domain.bitcoin.sending import Fail, LookAgain
from domain.bitcoin.tasks import PayInvoice
from domain.crowdfunding.messages import DonateToCampaign, DonationRejected
from domain.dashboard.rows import AccountSeen
from spark_actors.actors import turn
from spark_actors.actors.context import Steps
from spark_actors.kernel.decisions import Verdict, rejected
from spark_actors.messaging.envelope import decode_data
from spark_actors.persistence.memory import MemoryStore
from spark_actors.persistence.tables import AggregateTable
from tests.fixtures.lightning import MemoryPermits
from tests.simulation.bugs import RUNTIME_BUGS, Bug, last_word, under_new_ids


def _is_no_credit_of_a_saga(movement: Movement) -> bool:
    """Producers' own deposits stay guarded, so that nothing but a repeated step is seen."""
    return not movement.idempotency_key.startswith("invoice/i")


_init_store = MemoryStore.__init__


def without_keys_of_credits(self: MemoryStore, table: AggregateTable[Any] | None = None) -> None:
    _init_store(self, table)
    self.rules = [
        replace(rule, concerns=_is_no_credit_of_a_saga) if rule.name == "movement_key_unique" else rule
        for rule in self.rules
        if rule.name != "invoice_credited_once"
    ]


# --- the Lightning node ---

_send = LightningWorker._send


async def _give_up_on_silence(self: LightningWorker, task: PayInvoice) -> Any:
    step = await _send(self, task)
    return Fail("no_answer") if isinstance(step, LookAgain) else step


async def _for_everybody(self: MemoryPermits, payment_hash: str, invoice_id: str) -> bool:
    return True


async def _to_nobody(self: MemoryPermits, payment_hash: str) -> str:
    return ""


# --- what only lets people see ---


_decide = turn._decide


def _told_to_all(rules: Any, envelope: Any, state: object, now: Any, refused_by: str) -> Any:
    decision = _decide(rules, envelope, state, now, refused_by)
    command = decode_data(rules.registry, envelope)
    if decision.outcome.verdict is Verdict.DONE or not isinstance(command, DonateToCampaign):
        return decision
    return rejected(decision.outcome.reason, DonationRejected(**vars(command), reason=decision.outcome.reason))


BUGS: Mapping[str, Bug] = {
    **RUNTIME_BUGS,
    "refund-on-unknown-payment": Bug(
        "A node that does not answer counts as a payment that failed.",
        ((LightningWorker, "_send", _give_up_on_silence),),
    ),
    "no-permit": Bug(
        "Whoever finds that a payment was not sent sends it, also while another does, or when he has failed it since.",
        ((MemoryPermits, "take", _for_everybody), (MemoryPermits, "holder", _to_nobody)),
    ),
    "double-credit-on-redelivery": Bug(
        "New ids on redelivery, with nothing in the way of a second credit.",
        ((Steps, "_addressed", under_new_ids), (MemoryStore, "__init__", without_keys_of_credits)),
        also="the ledger's unique key of deposits over Lightning, which refuses the second credit",
    ),
    "public-refusals": Bug(
        "A donation that is refused at once is announced, and so everybody sees it, under whosever id.",
        ((turn, "_decide", _told_to_all),),
    ),
    "view-goes-back": Bug("A balance in view is whatever was told last.", ((AccountSeen, "merged", last_word),)),
}
