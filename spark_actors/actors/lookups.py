"""What an AggregateActor asks a context's store of commands: the inbox (idempotency), parking, locks, broken rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from spark_actors.actors import tuning
from spark_actors.actors.turn import Turn
from spark_actors.kernel.context import BoundedContext
from spark_actors.kernel.decisions import ID_REUSED, Outcome, Verdict
from spark_actors.kernel.errors import StorageUnavailableError
from spark_actors.messaging.envelope import Envelope, content_digest
from spark_actors.messaging.unit_of_work import Handled, UnitOfWorkFactory

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class HostedContext:
    """A context that an AggregateActor serves, and its store."""

    context: BoundedContext
    unit_of_work: UnitOfWorkFactory


@dataclass(frozen=True)
class Lookups:
    """The questions, each one round trip, and the hints that spare some of them.

    All raise StorageUnavailableError, and what else a store has against what it is asked.
    """

    hosted: HostedContext
    released: str | None = None
    """The released key whose waiting commands are asked about; None for commands that come as usual."""
    held_up: set[str] = field(default_factory=set)
    """Keys whose rows others had locked: they are tried apart until they come through."""
    met: set[str] = field(default_factory=set)
    """Parked keys that were met: a hint that spares a turn that would be refused."""

    @property
    def name(self) -> str:
        return self.hosted.context.name

    def of_released(self, key: str) -> Lookups:
        """The same for what waits for a released key."""
        return replace(self, released=key)

    def known(self, commands: Sequence[Envelope]) -> dict[str, Outcome]:
        """How those of *commands* ended that came before, under their ids; what is being worked off does not wait."""
        handled = self._handled(commands)
        return {
            command.message_id: _answer(command, before)
            for command in commands
            if (before := handled.get(command.message_id))
            and not (self.released is not None and before.outcome.verdict is Verdict.PARKED)
        }

    def done(self, commands: Sequence[Envelope]) -> dict[str, Outcome]:
        """As `known`, for what may be wrong itself: what cannot even be asked about was never handled."""
        try:
            return self.known(commands)
        except StorageUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("inbox_not_asked", context=self.name, error=str(error))
            return {}

    def answers(self, others: Mapping[int, Envelope]) -> dict[int, Outcome]:
        """What is said, by place, to commands under the id of one of the same batch that asked for something else."""
        if not others:
            return {}
        handled = self._handled(list(others.values()))
        return {
            place: _answer(command, handled[command.message_id]) if command.message_id in handled else ID_REUSED
            for place, command in others.items()
        }

    def parked(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of *keys* that must wait; none where what waits is being worked off."""
        asked = set(keys)
        if not asked or self.released is not None:
            return frozenset()
        with self.hosted.unit_of_work() as uow:
            parked = uow.parking.parked(sorted(asked))
        self.met.difference_update(asked)
        if len(self.met) < tuning.MET_KEYS:
            self.met.update(parked)
        return parked

    def still_parked(self, commands: Iterable[Envelope]) -> frozenset[str]:
        """As `parked`, for those keys of *commands* that were met before: most often none, and nothing is asked."""
        return self.parked(self.met.intersection([command.key for command in commands])) if self.met else frozenset()

    def locked(self, commands: Iterable[Envelope]) -> frozenset[str]:
        """The keys of *commands* that the store can tell somebody else has locked; not that of a row just made, say."""
        with self.hosted.unit_of_work() as uow:
            return uow.repository.locked(sorted({command.key for command in commands}))

    def offenders(self, turn: Turn, refused: Collection[str]) -> dict[str, str]:
        """Which commands of a turn that the store has refused break which of the rules that the domain answers to.

        Without those that are *refused* by one already.
        """
        with self.hosted.unit_of_work() as uow:
            found = uow.repository.offenders(turn.effects)
        broken = {turn.decided[place][0].message_id: rule for place, rule in found.items()}
        answered = self.hosted.context.refusals
        return {name: rule for name, rule in broken.items() if rule in answered and name not in refused}

    def _handled(self, commands: Sequence[Envelope]) -> Mapping[str, Handled]:
        with self.hosted.unit_of_work() as uow:
            return uow.inbox.handled([command.message_id for command in commands])


def _answer(command: Envelope, before: Handled) -> Outcome:
    """What is said to a command whose id came before."""
    digest = content_digest(command)
    is_same = before.digest is None or digest is None or before.digest == digest
    return before.outcome if is_same else ID_REUSED
