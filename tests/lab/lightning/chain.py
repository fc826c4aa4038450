"""A regtest chain behind Electrum's protocol, for Electrum's Lightning nodes: neither scripts nor amounts are checked.

Runs on Debian's Python, beside Electrum: `python3 chain.py PORT`. Two calls are its own: `lab.mine [blocks]`, and
`lab.fund [address, sat]`, which pays from an output that nobody has ever seen.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from electrum import bitcoin, constants
from electrum.transaction import Transaction

EASIEST = 0x207FFFFF
LATER = 1 << 30
"""Where unconfirmed transactions come in a history."""
NOTHING_TO_SPEND = b"\x51"
SIMPLE_ANSWERS: Mapping[str, Any] = {
    "server.version": ["lab", "1.4"],
    "server.ping": None,
    "server.banner": "",
    "server.donation_address": "",
    "server.peers.subscribe": [],
    "mempool.get_fee_histogram": [],
    "blockchain.relayfee": 0.00001,
    "blockchain.estimatefee": 0.00002,
    "blockchain.scripthash.listunspent": [],
    "blockchain.scripthash.get_balance": {"confirmed": 0, "unconfirmed": 0},
}


def double_hash(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def merkle(leaves: Sequence[bytes], position: int) -> tuple[list[bytes], bytes]:
    """The branch of one leaf, and the root."""
    level, branch = list(leaves), []
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        branch.append(level[position ^ 1])
        level = [double_hash(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
        position //= 2
    return branch, level[0]


def out_of_nothing(script: bytes, sat: int) -> str:
    """A transaction with one made-up input that pays *sat* to *script*."""
    spent = os.urandom(32) + bytes(4) + b"\x00" + b"\xff" * 4
    paid = sat.to_bytes(8, "little") + bytes([len(script)]) + script
    return ((1).to_bytes(4, "little") + b"\x01" + spent + b"\x01" + paid + bytes(4)).hex()


class Chain:
    def __init__(self) -> None:
        genesis = constants.net.GENESIS
        # The genesis block of regtest; its hash is what clients know.
        root = bytes.fromhex("4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b")[::-1]
        first = (1).to_bytes(4, "little") + bytes(32) + root
        first += (1296688602).to_bytes(4, "little") + EASIEST.to_bytes(4, "little") + (2).to_bytes(4, "little")
        if double_hash(first)[::-1].hex() != genesis:
            raise SystemExit("this is not the genesis block of regtest")
        self.headers = [first]
        self.blocks: list[list[str]] = [[]]
        self.transactions: dict[str, str] = {}
        self.heights: dict[str, int] = {}
        """0: unconfirmed."""
        self.touching: dict[str, list[str]] = {}
        """Transactions by script hash."""
        self.outputs: dict[tuple[str, int], str] = {}

    def take(self, raw: str) -> str:
        """Put a transaction into the mempool; gives its id."""
        transaction = Transaction(raw)
        transaction.deserialize()
        name: str = transaction.txid()
        if name in self.transactions:
            return name
        self.transactions[name], self.heights[name] = raw, 0
        spent = [(each.prevout.txid.hex(), each.prevout.out_idx) for each in transaction.inputs()]
        scripts = {self.outputs[each] for each in spent if each in self.outputs}
        for index, output in enumerate(transaction.outputs()):
            script = sha256(output.scriptpubkey).digest()[::-1].hex()
            self.outputs[name, index] = script
            scripts.add(script)
        for script in scripts:
            self.touching.setdefault(script, []).append(name)
        return name

    def mine(self) -> None:
        """A block with all that is unconfirmed."""
        self.take(out_of_nothing(NOTHING_TO_SPEND, 50))
        names = [name for name, height in self.heights.items() if height == 0]
        _, root = merkle([bytes.fromhex(name)[::-1] for name in names], 0)
        start = (0x20000000).to_bytes(4, "little") + double_hash(self.headers[-1]) + root
        start += int(time.time()).to_bytes(4, "little") + EASIEST.to_bytes(4, "little")
        nonce = 0
        while double_hash(start + nonce.to_bytes(4, "little"))[-1] >= 0x80:
            nonce += 1
        self.headers.append(start + nonce.to_bytes(4, "little"))
        self.blocks.append(names)
        self.heights |= dict.fromkeys(names, self.height)

    @property
    def height(self) -> int:
        return len(self.headers) - 1

    @property
    def tip(self) -> dict[str, Any]:
        return {"height": self.height, "hex": self.headers[-1].hex()}

    def history(self, script: str) -> list[dict[str, Any]]:
        names = sorted(self.touching.get(script, ()), key=lambda name: self.heights[name] or LATER)
        return [
            {"tx_hash": name, "height": height} | ({} if height else {"fee": 200})
            for name in names
            for height in [self.heights[name]]
        ]

    def status(self, script: str) -> str | None:
        """What changes with each change of the history."""
        text = "".join(f"{each['tx_hash']}:{each['height']}:" for each in self.history(script))
        return sha256(text.encode()).hexdigest() if text else None

    def proof(self, height: int, position: int) -> dict[str, Any]:
        branch, _ = merkle([bytes.fromhex(name)[::-1] for name in self.blocks[height]], position)
        return {"block_height": height, "pos": position, "merkle": [each[::-1].hex() for each in branch]}


class Client:
    """One connection, and what it wants to be told of."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.wants_headers = False
        self.scripts: dict[str, str | None] = {}

    def send(self, **message: Any) -> None:
        self.writer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def tell(self, chain: Chain) -> None:
        for script, before in self.scripts.items():
            if (now := chain.status(script)) != before:
                self.scripts[script] = now
                self.send(method="blockchain.scripthash.subscribe", params=[script, now])


