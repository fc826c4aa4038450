"""What the peers share: the commands they are given, how their books are judged, and processes that always end."""

import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

from spark_actors.kernel.errors import SparkError
from tests.lab.bench.queries import libpq_environment

AMOUNT_SAT = 10  # of every deposit and every donation
LONGEST_SECONDS = 900.0  # one workload; a peer that needs longer has failed
ENDING_SECONDS = 10.0

Span = tuple[float, float]
"""When the work began and ended, by the monotonic clock, which all processes of a machine share."""
Command = TypeVar("Command")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Sizes:
    """How much work the peers are given. `hot_history` deposits are in the account before its second measurement."""

    uniform_commands: int
    accounts: int
    hot_commands: int
    hot_history: int
    donations: int
    donors: int
    campaigns: int


@dataclass(frozen=True)
class PeerResult:
    """One figure: `rate` in commands (or donations) a second, and how many had not exactly one effect."""

    workload: str
    rate: float
    lost_or_doubled: int
    note: str


@dataclass(frozen=True)
class Deposit:
    """Credit AMOUNT_SAT to the account."""

    deposit_id: str
    account: str


@dataclass(frozen=True)
class Donation:
    """Move AMOUNT_SAT from the donor to the owner of the campaign and count it there."""

    donation_id: str
    donor: str
    campaign: str


@dataclass(frozen=True)
class Address:
    """The parts of a Postgres DSN, unquoted."""

    host: str
    port: str
    user: str
    password: str
    database: str


class PeerError(SparkError):
    """A peer could not be measured."""


class PeerFailedError(PeerError):
    """A worker process of the peer ended without an answer; its traceback is on stderr."""

    def __init__(self, peer: str) -> None:
        super().__init__(peer)
        self.peer = peer

    def __str__(self) -> str:
        return f"a worker of {self.peer} failed: see its traceback above"


class PeerTimeoutError(PeerError):
    """A worker process of the peer gave no answer in time and was ended."""

    def __init__(self, peer: str, seconds: float) -> None:
        super().__init__(peer, seconds)
        self.peer, self.seconds = peer, seconds

    def __str__(self) -> str:
        return f"{self.peer} did not finish within {self.seconds:.0f} s"


def uniform_deposits(sizes: Sizes) -> list[Deposit]:
    """Return the deposits of the uniform workload: the accounts in turn, so that neighbours do not meet."""
    return [Deposit(f"uniform-{n}", f"account-{n % sizes.accounts}") for n in range(sizes.uniform_commands)]


def hot_deposits(sizes: Sizes, account: str) -> list[Deposit]:
    """Return the deposits of the hot workload, all to one account."""
    return [Deposit(f"{account}-{n}", account) for n in range(sizes.hot_commands)]


def donations(sizes: Sizes) -> list[Donation]:
    """Return the donations: donors and campaigns in turn."""
    return [
        Donation(f"donation-{n}", f"donor-{n % sizes.donors}", f"campaign-{n % sizes.campaigns}")
        for n in range(sizes.donations)
    ]


def owner_of(campaign: str) -> str:
    """Return the account that the donations to a campaign go to."""
    return f"owner-of-{campaign}"


def received(accounts: Iterable[str]) -> dict[str, int]:
    """Return what each account must have got when each of these commands took effect once."""
    return {account: count * AMOUNT_SAT for account, count in Counter(accounts).items()}


def lost_or_doubled(expected: Mapping[str, int], actual: Mapping[str, int]) -> int:
    """Count the movements of AMOUNT_SAT by which two sets of books differ; a part of one counts as one.

    One lost and one doubled in the same account would cancel out; across accounts they do not.
    """
    return sum(
        -(-abs(expected.get(name, 0) - actual.get(name, 0)) // AMOUNT_SAT) for name in expected.keys() | actual.keys()
    )


def address_of(dsn: str) -> Address:
    """Take a DSN apart, in either form that Postgres knows. The host may be the folder of a socket."""
    parts = libpq_environment(dsn)
    return Address(
        host=parts.get("PGHOST", "localhost"),
        port=parts.get("PGPORT", "5432"),
        user=parts.get("PGUSER", ""),
        password=parts.get("PGPASSWORD", ""),
        database=parts.get("PGDATABASE", ""),
    )


def rate(count: int, spans: Sequence[Span]) -> float:
    """Return how many a second, from the first begin to the last end."""
    seconds = max(end for _, end in spans) - min(begin for begin, _ in spans)
    return count / seconds if seconds > 0 else 0.0


def in_threads(threads: int, work: Callable[[Command], object], commands: Iterable[Command]) -> Span:
    """Do the commands, several at a time, and say how long it took. The first error is raised; the rest still run."""
    begin = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, commands):
            pass
    return begin, time.monotonic()


def in_processes(peer: str, worker: Callable[..., Answer], arguments: Sequence[tuple[Any, ...]]) -> list[Answer]:
    """Call `worker(gate, *arguments)` in a process for each of the arguments and return the answers in that order.

    The gate is a barrier of all these processes. Whatever happens, none of them outlives this call; a process that
    fails breaks the gate for the others. Raises PeerFailedError or PeerTimeoutError.
    """
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(len(arguments), timeout=LONGEST_SECONDS)
    started: list[tuple[BaseProcess, Connection]] = []
    try:
        for more in arguments:
            receiver, sender = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(target=_serve, args=(sender, worker, gate, more), daemon=True)
            process.start()
            sender.close()  # so that the end of the process is the end of the pipe
            started.append((process, receiver))
        return list(_answers(peer, [receiver for _, receiver in started]))
    finally:
        for process, receiver in started:
            _end(process, receiver)


def _serve(sender: Connection, worker: Callable[..., object], gate: Barrier, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        sender.send(worker(gate, *arguments))
    except BaseException:
        gate.abort()
        raise


def _end_with_parent() -> None:
    """End this process when the one that started it was killed, which could not end it any more."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _answers(peer: str, receivers: Sequence[Connection]) -> Iterator[Any]:
    deadline = time.monotonic() + LONGEST_SECONDS
    for receiver in receivers:
        if not receiver.poll(max(0.0, deadline - time.monotonic())):
            raise PeerTimeoutError(peer, LONGEST_SECONDS)
        try:
            yield receiver.recv()
        except EOFError as error:
            raise PeerFailedError(peer) from error


def _end(process: BaseProcess, receiver: Connection) -> None:
    """Let a process end by itself for a moment, then end it."""
    receiver.close()
    process.join(ENDING_SECONDS)
    if process.is_alive():
        process.terminate()
        process.join(ENDING_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()
