"""Bugs of the runtime put back on purpose, by name, to show that the simulation finds them. For tests only.

Each is the mistake that somebody could make at that place, as small as it can be. Where a second guard would hide it,
the patch takes that one away too and *also* says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from unittest.mock import patch

import msgspec

from spark_actors.actors import attempts, lookups, tuning, turn
from spark_actors.actors.aggregate import AggregateActor
from spark_actors.actors.context import ContextActor, Steps
from spark_actors.actors.dispatcher import Dispatcher
from spark_actors.actors.errors import ActorUnavailableError
from spark_actors.actors.fence import Fence
from spark_actors.actors.ingress import Ingress
from spark_actors.actors.lookups import Lookups
from spark_actors.actors.loop import Loop, pause
from spark_actors.actors.residents import Residents
from spark_actors.actors.root import RootSupervisor
from spark_actors.actors.seating import Seating
from spark_actors.actors.tasks import TaskWorker
from spark_actors.actors.turn import Turn
from spark_actors.kernel.decisions import DONE
from spark_actors.kernel.errors import DuplicateMessageError, StorageUnavailableError
from spark_actors.kernel.ids import derived_id
from spark_actors.kernel.sagas import SagaProgress
from spark_actors.messaging.envelope import Delivery, Receipt, pack, unpack_envelopes, unpack_replies
from spark_actors.messaging.identity import Guard
from spark_actors.messaging.lane import Lane
from spark_actors.messaging.relay import Relay
from spark_actors.messaging.routing import Subscriptions
from spark_actors.persistence.memory import MemoryInbox, MemoryStore
from spark_actors.persistence.outbox import Floor
from tests.simulation.store import SimulatedOutboxReader


@dataclass(frozen=True)
class Bug:
    """What is done wrong, and what is put in the place of the code that does it right."""

    story: str
    patches: Sequence[tuple[Any, Any, Any]]
    """An object and its attribute, or a table and its key; and what is put there."""
    also: str = ""
    """Which other guard is taken away, without which nobody would notice."""


@contextmanager
def introduced(bug: Bug | None) -> Iterator[None]:
    """Put a bug back for as long as the block lasts; None puts none."""
    with ExitStack() as stack:
        for target, attribute, replacement in bug.patches if bug else ():
            changed = {attribute: replacement}
            stack.enter_context(
                patch.dict(target, changed) if isinstance(target, dict) else patch.multiple(target, **changed)
            )
        yield


# --- the relay ---

_take_in = Relay.take_in


def _settle_at_once(self: Relay, rows: Sequence[Any], *, is_all: bool = False) -> None:
    new = [row.position for row in rows if row.position not in self._waiting_for]
    _take_in(self, rows, is_all=is_all)
    self._settleable += new


def _settled_if_through(self: Relay, positions: Sequence[int]) -> None:
    for position in positions:
        if not self._waiting_for.get(position):
            self._waiting_for.pop(position, None)


def _batch_past_what_is_held(self: Lane, limit: int, now: Any) -> list[Any]:
    if self._batch:
        return []
    self._set_aside_parked()
    batch = [held.rows[0] for held in self._held.values() if held.due_at <= now][:limit]
    while self._ready and len(batch) < limit:
        row = self._ready.popleft()
        (self._to_park if row.envelope.key in self._parked else batch).append(row)
    self._batch = batch
    return list(batch)


def _delivered_in_any_order(self: Lane, deliveries: Sequence[Delivery], now: Any) -> list[Any]:
    batch, self._batch = self._batch, []
    burials = []
    for row, answer in zip(batch, deliveries, strict=True):
        held = self._held.get(row.envelope.key)
        is_first = held is None or held.rows[0] is row
        if answer.receipt is Receipt.TAKEN:
            if held and is_first:
                self._ready.extendleft(reversed(list(self._held.pop(row.envelope.key).rows)[1:]))
            self._done_with(row)
        elif held and not is_first:
            held.rows.append(row)
        elif burial := self._refused(row, answer, now):
            burials.append(burial)
    return burials


def _drop_what_was_away(self: Lane) -> None:
    self._batch = []


def _room_for_all(self: Relay) -> int:
    most = max((lane.size for lane in self.lanes.values()), default=0)
    return self._in_flight - most


def _kept_comes_first(self: Relay, subscribers: Sequence[str]) -> None:
    for name, lane in self.lanes.items():
        if name in subscribers:
            lane.set_aside()


_routes = Subscriptions.of


def _first_only(self: Subscriptions, envelope: Any) -> tuple[str, ...]:
    return _routes(self, envelope)[:1]


async def _run_and_forget_hints(self: Loop) -> None:
    while not self._stopping.is_set():
        seconds = await self._round()
        self._woken.clear()
        await pause(seconds, until=self._stopping if self._failures else self._woken)


def _rise_at_once(self: Floor, waiting: Sequence[int]) -> None:
    self.seen = max([self.seen, *waiting])
    self.position = max(self.position, min([self.seen + 1, *waiting]))


_read_all = SimulatedOutboxReader._read


def _read_above_the_last_seen(self: SimulatedOutboxReader, skip: Any, limit: int) -> list[Any]:
    last = getattr(self, "last_seen", 0)
    hidden = {position for position in self._schema.outbox if position <= last}
    rows = _read_all(self, {*skip, *hidden}, limit)
    self.last_seen = max([last, *(row.position for row in rows)])  # type: ignore[attr-defined]
    return rows


# --- the turn ---


def _mark_later(self: AggregateActor, lookups: Any, turn: Turn, known: Any) -> None:
    hosted = lookups.hosted
    try:
        if _known_marks(hosted, turn):
            raise DuplicateMessageError("handled before")
        with hosted.unit_of_work() as uow:
            uow.repository.save(turn.changes, turn.records, turn.unchanged)
            uow.outbox.add(turn.outgoing)
            uow.commit()
        with hosted.unit_of_work() as uow:
            uow.inbox.mark(turn.marks)
            uow.commit()
    except Exception:
        self._residents.forget(hosted.context.name, turn.loaded)
        raise
    self._residents.keep(hosted.context.name, turn.current)


def _known_marks(hosted: Any, turn: Turn) -> Any:
    with hosted.unit_of_work() as uow:
        return uow.inbox.handled([mark.message_id for mark in turn.marks])


_commit = AggregateActor._commit


def _believe_in_commits(self: AggregateActor, lookups: Any, turn: Turn, known: Any) -> None:
    try:
        _commit(self, lookups, turn, known)
    except StorageUnavailableError:
        self._residents.keep(lookups.name, turn.current)


def _all_were_done(self: Lookups, commands: Sequence[Any]) -> dict[str, Any]:
    with self.hosted.unit_of_work() as uow:
        return dict.fromkeys(uow.inbox.handled([command.message_id for command in commands]), DONE)


def _nothing(*args: Any, **named: Any) -> None:
    """What was done here is not done any more."""


# --- the ways in and on ---


async def _let_others_pass(self: Dispatcher, lane: Any) -> None:
    while lane.parcels:
        lane.batch, version = self._next_batch(lane), self._version
        commands = [command for parcel in lane.batch for command in parcel.commands]
        try:
            payload = await self._hosts.take_turn(lane.slot, lane.context, pack(commands), version)
        except (ActorUnavailableError, StorageUnavailableError):
            await asyncio.sleep(tuning.HOST_BACK_OFF.first_seconds)
            lane.parcels.extend(lane.batch)
        else:
            replies = unpack_replies(payload)
            self._look_for_moved(lane, commands, replies, version)
            self._answer(lane, replies)
        lane.batch = []
        self._let_go(lane)


_post = Dispatcher.post


def _post_past_what_waits(self: Dispatcher, commands: Sequence[Any]) -> Any:
    moving, self._moving = self._moving, {}
    try:
        return _post(self, commands)
    finally:
        self._moving = moving


_go_on = Dispatcher._go_on


def _post_and_go_on(self: Dispatcher, commands: Sequence[Any]) -> Any:
    posted = _post(self, commands)
    for name in list(self._moving):
        self._go_on(*name)
    return posted


def _go_on_beside_the_old_lane(self: Dispatcher, context: str, key: str) -> None:
    moving = self._moving[context, key]
    if not moving.lane:
        _go_on(self, context, key)
        return
    lane = self._lane(self._placement.slot_of(context, key), context)
    lane.parcels.extend(moving.parcels)
    moving.parcels.clear()
    self._set_to_work(lane)


_answer = Dispatcher._answer


def _answer_and_queue_behind(self: Dispatcher, lane: Any, replies: Any) -> None:
    waited = {name: len(moving.parcels) for name, moving in self._moving.items()}
    _answer(self, lane, replies)
    for name, moving in self._moving.items():
        moving.parcels.rotate(waited.get(name, 0) - len(moving.parcels))


_unless_moved = AggregateActor._unless_moved


def _handle_all_the_same(self: AggregateActor, context: str, payload: bytes, version: int, handle: Any) -> bytes:
    handle(context, unpack_envelopes(payload))
    return _unless_moved(self, context, payload, version, handle)


_identified = Guard.command


def _under_its_bare_id(self: Guard, sender: Any, admitted: Any) -> Any:
    return msgspec.structs.replace(_identified(self, sender, admitted), message_id=admitted.envelope.message_id)


def _same(command: Any) -> bytes:
    return b"whatever"


_finish = Ingress._finish


async def _acknowledge_first(self: Ingress, good: Any, answers: Any, refused: Any, left: Any) -> None:
    await self._broker.acknowledge([each.arrival for each in good])
    await _finish(self, good, answers, refused, left)


_addressed = Steps._addressed
_tries = count()


def under_new_ids(self: Steps, cause: Any, command: Any, index: int) -> Any:
    envelope = _addressed(self, cause, command, index)
    return type(envelope)(derived_id(envelope.message_id, next(_tries)), *_rest(envelope))


def _rest(envelope: Any) -> list[Any]:
    return [getattr(envelope, name) for name in envelope.__struct_fields__[1:]]


_take_events = ContextActor.take_events


async def _take_at_once(self: ContextActor, payload: bytes) -> bytes:
    work = asyncio.ensure_future(_take_events(self, payload))
    work.add_done_callback(lambda done: done.cancelled() or done.exception())
    return pack([Delivery(envelope.message_id, Receipt.TAKEN) for envelope in unpack_envelopes(payload)])


# --- tasks ---

_send = TaskWorker._send


async def _forget_first(self: TaskWorker, done: Sequence[Any]) -> None:
    if done:
        await self._tasks.remove([each.task.envelope.message_id for each in done])
    await _send(self, done)


# --- what only lets people see ---


def last_word(self: Any, other: Any) -> Any:
    return other


# --- the cluster ---


def _always(self: RootSupervisor, node_id: str) -> bool:
    return True


async def _never_retired(self: RootSupervisor, place: str, version: int) -> None:
    """It lives on."""


def _only_those_seated(self: Seating) -> frozenset[str]:
    return frozenset(self._seats.values())


RUNTIME_BUGS: Mapping[str, Bug] = {
    "no-fence": Bug(
        "An actor that nobody asks any more lives on, although it has a successor.",
        ((Fence, "look", lambda self: tuning.FENCE_LOOK_SECONDS),),
    ),
    "empty-while-it-ends": Bug(
        "A node counts as empty as soon as nobody has a seat there.",
        ((Seating, "inhabited", property(_only_those_seated)), (RootSupervisor, "_is_surely_empty", _always)),
    ),
    "slots-never-end": Bug(
        "The actors of slots that are no more live on.",
        ((RootSupervisor, "_retired", _never_retired),),
    ),
    "settle-before-delivery": Bug(
        "The relay settles a row as soon as it has read it.",
        ((Relay, "take_in", _settle_at_once), (Relay, "settled", _settled_if_through)),
    ),
    "no-inbox-mark": Bug("A turn does not remember what it has handled.", ((MemoryInbox, "mark", _nothing),)),
    "no-version-check": Bug(
        "The store takes what a stale writer hands it.", ((MemoryStore, "_refuse_stale", _nothing),)
    ),
    "mark-outside-transaction": Bug(
        "The inbox is asked before, and marked after, the transaction.",
        ((AggregateActor, "_commit", _mark_later),),
    ),
    "order-broken-by-retry": Bug(
        "Later events of a key pass one that waits to be offered again.",
        (
            (Lane, "next_batch", _batch_past_what_is_held),
            (Lane, "delivered", _delivered_in_any_order),
        ),
    ),
    "lost-wake-up": Bug(
        "A hint that comes while a round is under way is forgotten; found only where nothing polls.",
        ((Loop, "_run", _run_and_forget_hints),),
    ),
    "new-ids-on-redelivery": Bug(
        "A saga step that runs twice gives its commands new ids.",
        ((Steps, "_addressed", under_new_ids),),
    ),
    "acknowledge-before-commit": Bug(
        "The Ingress acknowledges what it has handed on.", ((Ingress, "_finish", _acknowledge_first),)
    ),
    "first-subscriber-only": Bug(
        "An event goes to the first of its subscribers.", ((Subscriptions, "of", _first_only),)
    ),
    "floor-rises-too-early": Bug(
        "The relay's floor does not wait for transactions that are still open.", ((Floor, "rise", _rise_at_once),)
    ),
    "above-the-last-seen": Bug(
        "The relay reads only positions above the last that it saw.",
        ((SimulatedOutboxReader, "_read", _read_above_the_last_seen),),
    ),
    "unchecked-refusal": Bug(
        "A turn that only refuses does not say on which version.", ((Turn, "unchanged", property(lambda self: {})),)
    ),
    "residents-never-forgotten": Bug(
        "After a commit that failed the actor goes on with what it holds.", ((Residents, "forget", _nothing),)
    ),
    "unknown-commit-believed": Bug(
        "A commit whose answer is lost counts as done.", ((AggregateActor, "_commit", _believe_in_commits),)
    ),
    "outcome-forgotten": Bug(
        "A command that comes again is answered `done`, however it ended.",
        ((Lookups, "known", _all_were_done),),
    ),
    "retry-lets-others-pass": Bug(
        "A batch that did not get through queues up behind those that came later.",
        ((Dispatcher, "_work", _let_others_pass),),
    ),
    "no-barrier": Bug(
        "After a change of the slots new commands of a key go to its new slot at once, whatever waits in the old one.",
        ((Dispatcher, "post", _post_past_what_waits),),
    ),
    "old-lane-not-awaited": Bug(
        "After a change of the slots nobody waits for what is in the hand of a key's old slot.",
        ((Dispatcher, "post", _post_and_go_on), (Dispatcher, "_go_on", _go_on_beside_the_old_lane)),
    ),
    "moved-goes-behind": Bug(
        "A command that comes back because its key has moved queues up behind later ones.",
        ((Dispatcher, "_answer", _answer_and_queue_behind),),
    ),
    "moved-executes-too": Bug(
        "A host that says that a command is for another slot has handled it.",
        ((AggregateActor, "_unless_moved", _handle_all_the_same),),
    ),
    "dropped-while-away": Bug(
        "What a subscriber could not be handed is not offered again.", ((Lane, "undelivered", _drop_what_was_away),)
    ),
    "taken-before-durable": Bug(
        "A ContextActor answers before its part is durable.", ((ContextActor, "take_events", _take_at_once),)
    ),
    "task-forgotten-first": Bug(
        "A task is removed before what follows from it is durable.", ((TaskWorker, "_send", _forget_first),)
    ),
    "one-room-for-all-subscribers": Bug(
        "What waits for a subscriber that is away takes the room of what the others could have.",
        ((Relay, "room", property(_room_for_all)), (Relay, "_set_slow_aside", _nothing)),
    ),
    "what-was-kept-comes-first": Bug(
        "A relay that starts anew hands over what was kept before what its predecessor had in hand, which is older.",
        ((Relay, "set_aside", _kept_comes_first),),
    ),
    "id-without-its-sender": Bug(
        "An id is remembered without whose it is: producers that number from 1 use up each other's.",
        ((Guard, "command", _under_its_bare_id),),
    ),
    "id-without-its-content": Bug(
        "An id is remembered without what was asked: something else under it counts as asked before.",
        tuple((module, "content_digest", _same) for module in (turn, lookups, attempts)),
    ),
    "one-row-for-two-stories": Bug(
        "A saga's row is found by the saga's id alone.",
        ((SagaProgress, "story", property(lambda self: (self.kind, self.saga_id, ""))),),
    ),
    "progress-goes-back": Bug("A saga's progress is whatever was told last.", ((SagaProgress, "merged", last_word),)),
}
"""They are seen whatever application is played, if only its stories come by the place."""