class Server:
    def __init__(self) -> None:
        self.chain = Chain()
        self.clients: list[Client] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(writer)
        self.clients.append(client)
        try:
            while line := await reader.readline():
                asked = json.loads(line)
                for each in asked if isinstance(asked, list) else [asked]:
                    try:
                        result = self.answer(each["method"], each.get("params") or [], client)
                    except (LookupError, ValueError, TypeError) as error:
                        client.send(id=each.get("id"), error={"code": 1, "message": repr(error)})
                    else:
                        client.send(id=each.get("id"), result=result)
                for other in self.clients:
                    other.tell(self.chain)
        except ConnectionError:
            pass
        finally:
            self.clients.remove(client)
            writer.close()

    def answer(self, method: str, given: Sequence[Any], client: Client) -> Any:
        if method in SIMPLE_ANSWERS:
            return SIMPLE_ANSWERS[method]
        chain = self.chain
        match method, *given:
            case "lab.mine", blocks:
                for _ in range(blocks):
                    chain.mine()
                    for other in self.clients:
                        if other.wants_headers:
                            other.send(method="blockchain.headers.subscribe", params=[chain.tip])
                return chain.height
            case "lab.fund", address, sat:
                return chain.take(out_of_nothing(bytes.fromhex(bitcoin.address_to_script(address)), sat))
            case "blockchain.headers.subscribe", *_:
                client.wants_headers = True
                return chain.tip
            case "blockchain.block.header", height, *_:
                return chain.headers[height].hex()
            case "blockchain.block.headers", start, count, *_:
                found = chain.headers[start : start + count]
                return {"count": len(found), "hex": b"".join(found).hex(), "max": 2016}
            case "blockchain.scripthash.subscribe", script:
                client.scripts[script] = chain.status(script)
                return client.scripts[script]
            case "blockchain.scripthash.get_history", script:
                return chain.history(script)
            case "blockchain.transaction.broadcast", raw:
                return chain.take(raw)
            case "blockchain.transaction.get", name, *_:
                return chain.transactions[name]
            case "blockchain.transaction.get_merkle", name, height:
                return chain.proof(height, chain.blocks[height].index(name))
            case "blockchain.transaction.id_from_pos", height, position, True:
                proof = chain.proof(height, position)
                return {"tx_hash": chain.blocks[height][position], "merkle": proof["merkle"]}
            case "blockchain.transaction.id_from_pos", height, position, *_:
                return chain.blocks[height][position]
        raise LookupError(method)


async def main() -> None:
    constants.set_regtest()
    server = Server()
    for _ in range(5):
        server.chain.mine()
    async with await asyncio.start_server(server.serve, "127.0.0.1", int(sys.argv[1]), limit=1 << 22):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
