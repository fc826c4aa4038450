"""Where workloads perform: a running daemon, and what drives it, watches it and knows what its books must say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from domain.application import APPLICATION
from spark_actors.cli.audit import checks_of
from spark_actors.embedded.data_dir import DaemonCard
from spark_actors.ingress.client import SparkClient
from spark_actors.kernel.errors import SparkError
from tests.lab.bench.commands import DEPOSIT_SAT, DONATION_SAT, FUNDS_SAT, Commands
from tests.lab.bench.daemon import running_daemon
from tests.lab.bench.machine import ProcessTree
from tests.lab.bench.queries import BenchQueries, Books
from tests.lab.bench.reference import Reference
from tests.lab.bench.results import Run
from tests.lab.bench.sizes import Sizes
from tests.lab.load.producer import Drained, LoadProducer, Message

T = TypeVar("T")
Say = Callable[[str], None]
"""Tells how it goes, in one line."""
Refer = Callable[[], float]
"""Runs the reference; transactions a second."""
WATCH_SECONDS = 0.02
STALL_SECONDS = 300.0


class StalledError(SparkError):
    """What was awaited did not happen."""

    def __init__(self, awaited: str, seconds: float) -> None:
        super().__init__(awaited, seconds)
        self.awaited, self.seconds = awaited, seconds

    def __str__(self) -> str:
        return f"{self.awaited}: not within {self.seconds:.0f} s"


@dataclass
class Expected:
    """What has been sent, so what the books must say once all has settled."""

    deposits: int = 0
    deposited_sat: int = 0
    donations: int = 0

    def deposit(self, count: int, amount_sat: int = DEPOSIT_SAT) -> None:
        self.deposits += count
        self.deposited_sat += count * amount_sat

    @property
    def books(self) -> Books:
        """Donations move money between users: what they hold together stays what was deposited."""
        return Books(
            held_sat=self.deposited_sat,
            deposits=self.deposits,
            deposited_sat=self.deposited_sat,
            donations=self.donations,
            raised_sat=self.donations * DONATION_SAT,
        )


class Stage:
    """A daemon that is ready for workloads."""

    def __init__(
        self, card: DaemonCard, queries: BenchQueries, sizes: Sizes, runs: int | None, say: Say, refer: Refer
    ) -> None:
        self.card, self.queries, self.sizes, self._runs, self.say = card, queries, sizes, runs, say
        self.refer = refer
        self.processes = ProcessTree(card.pid, left_out=[queries.backend_pid])
        self.commands = Commands(seed=card.pid)
        self.expected = Expected()
        self.uniform_rate = 0.0
        """What the uniform workload last reached here; 0 before it has run."""
        self.sustainable_rate = 0.0
        """What it keeps up with when each command is answered; 0 before it was measured."""
        self._has_donors = False

    def repeat(self, usual: int) -> range:
        """How often to run: *usual*, unless it was asked for otherwise."""
        return range(self._runs or usual)

    def beside_reference(self, play: Callable[[int], Sequence[Run]], usual: int) -> list[list[Run]]:
        """Play round after round, each between two runs of the reference: machines do not stay as fast as they are."""
        rounds: list[list[Run]] = []
        before = self.refer()
        for number in self.repeat(usual):
            runs, after = play(number), self.refer()
            rounds.append([replace(run, reference=fmean([before, after])) for run in runs])
            before = after
        return rounds

    def produce(self, act: Callable[[LoadProducer], Awaitable[T]]) -> T:
        """Do something with a fast producer."""

        async def connected() -> T:
            async with await _producer(self.card) as producer:
                return await act(producer)

        return asyncio.run(connected())

    def talk(self, conversation: Callable[[SparkClient], Awaitable[T]]) -> T:
        """Do something as an ordinary client."""

        async def connected() -> T:
            async with await client_of(self.card) as client:
                return await conversation(client)

        return asyncio.run(connected())

    def drive(
        self,
        messages: Sequence[Message],
        *,
        until: Callable[[], bool] | None = None,
        held_back: bool = False,
        settles: bool = True,
        stall_seconds: float = STALL_SECONDS,
    ) -> Run:
        """Publish all at once and wait until all are acknowledged, *until* holds, and, if it *settles*, all has.

        *held_back*: all are in the broker before the first is delivered and before time counts. Raises StalledError.
        """
        before = self.processes.cpu_seconds()
        drained: Drained = self.produce(lambda producer: producer.drain(messages, held_back=held_back))
        done = self.wait(until, "the sagas to end", stall_seconds) if until else drained.ended
        settled = self.settle() if settles else done
        self.say(
            f"  {len(messages):,} commands: stored in {drained.stored_seconds:.2f} s, acknowledged in "
            f"{drained.ended - drained.began:.2f} s, settled in {settled - drained.began:.2f} s, "
            f"producer {drained.producer_cpu_seconds:.2f} s CPU"
        )
        return Run(
            len(messages),
            done - drained.began,
            settled - drained.began,
            self.used_since(before),
            tuple((at - drained.began, left) for at, left in drained.samples),
        )

    def used_since(self, before: Mapping[str, float]) -> Mapping[str, float]:
        """The CPU seconds that the daemon's processes have used since, by kind."""
        now = self.processes.cpu_seconds()
        return {kind: seconds - before.get(kind, 0.0) for kind, seconds in now.items()}

    def cpu_us_since(self, before: Mapping[str, float], count: int) -> dict[str, float]:
        """The same in microseconds for each of *count*."""
        return {kind: seconds / count * 1e6 for kind, seconds in self.used_since(before).items()}

    def settle(self) -> float:
        """Wait until the outboxes are empty; gives the moment."""
        return self.wait(self.queries.is_settled, "the outboxes to be empty")

    def wait(self, condition: Callable[[], bool], awaited: str, stall_seconds: float = STALL_SECONDS) -> float:
        """Look again and again until it holds; gives the moment. Raises StalledError."""
        deadline = time.perf_counter() + stall_seconds
        while not condition():
            if time.perf_counter() > deadline:
                raise StalledError(awaited, stall_seconds)
            time.sleep(WATCH_SECONDS)
        return time.perf_counter()

    def deposit_over(self, prefix: str, accounts: int, count: int, *, held_back: bool = False) -> Run:
        """Drive deposits to random ones of the accounts."""
        messages = self.commands.deposits_over(prefix, accounts, count)
        self.expected.deposit(count)
        return self.drive(messages, held_back=held_back)

    def deposit_to(self, account_id: str, count: int) -> Run:
        """Drive deposits to one account."""
        messages = self.commands.deposits_to(account_id, count)
        self.expected.deposit(count)
        return self.drive(messages)

    def open_donors(self) -> None:
        """Have donors with money, and campaigns; the first time they are made."""
        if not self._has_donors:
            self.say("opening accounts and campaigns")
            self.expected.deposit(self.sizes.donors, FUNDS_SAT)
            self.drive(self.commands.opening(self.sizes.donors, self.sizes.campaigns))
            self._has_donors = True

    def objections(self) -> list[str]:
        """What is wrong with the books, now that all should have settled; empty if nothing is."""
        self.settle()
        books, expected = self.queries.books(), self.expected.books
        wrong = [
            f"{name}: {found:,} instead of {wanted:,}"
            for (name, found), wanted in zip(vars(books).items(), vars(expected).values(), strict=True)
            if found != wanted
        ]
        letters = self.queries.dead_letters()
        return [*wrong, *([f"{letters:,} dead letters"] if letters else [])]

    def audit(self) -> list[str]:
        """What the audit finds wrong."""
        checks = [check for check in checks_of(APPLICATION, self.card.dsn) if not check.is_passed]
        return [f"{check.name}: {check.findings[0].subject} {check.findings[0].detail}" for check in checks]


def client_of(card: DaemonCard) -> Awaitable[SparkClient]:
    """An ordinary client, with an operator's rights."""
    return SparkClient.connect(card.nats_url, card.nats_token, identity=card.operator_token)


def _producer(card: DaemonCard) -> Awaitable[LoadProducer]:
    return LoadProducer.connect(card.nats_url, card.nats_token, card.operator_token)


@contextmanager
def open_stage(
    folder: Path | None,
    sizes: Sizes,
    runs: int | None,
    say: Say,
    placement: Mapping[str, int],
    refer: Callable[[Reference], float],
    *,
    views_apart: bool = False,
) -> Iterator[Stage]:
    """A stage on a daemon of its own, with the reference on the same Postgres; gone in the end.

    *views_apart*: the daemon's read models have a Postgres of their own.
    """
    say("starting a daemon" + (f" with {dict(placement)}" if placement else ""))
    daemon = running_daemon(folder, placement, views_apart=views_apart)
    with daemon as (card, _), BenchQueries(card.dsn["accounting"]) as queries:
        reference = Reference(queries)
        yield Stage(card, queries, sizes, runs, say, lambda: refer(reference))
