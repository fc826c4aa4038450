"""What an application brings to the runtime: one value, which a setting names.

The runtime asks nothing else of it, and knows no word of its business. Whoever writes one reads this file, the kernel
and the how-to in `docs/`.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spark_actors.kernel.context import BoundedContext, mistakes, mistakes_of_workers
from spark_actors.kernel.errors import SparkError
from spark_actors.kernel.messages import Bearer, MessageRegistry, Query
from spark_actors.kernel.tasks import Workers
from spark_actors.messaging.crash_points import PassPoint, pass_unharmed
from spark_actors.messaging.examples import Examples
from spark_actors.messaging.ports import INGRESS, QueryHandlers
from spark_actors.messaging.scrubbing import Scrubber
from spark_actors.operations.messages import MESSAGES as OF_THE_RUNTIME
from spark_actors.operations.messages import OPERATIONS
from spark_actors.persistence.tables import AggregateTable, documents

if TYPE_CHECKING:
    import typer

    from spark_actors.actors.context import EventHandler
    from spark_actors.actors.loop import Loop
    from spark_actors.identity.tokens import TokenIssuer
    from spark_actors.messaging.ports import Clock, CommandSender, Telemetry
    from spark_actors.persistence.audit import OwnAudit
    from spark_actors.persistence.connections import Pool
    from spark_actors.web.pages import Pages


class ApplicationError(SparkError):
    """An application cannot be loaded, or its parts do not fit together."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"application {self.name}: {self.reason}"


class Edge(Protocol):
    """What the runtime gives a context's adapters to work with, in the process in which they work.

    There is no folder: that process may be on another machine the next time, and for a moment on two.
    """

    @property
    def settings(self) -> Any:
        """Those of the application: of the class that it names."""

    @property
    def clock(self) -> Clock: ...
    @property
    def sender(self) -> CommandSender:
        """Sends commands to aggregates."""

    @property
    def telemetry(self) -> Telemetry: ...
    @property
    def pass_point(self) -> PassPoint: ...
    @property
    def tokens(self) -> TokenIssuer:
        """Makes tokens that the deployment believes."""

    async def pool(self) -> Pool:
        """Connections to the context's own database; closed when the process ends in order."""

    def at_end(self, close: Callable[[], object]) -> None:
        """Have this called when the process ends in order; awaited if it gives something to await."""


class Wrapping:
    """What the processes of a daemon are wrapped with: nothing. Another one may make them fail, to see what follows."""

    pass_point: PassPoint = staticmethod(pass_unharmed)

    def clock(self, clock: Clock) -> Clock:
        return clock

    def context(self, context: BoundedContext) -> BoundedContext:
        return context


def nothing_to_add(app: typer.Typer) -> None:
    """The command line stays as it is."""


def unwrapped(data_dir: Path) -> Wrapping:
    """As a daemon is that is to work."""
    return Wrapping()


@dataclass(frozen=True)
class Reactions:
    """What a context does about events, beside its sagas and its tasks, and works at on its own."""

    parts: Sequence[EventHandler] = ()
    loops: Sequence[Loop] = ()
    warnings: Callable[[], Sequence[str]] = tuple
    """What operators should see to though all works: `spark-actors status` shows it, and nothing waits for it."""


