"""The bitcoin context, ready to be run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from domain.bitcoin import bolt11
from domain.bitcoin.adapters.tables import INVOICES
from domain.bitcoin.context import CONTEXT, context
from domain.bitcoin.policy import Policy
from domain.bitcoin.ports import LightningNode
from spark_actors.application import Edge, InstalledContext, Reactions
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.tasks import Workers
from spark_actors.messaging.ports import Clock, QueryHandlers

if TYPE_CHECKING:
    from domain.bitcoin.adapters.lnbits import LnbitsNode
    from domain.bitcoin.adapters.lnd import LndNode
    from domain.settings import Lightning


async def lightning_node(edge: Edge, clock: Clock) -> LightningNode:
    """The node that the settings name, with a clock of its own."""
    if edge.settings.lightning.node == "simulated":
        return await _simulated_node(edge, clock)
    node = real_node(edge.settings.lightning, clock)
    edge.at_end(node.close)
    return node


def real_node(wanted: Lightning, clock: Clock) -> LnbitsNode | LndNode:
    """The node of the settings, not asked for anything yet."""
    from domain.bitcoin.adapters.lnbits import LnbitsNode
    from domain.bitcoin.adapters.lnd import LndNode
    from domain.bitcoin.adapters.node_http import KeyFile, NodeHttp

    if wanted.node == "lnd":
        return LndNode(
            NodeHttp(wanted.lnd.url, certificate=wanted.lnd.tls_cert_file),
            macaroon=KeyFile("lightning.lnd.macaroon_file", wanted.lnd.macaroon_file),
            network=wanted.network,
        )
    return LnbitsNode(
        NodeHttp(wanted.lnbits.url),
        admin_key=KeyFile("lightning.lnbits.admin_key_file", wanted.lnbits.admin_key_file),
        invoice_key=KeyFile("lightning.lnbits.invoice_key_file", wanted.lnbits.invoice_key_file),
        network=wanted.network,
        clock=clock,
    )


async def _simulated_node(edge: Edge, clock: Clock) -> LightningNode:
    from domain.bitcoin.adapters.node_books import PostgresNodeBooks
    from domain.bitcoin.adapters.simulated import SimulatedLightningNode, SimulatedSettings

    wanted = edge.settings.lightning.simulated
    return SimulatedLightningNode(
        PostgresNodeBooks(await edge.pool()),
        SimulatedSettings(
            payment_delay=timedelta(seconds=wanted.payment_delay_seconds),
            latency=timedelta(seconds=wanted.latency_seconds),
            failure_rate=wanted.failure_rate,
            unknown_rate=wanted.unknown_rate,
            largest_invoice_sat=wanted.largest_invoice_sat,
            fee_sat=wanted.fee_sat,
        ),
        clock=clock,
        random=SystemRandom(),
    )


async def workers(edge: Edge, node: LightningNode | None = None) -> Workers:
    """Who asks the Lightning node; *node* stands in for that of the settings. A real one is checked meanwhile."""
    from domain.bitcoin.adapters import requests
    from domain.bitcoin.adapters.permits import PostgresPermits
    from domain.bitcoin.adapters.statement import PostgresStatement, StatementWatch
    from domain.bitcoin.adapters.worker import LightningWorker, Patience

    wanted = edge.settings.lightning
    asked = node or await lightning_node(edge, edge.clock)
    check_meanwhile(edge, asked)
    limit = timedelta(seconds=wanted.look_up_timeout_seconds)
    worker = LightningWorker(
        asked,
        PostgresPermits(await edge.pool()),
        StatementWatch(asked, PostgresStatement(await edge.pool()), call_timeout=limit),
        requests.read if wanted.node == "simulated" else bolt11.read,
        patience=Patience(
            invoice_expiry=timedelta(seconds=wanted.invoice_expiry_seconds),
            call_timeout=timedelta(seconds=wanted.call_timeout_seconds),
            look_up_timeout=limit,
            watch_expired=timedelta(days=wanted.watch_expired_days),
        ),
        clock=edge.clock,
        telemetry=edge.telemetry,
    )
    return Workers(
        worker.by_task,
        interval=timedelta(seconds=wanted.watch_interval_seconds),
        at_once=dict.fromkeys(worker.by_task, wanted.max_concurrent_calls),
    )


def check_meanwhile(edge: Edge, node: LightningNode) -> None:
    """Have the log tell whether a real node can be used, until it can."""
    from domain.bitcoin.adapters.node_check import Checkable, checked

    if isinstance(node, Checkable):
        edge.at_end(asyncio.create_task(checked(node)).cancel)


async def reactions(edge: Edge, node: LightningNode | None = None) -> Reactions:
    """What looks for money that came in while nobody did, at what there is, and at what the node itself says of both;
    *node* stands in for that of the settings."""
    from domain.bitcoin.adapters.balance import BalanceWatch, PostgresWithdrawals
    from domain.bitcoin.adapters.receipts import CatchUp, PostgresReceiptsRead
    from domain.bitcoin.adapters.statement import PostgresStatement, StatementWatch
    from spark_actors.actors.loop import Loop

    asked = node or await lightning_node(edge, edge.clock)
    limit = timedelta(seconds=edge.settings.lightning.look_up_timeout_seconds)
    read = PostgresReceiptsRead(await edge.pool())
    catch_up = CatchUp(asked, read, edge.sender, call_timeout=limit, clock=edge.clock)
    balance = BalanceWatch(asked, PostgresWithdrawals(await edge.pool()), edge.telemetry, call_timeout=limit)
    statement = StatementWatch(asked, PostgresStatement(await edge.pool()), call_timeout=limit)
    return Reactions(
        loops=[
            Loop("receipts of the node", catch_up.step),
            Loop("balance of the node", balance.step),
            Loop("payments on the node's statement", statement.payments_step),
            Loop("receipts on the node's statement", statement.receipts_step),
        ],
        warnings=balance.warnings,
    )


def _take_over(data_dir: Path, dsn: str) -> None:
    from domain.bitcoin.adapters.node_books import take_over_former_books

    take_over_former_books(data_dir, dsn)


def policy(settings: Any) -> Policy:
    """What the settings let be withdrawn."""
    wanted = settings.lightning
    return Policy(
        network=wanted.network,
        smallest_sat=wanted.withdrawals.smallest_sat,
        largest_sat=wanted.withdrawals.largest_sat,
        longest_life=timedelta(days=wanted.withdrawals.longest_days),
        least_reserve_sat=wanted.fees.least_sat,
        reserve_percent=wanted.fees.percent,
    )


async def _answers(edge: Edge) -> QueryHandlers:
    """What the settings and a payment request itself say: no table is asked."""
    from domain.bitcoin.messages import NodeTerms, PaymentTerms, ReadPaymentRequest, ViewNode
    from domain.bitcoin.terms import terms_of

    decided_by, node = policy(edge.settings), edge.settings.lightning.node

    async def read_request(query: ReadPaymentRequest) -> PaymentTerms:
        return terms_of(query.payment_request, edge.clock(), decided_by)

    async def view_node(query: ViewNode) -> NodeTerms:
        return NodeTerms(
            network=decided_by.network,
            is_simulated=node == "simulated",
            smallest_withdrawal_sat=decided_by.smallest_sat,
            largest_withdrawal_sat=decided_by.largest_sat,
        )

    return {ReadPaymentRequest: read_request, ViewNode: view_node}


def _configured(settings: Any) -> BoundedContext:
    return context(policy(settings))


INSTALLED = InstalledContext(
    context=CONTEXT,
    configured=_configured,
    table=INVOICES,
    migrations=__package__,
    workers=workers,
    reactions=reactions,
    answers=_answers,
    take_over=_take_over,
)
