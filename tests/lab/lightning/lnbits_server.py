"""A real LNbits without its pages in a browser: wallets with money, and the node of the lab behind it.

Its package wants other versions than ours, so it has a virtual environment of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.lab.lightning.needed import lnbits_environment
from tests.lab.lightning.network import MACAROON
from tests.lab.lightning.processes import Program, free_port

ADMIN = {"username": "lab_admin", "password": "lab_password", "password_repeat": "lab_password"}
WAIT_SECONDS = 1
"""For so long LNbits waits for its node to pay."""


@dataclass(frozen=True)
class Wallet:
    id: str
    admin_key: str
    invoice_key: str


class LnbitsServer:
    """The hand on LNbits: what it is asked here is asked without an adapter."""

    def __init__(self, url: str, launch: Callable[[], Program]) -> None:
        self.url = url
        self._launch = launch
        self._program: Program | None = None
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._token = ""

    def start(self) -> None:
        """Start it on what it has kept, and wait until it is up."""
        self._program = self._launch()
        self._program.wait_until(self.is_up)

    def kill(self) -> None:
        """Pull the plug."""
        if self._program:
            self._program.kill()

    def close(self) -> None:
        if self._program:
            self._program.stop()
        self._client.close()

    def ask(self, method: str, path: str, *, key: str = "", bearer: str = "", **content: object) -> tuple[int, Any]:
        headers = {"X-Api-Key": key} if key else {"Authorization": f"Bearer {bearer}"} if bearer else {}
        answer = self._client.request(method, path, headers=headers, json=content or None)
        return answer.status_code, answer.json()

    def is_up(self) -> bool:
        """Until it is installed it answers everything with a page."""
        try:
            return self._client.get("/api/v1/health").status_code < 400
        except httpx.TransportError:
            return False

    def install(self) -> None:
        _, answer = self.ask("PUT", "/api/v1/auth/first_install", **ADMIN)
        self._token = answer["access_token"]

    def wallet(self, name: str, sat: int) -> Wallet:
        _, made = self.ask("POST", "/api/v1/account", name=name)
        # A wallet counts in dollars by default, and each call waits for prices that do not come.
        self.ask("PATCH", "/api/v1/wallet", key=made["adminkey"], currency="")
        wallet = Wallet(made["id"], made["adminkey"], made["inkey"])
        if sat:
            self.credit(wallet, sat)
        return wallet

    def credit(self, wallet: Wallet, sat: int) -> None:
        self.ask("PUT", "/users/api/v1/balance", bearer=self._token, id=wallet.id, amount=sat)

    def invoice(self, wallet: Wallet, sat: int, *, seconds: int = 3_600) -> Any:
        """The row of a new invoice."""
        return self.ask(
            "POST", "/api/v1/payments", key=wallet.invoice_key, out=False, amount=sat, memo="m", expiry=seconds
        )[1]

    def pay(self, wallet: Wallet, payment_request: str) -> tuple[int, Any]:
        return self.ask("POST", "/api/v1/payments", key=wallet.admin_key, out=True, bolt11=payment_request)

    def rows(self, wallet: Wallet, payment_hash: str) -> list[Any]:
        path = f"/api/v1/payments/paginated?payment_hash={payment_hash}"
        found: list[Any] = self.ask("GET", path, key=wallet.admin_key)[1]["data"]
        return found

    def look_up(self, wallet: Wallet, payment_hash: str) -> tuple[int, Any]:
        return self.ask("GET", f"/api/v1/payments/{payment_hash}", key=wallet.admin_key)


FAKE_WALLET = {"LNBITS_BACKEND_WALLET_CLASS": "FakeWallet"}
"""The settings by which its wallets pay each other, and nobody else. It writes invoices of real bitcoin's network."""


def on_node(url: str) -> Mapping[str, str]:
    """The settings by which it pays with a node of the lab."""
    return {
        "LNBITS_BACKEND_WALLET_CLASS": "LndRestWallet",
        "LND_REST_ENDPOINT": url,
        "LND_REST_MACAROON": MACAROON.hex(),
        "LND_REST_CERT": "",
    }


def started(stack: ExitStack, folder: Path, backend: Mapping[str, str]) -> LnbitsServer:
    """Start it, anew in this folder; *backend*: settings that say what it pays with. *stack* ends it.

    Raises CannotBeHadError.
    """
    shutil.rmtree(folder, ignore_errors=True)
    packages = lnbits_environment()
    port = free_port()
    (folder / "extensions").mkdir(parents=True)
    settings = {
        "LNBITS_DATA_FOLDER": folder,
        "LNBITS_EXTENSIONS_PATH": folder,
        "LNBITS_EXTENSIONS_DEACTIVATE_ALL": "true",
        "LNBITS_ADMIN_UI": "true",
        "LNBITS_RATE_LIMIT_NO": 1_000_000,
        "LNBITS_FUNDING_SOURCE_PAY_INVOICE_WAIT_SECONDS": WAIT_SECONDS,
        "AUTH_SECRET_KEY": "lab",
        "HOST": "127.0.0.1",
        "PORT": port,
        "TZ": "Asia/Tokyo",  # somewhere else than where most machines say they are
        **backend,
    }
    [package] = packages.glob("lib/python*/site-packages")
    command = [str(packages / "bin" / "python"), "-m", "uvicorn", "lnbits.__main__:app", "--port", str(port)]
    environ = {**os.environ, **{name: str(value) for name, value in settings.items()}}
    server = LnbitsServer(
        f"http://127.0.0.1:{port}", lambda: Program(command, folder / "lnbits.log", env=environ, cwd=package)
    )
    stack.callback(server.close)
    server.start()
    server.install()
    return server
