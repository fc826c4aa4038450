"""What must be true of any application when a run is over: of its messages, their order and effects, and its sagas."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from spark_actors.kernel.decisions import ID_REUSED, Verdict
from spark_actors.kernel.sagas import SagaProgress, SagaState, progress_of
from spark_actors.messaging.door import outcome_body
from spark_actors.messaging.envelope import Reply, decode_data
from tests.simulation.history import History, label_of, name_of
from tests.simulation.subject import Subject
from tests.simulation.wiring import REFUSED, Deployment


def runtime_verdict(deployment: Deployment, history: History) -> Iterator[str]:
    """Everything that is wrong with a run, whatever the application does, in words."""
    yield from _answers(history)
    yield from _effects_once(history)
    yield from _order_at_subscribers(deployment.subject, history)
    yield from _order_at_instances(history)
    yield from _sagas(deployment, history)
    yield from _dead_letters(deployment)


def _answers(history: History) -> Iterator[str]:
    """Every command that was sent has one outcome, its own or that of its id, and every reply says it."""
    ended = {label_of(command): outcome for commit in history.commits for command, outcome in commit.marks}
    handled = {message.known_by: label for label, message in history.sent.items() if label in ended}
    for label, message in history.sent.items():
        first = handled.get(message.known_by)
        if first is None:
            if not label.endswith("junk"):
                yield f"{label} was stored by the broker and is lost"
            continue
        expected = ended[first] if message.asks_the_same_as(history.sent[first]) else ID_REUSED
        body = outcome_body(Reply.of(message.message_id, expected), message.message_id)
        if wrong := history.replies[label] - {body}:
            yield f"{label} was answered {wrong}, and {first}, the first under its id, ended {ended[first]}"


def _effects_once(history: History) -> Iterator[str]:
    handled = Counter((it.context, command.message_id) for it in history.commits for command, _ in it.marks)
    yield from (f"{name} was handled {count} times" for name, count in handled.items() if count > 1)
    said: dict[str, list[str]] = defaultdict(list)
    for event in (event for it in history.commits for event in it.events):
        said[event.message_id].append(event.name)
    yield from (f"{' and '.join(names)} were announced under one id" for names in said.values() if len(names) > 1)
    caused = Counter((it.causation_id, it.name, it.key) for it in history.commands.values() if it.causation_id)
    yield from (
        f"one event led to {count} commands {name} of {key}" for (_, name, key), count in caused.items() if count > 1
    )
    ended = [(command, outcome) for it in history.commits for command, outcome in it.marks]
    yield from (f"{it.name} failed: {outcome}" for it, outcome in ended if outcome.verdict is Verdict.FAILED)


def _order_at_subscribers(subject: Subject, history: History) -> Iterator[str]:
    """Each subscriber took the events of each instance in the order in which they happened, and took all."""
    happened: dict[tuple[str, str], list[str]] = {}
    names = {}
    for commit in history.commits:
        for event in commit.events:
            names[event.message_id] = event
            for context in subject.contexts:
                if (context.name, event.message_id) in history.taken_by:
                    happened.setdefault((context.name, f"{event.context}:{event.key}"), []).append(event.message_id)
    for name, taken in history.taken.items():
        if taken != happened.get(name):
            first = next((it for it, other in zip(taken, happened.get(name, []), strict=False) if it != other), "")
            yield f"{name[0]} took {names[first].name if first in names else '?'} of {name[1]} out of order"


def _order_at_instances(history: History) -> Iterator[str]:
    """What one sender posts for one instance is handled in that order."""
    place: dict[tuple[str, str], tuple[int, int]] = {}
    for number, commit in enumerate(history.commits):
        for index, (command, _) in enumerate(commit.marks):
            place.setdefault(name_of(command), (number, index))
    senders = Counter(name for posted in history.posted.values() for name in posted)
    for (sender, instance), posted in history.posted.items():
        mine = [it for it, since in posted.items() if senders[it] == 1 and it in place and place[it][0] >= since]
        if mine != sorted(mine, key=place.__getitem__):
            yield f"{instance}: {sender} posted {mine}, handled in another order"


def _sagas(deployment: Deployment, history: History) -> Iterator[str]:
    """Each story that began has ended (what was parked has been released); its row says what its own events say."""
    for context in deployment.subject.writing:
        rows = {
            (it.kind, it.saga_id, it.correlation_id): it for it in deployment.schema(context.name).sagas.rows.values()
        }
        stories: dict[tuple[str, str, str], SagaProgress] = {}
        for step in (
            it
            for commit in history.commits
            for event in commit.events
            for it in _progress(deployment.subject, context.sagas, event)
        ):
            name = (step.kind, step.saga_id, step.correlation_id)
            stories[name] = stories[name].merged(step) if name in stories else step
        for name, progress in sorted(stories.items()):
            row = rows.get(name)
            if row is None or (row.step, row.state) != (progress.step, progress.state):
                yield f"saga {' '.join(name)} should be {progress.step}: {row}"
            elif row.state is SagaState.RUNNING:
                yield f"saga {' '.join(name)} has not ended: {row.step}"


def _progress(subject: Subject, sagas: Sequence[Any], event: Any) -> Sequence[Any]:
    if not sagas:
        return ()
    message: Any = decode_data(subject.registry, event)
    return progress_of(sagas, message, correlation_id=event.correlation_id, at=event.occurred_at)


def _dead_letters(deployment: Deployment) -> Iterator[str]:
    for context, schema in deployment.database.schemas.items():
        for letter in schema.letters.letters.values():
            if not letter.reason.startswith("not_json" if context == REFUSED else "seeded"):
                yield f"{letter.name} was buried for {letter.subscriber}: {letter.reason}"
