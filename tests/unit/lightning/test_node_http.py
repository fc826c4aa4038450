"""How a real Lightning node is asked: keys, certificates, and answers that are not as they should be."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.bitcoin.adapters.lnd import LndNode
from domain.bitcoin.adapters.node_check import checked
from domain.bitcoin.adapters.node_http import Answer, KeyFile, NodeHttp, NodeSetupError
from domain.bitcoin.ports import LightningError, NotSentError, PaymentStatus

SECRET = "5ec3e7"


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> KeyFile:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return KeyFile("lightning.lnbits.admin_key_file", str(path))


def test_a_key_is_read_from_a_file_of_ones_own(tmp_path: Path) -> None:
    assert key_file(tmp_path, f"{SECRET}\n".encode()).text() == SECRET


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (SECRET.encode(), 0o640, "can be read by others .mode 0640.: expected 0600"),
        (SECRET.encode(), 0o604, "can be read by others"),
        (b"\n", 0o600, "is empty"),
        (f"{SECRET}\n{SECRET}".encode(), 0o600, "something else than one key"),
        (f"X-Api-Key: {SECRET}".encode(), 0o600, "something else than one key"),
        (b"\xff" + SECRET.encode(), 0o600, "something else than one key"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_refused_in_words_without_the_key(
    tmp_path: Path, content: bytes, mode: int, why: str
) -> None:
    with pytest.raises(NotSentError, match=why) as raised:
        key_file(tmp_path, content, mode).text()
    assert "lightning.lnbits.admin_key_file" in str(raised.value)
    assert SECRET not in f"{raised.value!r} {raised.value.__cause__!r}"


def test_a_key_file_that_is_not_there_is_refused_and_may_come_later(tmp_path: Path) -> None:
    file = KeyFile("lightning.lnd.macaroon_file", str(tmp_path / "key"))
    with pytest.raises(NotSentError, match="No such file"):
        file.read()
    key_file(tmp_path, b"m")
    assert file.read() == b"m"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that has signed itself, as LND's, and its key."""
    paths = tmp_path / "tls.cert", tmp_path / "tls.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=lab"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return paths


def test_only_the_certificate_of_the_settings_is_trusted(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        async with server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            trusting = NodeHttp(url, certificate=str(certificate[0]))
            assert (await trusting.ask("GET", "/", headers={})).body == {}
            await trusting.close()
            for other, why in ((NodeHttp(url), "CERTIFICATE_VERIFY_FAILED"), (NodeHttp(url, certificate="/n"), "/n")):
                with pytest.raises(NotSentError, match=why):
                    await other.ask("GET", "/", headers={})
                await other.close()

    asyncio.run(scene())


@pytest.mark.parametrize("body", [None, [], {}, {"balance": "much"}, {"balance": None}])
def test_an_answer_that_is_not_as_expected_is_an_error(body: Any) -> None:
    with pytest.raises(LightningError, match="GET /x was answered with 200"):
        Answer("GET /x", 200, body).read(int, "balance")


def tracked(payment: Mapping[str, Any]) -> Any:
    """What LND's adapter makes of a line."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        line = json.dumps({"result": payment}).encode() + b"\n"
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + line)
        await writer.drain()
        writer.close()

    async def scene(folder: Path) -> Any:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            http = NodeHttp(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            node = LndNode(http, macaroon=key_file(folder, b"m"), network="bc")
            try:
                return await node.payment_status(PAYMENT_HASH)
            finally:
                await node.close()

    return scene


PREIMAGE = "11" * 32
PAYMENT_HASH = "02d449a31fbb267c8f352e9968a79e3e5fc95c1bbeaa502fd6454ebde5a4bedc"


def test_a_fee_with_a_part_of_a_satoshi_is_rounded_up(tmp_path: Path) -> None:
    line = {"payment_hash": PAYMENT_HASH, "status": "SUCCEEDED", "payment_preimage": PREIMAGE, "fee_msat": "1001"}
    payment = asyncio.run(tracked(line)(tmp_path))
    assert (payment.status, payment.preimage, payment.fee_sat) == (PaymentStatus.PAID, PREIMAGE, 2)


def test_a_payment_without_a_proof_is_not_paid(tmp_path: Path) -> None:
    line = {"payment_hash": PAYMENT_HASH, "status": "SUCCEEDED", "payment_preimage": "22" * 32, "fee_msat": "0"}
    with pytest.raises(LightningError, match="no proof"):
        asyncio.run(tracked(line)(tmp_path))


def test_a_node_is_checked_until_it_can_be_used_and_the_log_says_why_not() -> None:
    class Node:
        asked = 0

        async def check(self) -> str:
            self.asked += 1
            if self.asked < 3:
                raise NodeSetupError("another network") if self.asked == 1 else LightningError("away")
            return "all is well"

    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    with capture_logs() as logs:
        asyncio.run(checked(Node(), sleep))
    assert [each.get("why") or each.get("found") for each in logs] == ["another network", "away", "all is well"]
    assert [each["log_level"] for each in logs] == ["warning", "warning", "info"]
    assert pauses == [2.0, 4.0]
