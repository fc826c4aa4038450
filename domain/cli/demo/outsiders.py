"""The rest of the Lightning network, as the demo needs it: somebody who pays invoices, and makes some to be paid."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self

from domain.bitcoin import bolt11
from domain.bitcoin.adapters.node_http import NodeHttp
from domain.bitcoin.adapters.requests import Behaviour, simulated_invoice
from domain.bitcoin.ports import LightningError
from domain.cli.demo.story import Payout
from spark_actors.kernel.errors import DetailedError

AN_HOUR = timedelta(hours=1)
A_SECRET_KEY = 0x5A7051
"""Of a node that nobody has ever heard of: no route leads to what it asks for."""
CALL_SECONDS = 40.0
PAYMENTS = "/api/v1/payments"


class OutsiderError(DetailedError):
    """The wallet outside cannot be used."""


class Outsider(Protocol):
    """Somebody outside. Raises OutsiderError if they cannot act."""

    @property
    def no_route(self) -> str:
        """What the daemon's node says of a payment that no route leads to."""

    def pay(self, payment_request: str) -> Awaitable[None]:
        """Pay an invoice of the daemon's node."""

    def invoice(self, payout: Payout, now: datetime) -> Awaitable[str]:
        """The payment request of an invoice that behaves as the story wants it when it is paid."""


class SimulatedOutsider:
    """On the simulated network, where invoices are paid by themselves after a while."""

    no_route = "no_route"

    async def pay(self, payment_request: str) -> None:
        """Nothing is left to do."""

    async def invoice(self, payout: Payout, now: datetime) -> str:
        expires_at = now + (-AN_HOUR if payout.is_expired else AN_HOUR)
        invoice = simulated_invoice(payout.amount_sat, expires_at, nonce=payout.invoice_id, behaviour=payout.behaviour)
        return invoice.payment_request


class LnbitsOutsider:
    """A wallet of LNbits, with money in it, that is not the daemon's own. Used within `async with`."""

    no_route = "payment_failed"

    def __init__(self, url: str, admin_key: str, network: str) -> None:
        """*network*: that of its invoices, as `lightning.network` names it."""
        self._network, self._admin_key = network, admin_key
        self._http = NodeHttp(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def pay(self, payment_request: str) -> None:
        await self._post({"out": True, "bolt11": payment_request})

    async def invoice(self, payout: Payout, now: datetime) -> str:
        if payout.is_expired or payout.behaviour is Behaviour.FAIL:
            created_at = now - 2 * AN_HOUR if payout.is_expired else now
            return bolt11.written(
                network=self._network,
                amount_msat=payout.amount_sat * 1000,
                payment_hash=secrets.token_hex(32),
                payment_secret=secrets.token_hex(32),
                description=payout.what,
                created_at=created_at,
                expires_in=AN_HOUR,
                secret_key=A_SECRET_KEY,
            )
        row = await self._post({"out": False, "amount": payout.amount_sat, "memo": payout.what, "expiry": 3600})
        return str(row["bolt11"])

    async def _post(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        key = {"X-Api-Key": self._admin_key}
        try:
            answer = await self._http.ask("POST", PAYMENTS, headers=key, seconds=CALL_SECONDS, content=body)
            row: Mapping[str, Any] = answer.read(dict)
        except LightningError as error:
            raise OutsiderError(f"the outsider's wallet does not do its part: {error}") from error
        return row


def read_wallet(file: Path) -> tuple[str, str]:
    """URL and admin key of a wallet, from a JSON file `{"url": …, "admin_key": …}`. Raises OutsiderError."""
    try:
        told = json.loads(file.read_text("utf-8"))
        return str(told["url"]), str(told["admin_key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutsiderError(f"{file} holds no wallet: expected JSON with url and admin_key ({error!r})") from error
