"""A bounded context as the runtime sees it: its published messages and the tables that route them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
from types import NoneType, UnionType
from typing import Any, Never, TypeAlias, Union, get_args, get_origin, get_type_hints

from spark_actors.kernel.aggregates import Aggregate, Handler
from spark_actors.kernel.messages import Command, Event, Message, Query, Upcaster
from spark_actors.kernel.sagas import SagaKind, Step
from spark_actors.kernel.tasks import NotYet, Task, ToDo, Workers

View: TypeAlias = Callable[[Any, Any], object | None]
"""(instance, query): what the query gives of the instance; None: nothing. Pure."""


@dataclass(frozen=True)
class BoundedContext:
    """The whole flow of a context, readable in one place."""

    name: str
    messages: tuple[type[Message], ...]
    """The current version of each, tasks among them."""
    aggregate: type[Aggregate] | None = None
    """The class of its instances; None for a context without commands."""
    upcasters: tuple[Upcaster, ...] = ()
    """How older versions of its messages are read; never taken away while one may lie in an outbox or a broker."""
    commands: Mapping[type[Command], Handler] = field(default_factory=dict)
    """Each command has one handler, which says what becomes of it whether or not its instance exists."""
    views: Mapping[type[Query], View] = field(default_factory=dict)
    """Queries for one instance, each answered from its state as it was committed last; of none there is no answer."""
    refusals: Mapping[str, Handler] = field(default_factory=dict)
    """What decides instead when the named constraint of the database has refused a decision."""
    steps: Mapping[type[Event], Step] = field(default_factory=dict)
    """Which events, of any context, make this one send which commands."""
    sagas: tuple[SagaKind, ...] = ()
    """The sagas that start in this context; their progress rows live in its schema."""
    tasks: Mapping[type[Event], ToDo] = field(default_factory=dict)
    """Which events, of any context, give this one something to do outside or later."""
    reads: tuple[type[Event], ...] = ()
    """Events that an adapter of this context takes in: a projection."""

    def tracks(self, event: Message) -> bool:
        """Whether *event* belongs to a saga that starts in this context."""
        return any(True for saga in self.sagas for _ in saga.reached_by(event))

    @property
    def subscriptions(self) -> frozenset[type[Event]]:
        """Every event, of any context, that this context must be handed."""
        tracked = {milestone.event for saga in self.sagas for milestone in saga.milestones}
        return frozenset({*self.steps, *self.tasks, *tracked, *self.reads})

    @property
    def to_do(self) -> tuple[type[Task], ...]:
        """The kinds of tasks that it has."""
        return tuple(each for each in self.messages if issubclass(each, Task))


def mistakes(context: BoundedContext) -> list[str]:
    """What of the tables does not fit together, in words: to be asked at start-up, so that no running daemon finds it.

    Each command has a handler. By the annotations: a handler takes its command and decides on the aggregate, as a
    refusal does; a view takes the aggregate and its query, and gives what the query says; a step takes its event and
    says which commands it sends, each of this context; what follows as a task is one of this context's, too.
    """
    commands = [each for each in context.messages if issubclass(each, Command)]
    return [
        *_of_aggregate(context),
        *(f"nobody handles {each.TYPE.name}" for each in commands if each not in context.commands),
        *(each for command, handler in context.commands.items() for each in _of_handler(context, command, handler)),
        *(each for query, view in context.views.items() for each in _of_view(context, query, view)),
        *(each for handler in context.refusals.values() for each in _of_decisions(context, handler)),
        *(each for event, step in context.steps.items() for each in _of_step(context, event, step)),
        *(each for event, to_do in context.tasks.items() for each in _of_to_do(context, event, to_do)),
    ]


def mistakes_of_workers(context: BoundedContext, workers: Workers) -> list[str]:
    """What of those who do the context's tasks does not fit, in words: each task has one, who takes it and gives
    commands and tasks of this context."""
    missing = [f"nobody does {task.TYPE.name}" for task in context.to_do if task not in workers.by_task]
    return [*missing, *(each for task, worker in workers.by_task.items() for each in _of_worker(context, task, worker))]


def _of_aggregate(context: BoundedContext) -> Iterator[str]:
    aggregate: Any = context.aggregate
    if aggregate is None:
        return
    if not issubclass(aggregate, Aggregate):
        yield f"{_word(aggregate)}, the aggregate of {context.name}, is no Aggregate"
    if not getattr(getattr(aggregate, "__dataclass_params__", None), "frozen", False):
        yield f"{_word(aggregate)}, the aggregate of {context.name}, is no frozen dataclass"


def _of_handler(context: BoundedContext, command: type[Command], handler: Handler) -> Iterator[str]:
    if command.TYPE.context != context.name or command not in context.messages:
        yield f"{context.name} handles {command.TYPE.name}, which is no message of it"
    for decide, place in ((handler.missing, 0), (handler.existing, 1)):
        name, parameters, _ = _annotations(decide)
        if not _takes(parameters[place], command):
            yield f"{name} takes {_word(parameters[place])}, and handles {_word(command)}"
    yield from _of_decisions(context, handler)


def _of_decisions(context: BoundedContext, handler: Handler) -> Iterator[str]:
    for decide in (handler.missing, handler.existing):
        name, _, given = _annotations(decide)
        (state,) = get_args(given) or (given,)
        if context.aggregate is None or not _takes(state, context.aggregate):
            yield f"{name} decides on {_word(state)}, and the aggregate of {context.name} is {_word(context.aggregate)}"


def _of_view(context: BoundedContext, query: type[Query], view: View) -> Iterator[str]:
    if query.TYPE.context != context.name or query not in context.messages:
        yield f"{context.name} answers {query.TYPE.name}, which is no message of it"
    if query.TYPE.key_field not in get_type_hints(query):
        yield f"{query.TYPE.name} names no instance: its key is {query.TYPE.key_field!r}"
    name, (state, asked), given = _annotations(view)
    if context.aggregate is None or not _takes(state, context.aggregate):
        yield f"{name} shows {_word(state)}, and the aggregate of {context.name} is {_word(context.aggregate)}"
    if not _takes(asked, query):
        yield f"{name} takes {_word(asked)}, and answers {_word(query)}"
    if not all(each is NoneType or _takes(query.RESULT, each) for each in _alternatives(given)):
        yield f"{name} gives {_word(given)}, and {_word(query)} asks for {_word(query.RESULT)}"


def _of_step(context: BoundedContext, event: type[Event], step: Step) -> Iterator[str]:
    name, (taken, *_), given = _annotations(step)
    if not _takes(taken, event):
        yield f"{name} takes {_word(taken)}, and is a step for {_word(event)}"
    yield from _of_sent(context, name, given)


def _of_to_do(context: BoundedContext, event: type[Event], to_do: ToDo) -> Iterator[str]:
    name, (taken, *_), given = _annotations(to_do)
    if not _takes(taken, event):
        yield f"{name} takes {_word(taken)}, and says what to do for {_word(event)}"
    for each in _members(given):
        if each not in context.to_do or each.TYPE.context != context.name:
            yield f"{name} gives {_word(each)}, which is no task of {context.name}"


def _of_worker(context: BoundedContext, task: type[Task], worker: Callable[..., Any]) -> Iterator[str]:
    name, (taken, *_), given = _annotations(worker)
    if task not in context.to_do:
        yield f"{name} does {_word(task)}, which is no task of {context.name}"
    if not _takes(taken, task):
        yield f"{name} takes {_word(taken)}, and does {_word(task)}"
    for answer in _alternatives(given):
        for each in () if answer is NotYet else _members(answer):
            if each not in context.commands and each not in context.to_do:
                yield f"{name} gives {_word(each)}, which is no command and no task of {context.name}"


def _of_sent(context: BoundedContext, name: str, given: Any) -> Iterator[str]:
    for each in _members(given):
        if each not in context.commands:
            yield f"{name} sends {_word(each)}, which is no command of {context.name}"


def _members(given: Any) -> tuple[Any, ...]:
    """What a sequence is annotated to hold; of `Never` there is none."""
    (held,) = get_args(given) or (given,)
    return tuple(each for each in _alternatives(held) if each is not Never)


def _annotations(function: Callable[..., Any]) -> tuple[str, list[Any], Any]:
    """Its name, and what its parameters and its return are annotated with; `Any` where nothing is said."""
    hints = get_type_hints(function)
    parameters = [hints.get(name, Any) for name in signature(function).parameters]
    return getattr(function, "__qualname__", repr(function)), parameters, hints.get("return", Any)


def _takes(annotated: Any, cls: type[Any]) -> bool:
    return any(each is Any or (isinstance(each, type) and issubclass(cls, each)) for each in _alternatives(annotated))


def _alternatives(annotated: Any) -> tuple[Any, ...]:
    return get_args(annotated) if get_origin(annotated) in (Union, UnionType) else (annotated,)


def _word(annotated: Any) -> str:
    return annotated.__name__ if isinstance(annotated, type) else str(annotated)