@dataclass(frozen=True, kw_only=True)
class InstalledContext:
    """A bounded context with what it has at its edge. Its functions are called only in the processes that need them."""

    context: BoundedContext
    configured: Callable[[Any], BoundedContext] | None = None
    """Gives the context as the settings, of the class that the application names, make it: its messages, sagas and
    rules are the same, and its handlers decide by what is set. None: it is the same whatever they say."""
    table: AggregateTable[Any] | None = None
    """How its aggregate lies in Postgres; None for a context without commands, or with no table of its own."""
    unique: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For a context without a table of its own: rules of its domain by their names, each the fields of which no two
    instances have the same values."""
    migrations: str = ""
    """The package whose folder `migrations` holds the history of its tables; empty if it has none."""
    workers: Callable[[Edge], Awaitable[Workers]] | None = None
    """Who does its durable tasks; None if it has none."""
    reactions: Callable[[Edge], Awaitable[Reactions]] | None = None
    answers: Callable[[Edge], Awaitable[QueryHandlers]] | None = None
    """Who answers those of its queries that its `views` do not."""
    harmless: Collection[str] | None = None
    """For a context whose messages have to do with passwords: the fields that hold none. Of what is refused for it only
    these are kept. None for others."""
    take_over: Callable[[Path, str], None] | None = None
    """Called with the data dir and the context's DSN whenever a daemon starts, when its tables are up to date and
    before any of its actors is there: brings into Postgres what a former release kept in files of that folder."""
    may_lag: bool = False
    """Whether it only keeps read models: under load these come last, in fewer and larger batches."""

    @property
    def name(self) -> str:
        return self.context.name

    def as_set(self, settings: Any) -> BoundedContext:
        """The context that is run under these settings."""
        return self.configured(settings) if self.configured else self.context

    @cached_property
    def stored(self) -> AggregateTable[Any] | None:
        """How its aggregate is stored: in its own table, or else as documents. None if it has no commands."""
        if self.table is None and self.context.aggregate and self.is_writing:
            return documents(self.name, self.context.aggregate, self.unique)
        return self.table

    @property
    def is_writing(self) -> bool:
        """Whether it has aggregates, and with them an inbox, an outbox and sagas."""
        return bool(self.context.commands)


@dataclass(frozen=True, kw_only=True)
class Application:
    """Everything that one application is. Raises ApplicationError if its parts do not fit together.

    What its functions import, they import when they are called: each process pays for what it imports.
    """

    name: str
    contexts: tuple[InstalledContext, ...]
    settings: Callable[[], type[Any]] | None = None
    """Gives a subclass of the runtime's `Settings` with groups of its own; None: it has none."""
    defaults: Path | None = None
    """A TOML file that documents those groups with their defaults."""
    example_words: Mapping[str, object] = field(default_factory=dict)
    """Plausible values of fields, by their names, for the examples of messages."""
    audit: Callable[[], OwnAudit] | None = None
    units: tuple[str, ...] = ()
    """Ends of fields' names that are units: `amount_<unit>`."""
    timeline: Callable[[str], Query] | None = None
    """The query for the events of one story, by its correlation id; its answer has them as `lines`."""
    add_commands: Callable[[typer.Typer], None] = nothing_to_add
    """Adds its commands to the command line."""
    wrapping: Callable[[Path], Wrapping] = unwrapped
    """Gives, for the data dir, what its processes are wrapped with."""
    pages: Callable[[], Pages] | None = None
    """Gives its web pages; None: it has none of its own."""

    def __post_init__(self) -> None:
        names = [each.name for each in self.contexts]
        if twice := {name for name in names if names.count(name) > 1 or name in (INGRESS, OPERATIONS)}:
            raise ApplicationError(self.name, f"two contexts, or the runtime's own too, are called {min(twice)}")
        for each in self.contexts:
            self._check(each)

    def _check(self, installed: InstalledContext) -> None:
        if installed.table and not installed.is_writing:
            raise ApplicationError(self.name, f"{installed.name}: it has a table, and no commands that fill it")
        if bool(installed.context.to_do) != (installed.workers is not None):
            raise ApplicationError(self.name, f"{installed.name}: its tasks and who does them do not both exist")
        if wrong := mistakes(installed.context):
            raise ApplicationError(self.name, f"{installed.name}: {'; '.join(wrong)}")
        views = installed.context.views
        if not installed.answers:
            for each in installed.context.messages:
                if issubclass(each, Query) and each not in views:
                    raise ApplicationError(self.name, f"{installed.name}: nobody answers {each.TYPE.name}")
        rules = {rule.name for rule in installed.stored.rules} if installed.stored else set()
        if unknown := rules ^ installed.context.refusals.keys():
            told = ", ".join(sorted(unknown))
            raise ApplicationError(
                self.name, f"{installed.name}: not both a rule of the table and a refusal of the domain: {told}"
            )

    @cached_property
    def writing(self) -> tuple[InstalledContext, ...]:
        """The contexts with aggregates."""
        return tuple(each for each in self.contexts if each.is_writing)

    @cached_property
    def schemas(self) -> tuple[str, ...]:
        """Every schema that keeps tables: one a context, and that of the ingress."""
        return (*(each.name for each in self.contexts), INGRESS)

    def installed(self, name: str) -> InstalledContext:
        """The context of this name. Raises KeyError."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> Mapping[str, InstalledContext]:
        return {each.name: each for each in self.contexts}

    def take_over(self, data_dir: Path, dsn: Mapping[str, str]) -> None:
        """Have each context take over what former releases have left in the data dir; *dsn*: by schema."""
        for each in self.contexts:
            if each.take_over:
                each.take_over(data_dir, dsn[each.name])

    async def workers_of(self, name: str, edge: Edge) -> Workers:
        """Who does the tasks of this context. Raises ApplicationError if they do not fit the tasks; KeyError."""
        installed = self.installed(name)
        workers = await installed.workers(edge) if installed.workers else Workers({})
        if wrong := mistakes_of_workers(installed.context, workers):
            raise ApplicationError(self.name, f"{name}: {'; '.join(wrong)}")
        return workers

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """Those of its own that messages ask for, beside user and operator."""
        asked = (message.TYPE.sent_by for message in self.registry)
        return tuple(sorted({each.role for each in asked if isinstance(each, Bearer)}))

    @property
    def scrubber(self) -> Scrubber:
        return Scrubber({each.name: each.harmless for each in self.contexts if each.harmless is not None})

    @property
    def examples(self) -> Examples:
        return Examples(self.example_words)

    @property
    def bounded_contexts(self) -> tuple[BoundedContext, ...]:
        return tuple(each.context for each in self.contexts)

    @cached_property
    def registry(self) -> MessageRegistry:
        """Every message of every context and of the runtime, and how older versions of them are read."""
        return MessageRegistry(
            (*(message for context in self.bounded_contexts for message in context.messages), *OF_THE_RUNTIME),
            (upcaster for context in self.bounded_contexts for upcaster in context.upcasters),
        )


def load_application(path: str) -> Application:
    """The application that `package.module:NAME` stands for. Raises ApplicationError."""
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ApplicationError(path, f"there is none of that name ({error})") from error
    if not isinstance(found, Application):
        raise ApplicationError(path, f"it is none but of type {type(found).__name__}")
    return found
