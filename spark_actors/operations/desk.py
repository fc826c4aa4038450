"""The desk of operators: answers and does what the messages of `operations` ask, on the tables of a deployment.

One for both ways to it: a daemon's Ingress has it answer over the broker, and the command line has one of its own where
it knows the databases. It is synchronous; any thread may use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

import msgspec

from spark_actors.application import Application
from spark_actors.cluster.nodes import NodeState
from spark_actors.kernel.messages import Query
from spark_actors.kernel.sagas import SagaState
from spark_actors.messaging.ports import INGRESS, SagaRow
from spark_actors.messaging.unit_of_work import COMMANDS
from spark_actors.operations import messages as of
from spark_actors.operations.acts import ActOnKey, ActOnLetters, Actor, Acts, takers
from spark_actors.operations.audits import Audits
from spark_actors.operations.paging import Line, line_of, page
from spark_actors.persistence import tuning
from spark_actors.persistence.audit import Check, audit
from spark_actors.persistence.cluster_desk import ClusterDesk, KnownNode
from spark_actors.persistence.connections import AUDIT
from spark_actors.persistence.desk_sessions import Sessions, session_of_its_own
from spark_actors.persistence.operator_desk import (
    STATES,
    DeskError,
    KeyFilter,
    Letter,
    LetterFilter,
    OperatorDesk,
    WaitingKey,
)
from spark_actors.persistence.operator_views import Backlog, OperatorViews, SagaCounts, SagaFilter

GROUPS_AT_MOST = 200
"""Groups of letters that are told of one context."""
WORKING = (NodeState.ACTIVE, NodeState.DRAINING, NodeState.DRAINED, NodeState.GONE)
"""States of a node in which nothing is wrong with it."""


Tree: TypeAlias = Callable[[], Mapping[str, Any]]
"""The tree of actors as its root sees it now: the fields of `TreeStatus`."""


class Desk:
    """Answers the messages of `operations`, but for `whoami`. Raises DeskError or StorageError."""

    def __init__(
        self,
        application: Application,
        dsn: Mapping[str, str],
        *,
        release: str = "",
        sessions: Sessions = session_of_its_own,
        tree: Tree | None = None,
    ) -> None:
        """*dsn*: by schema; *tree* only where there is a root to ask."""
        self._tree = tree
        self._application, self._release = application, release
        looked_at = {name: dsn[name] for name in (*(each.name for each in application.writing), INGRESS)}
        self._letters = OperatorDesk(looked_at, sessions)
        self._views = OperatorViews(looked_at, sessions)
        self.acts = Acts(application, self._letters)
        self._cluster = ClusterDesk(dsn[INGRESS], sessions)
        self._contexts: tuple[str, ...] = tuple(looked_at)
        self._audits = Audits(lambda: _audited(application, dsn), lambda: datetime.now(UTC))
        self._answers: Mapping[type[Query], Callable[[Any], object | None]] = {
            of.ViewDeployment: self._overview,
            of.ListContexts: self._context_states,
            of.ListNodes: self._nodes,
            of.ListLetters: self._letter_page,
            of.ShowLetter: self._letter,
            of.GroupLetters: self._groups,
            of.ListKeys: self._key_page,
            of.ListSagas: self._saga_page,
            of.ShowStory: self._story,
            of.ListTasks: self._tasks,
            of.ListActions: self._action_page,
            of.ShowAudit: lambda asked: self._audits.state(is_to_run=asked.is_to_run),
        }

    def act(self, action: ActOnLetters | ActOnKey, actor: Actor, seconds: float) -> of.LettersActed | of.KeyActed:
        """Do what *action* asks, to as many letters as *seconds* allow."""
        if isinstance(action, ActOnKey):
            return self.acts.on_key(action, actor)
        return self.acts.some(action, actor, seconds)

    def answer(self, question: Query) -> Any:
        """What a query asks for; None: there is no such thing. Raises KeyError for what is none of these."""
        return self._answers[type(question)](question)

    # --- the whole ---

    def _overview(self, asked: of.ViewDeployment) -> of.DeploymentOverview:
        lines = tuple(self._waiting(backlog) for backlog in self._views.backlogs())
        seen = self._tree() if self._tree else None
        problems = dict.fromkeys((*(seen["problems"] if seen else ()), *self._problems()))
        return of.DeploymentOverview(
            self._application.name,
            self._release,
            datetime.now(UTC),
            seen["ready"] if seen else None,
            tuple(problems),
            lines,
        )

    def _waiting(self, backlog: Backlog) -> of.ContextOverview:
        is_door = backlog.context == INGRESS
        sagas = SagaCounts(0, 0, 0) if is_door else self._views.saga_counts(backlog.context)
        return of.ContextOverview(
            context=backlog.context,
            outbox_pending=backlog.outbox_pending,
            outbox_oldest_seconds=int(backlog.outbox_oldest_age.total_seconds()),
            missed_events=backlog.missed_events,
            dead_letters=backlog.dead_letters,
            tasks=backlog.tasks,
            parked_keys=backlog.parked_keys,
            parked_messages=backlog.parked_messages,
            parked_oldest_seconds=int(backlog.parked_oldest_age.total_seconds()),
            sagas_running=sagas.running,
            sagas_overdue=sagas.overdue,
            sagas_failed=sagas.failed,
        )

    def _problems(self) -> Iterator[str]:
        nodes = {node.node_id: node for node in self._cluster.nodes()}
        for node in nodes.values():
            if node.state not in WORKING:
                yield f"node {node.name} is {node.state}{f': {node.reason}' if node.reason else ''}"
        places = self._cluster.places()
        if not places:
            yield "no actor has a place"
        for place in places:
            there = nodes.get(place.node_id)
            if there is None or there.state == NodeState.GONE:
                yield f"{place.place} is on a node that is gone"

    def _context_states(self, asked: of.ListContexts) -> of.ContextStates:
        facts = tuple(
            of.ContextFacts(
                context=each.name,
                is_writing=each.is_writing,
                may_lag=each.may_lag,
                saga_kinds=tuple(saga.name for saga in each.context.sagas),
                subscribers=tuple(takers(self._application, each.name)),
            )
            for each in self._application.contexts
        )
        return of.ContextStates(facts, tuple(line for each in facts if each.is_writing for line in self._relays(each)))

    def _relays(self, facts: of.ContextFacts) -> Iterator[of.RelayLine]:
        """Of each subscriber, also of one for which nothing waits."""
        waiting = {each.subscriber: each for each in self._views.subscribers(facts.context)}
        for name in dict.fromkeys((COMMANDS, *facts.subscribers, *waiting)):
            found = waiting.get(name)
            yield of.RelayLine(
                context=facts.context,
                subscriber=name,
                missed_events=found.missed_events if found else 0,
                missed_oldest_seconds=int(found.missed_oldest_age.total_seconds()) if found else 0,
                parked_keys=found.parked_keys if found else 0,
                parked_oldest_seconds=int(found.parked_oldest_age.total_seconds()) if found else 0,
            )

    def _nodes(self, asked: of.ListNodes) -> of.ClusterState:
        nodes = self._cluster.nodes()
        names = {node.node_id: node.name for node in nodes}
        return of.ClusterState(
            tuple(map(_node_line, nodes)),
            tuple(of.PlaceLine(**vars(each), node=names.get(each.node_id, "")) for each in self._cluster.places()),
            tuple(_actor_line(each, names) for each in (self._tree()["actors"] if self._tree else ())),
        )

    # --- dead letters ---

    def _letter_page(self, asked: of.ListLetters) -> of.LetterPage:
        if asked.state and asked.state not in STATES:
            raise DeskError(f"state: expected {', '.join(STATES)} or nothing, got {asked.state!r}")
        contexts = self._chosen(asked.context)
        bounds = tuple(self._bound(name) for name in contexts)
        wanted = LetterFilter(
            state=asked.state or None,
            cause=asked.cause or None,
            reason=asked.reason or None,
            name=asked.name or None,
            key=asked.instance or None,
            subscriber=asked.subscriber or None,
            since=asked.since,
        )

        def read(context: str, limit: int, after: Any) -> Sequence[Letter]:
            return self._letters.letters(context, wanted, limit=limit, after=after, has_bodies=asked.has_bodies)

        found, following = page(
            contexts, asked.limit, line_of(asked.after, int), read, _place_of_letter, newest_first=True
        )
        return of.LetterPage(tuple(map(self._shown, found)), following, bounds)

    def _bound(self, context: str) -> of.LetterBound:
        died_until, up_to = self._letters.letter_bound(context)
        return of.LetterBound(context, up_to, died_until)

    def _letter(self, asked: of.ShowLetter) -> of.LetterLine | None:
        self._check(asked.context, self._contexts)
        found = self._letters.letters(asked.context, LetterFilter(letter_id=asked.letter_id), limit=1)
        return self._shown(found[0]) if found else None

    def _shown(self, letter: Letter) -> of.LetterLine:
        body = self._application.scrubber.shown(letter.name, letter.body) if letter.body else ""
        return of.LetterLine(**{**vars(letter), "body": body})

    def _groups(self, asked: of.GroupLetters) -> of.LetterGroups:
        groups: list[of.LetterGroup] = []
        is_whole = True
        for name in self._chosen(asked.context):
            counts = self._letters.letter_counts(name, most=tuning.COUNT_LIMIT, limit=GROUPS_AT_MOST + 1)
            is_whole &= len(counts) <= GROUPS_AT_MOST and sum(each.letters for each in counts) < tuning.COUNT_LIMIT
            groups += [of.LetterGroup(context=name, **vars(each)) for each in counts[:GROUPS_AT_MOST]]
        return of.LetterGroups(tuple(groups), is_whole)

    # --- keys, stories, tasks, actions ---

    def _key_page(self, asked: of.ListKeys) -> of.KeyPage:
        wanted = KeyFilter(asked.subscriber or None, asked.instance or None, asked.state or None, asked.reason or None)

        def read(context: str, limit: int, after: Any) -> Sequence[WaitingKey]:
            return self._letters.keys(context, wanted, limit=limit, after=after)

        def place(key: WaitingKey) -> Line:
            return Line(key.since, key.context, (key.subscriber, key.key))

        contexts = self._chosen(asked.context, have_keys=True)
        found, following = page(contexts, asked.limit, line_of(asked.after, str, str), read, place, newest_first=False)
        return of.KeyPage(tuple(of.KeyLine(**vars(each)) for each in found), following)

    def _saga_page(self, asked: of.ListSagas) -> of.SagaPage:
        after = line_of(asked.after, str, str, str)
        found, following = self._sagas(
            SagaFilter(saga_id=asked.saga_id or None, state=_saga_state(asked.state), overdue=asked.is_overdue),
            kind=asked.kind,
            limit=asked.limit,
            after=after,
        )
        return of.SagaPage(tuple(found), following)

    def _story(self, asked: of.ShowStory) -> of.Story | None:
        wanted = SagaFilter(saga_id=asked.saga_id)
        found, _ = self._sagas(wanted, kind=asked.kind, limit=asked.limit, after=None)
        timelines = tuple(self._timeline(each.correlation_id) for each in found)
        return of.Story(tuple(found), timelines) if found else None

    def _sagas(self, wanted: SagaFilter, *, kind: str, limit: int, after: Line | None) -> tuple[list[of.SagaLine], str]:
        """Raises DeskError for a kind that nobody knows."""
        kinds = {each.name: [saga.name for saga in each.context.sagas] for each in self._application.writing}
        contexts = [name for name, known in kinds.items() if not kind or kind in known]
        if not contexts:
            told = ", ".join(sorted(name for known in kinds.values() for name in known))
            raise DeskError(f"there are no sagas of the kind {kind!r}: there are {told}")

        def read(context: str, most: int, behind: Any) -> list[of.SagaLine]:
            # The key of the table begins with the kind: an id is found by it alone.
            named = [kind] if kind else kinds[context] if wanted.saga_id else None
            asked = SagaFilter(named, wanted.saga_id, wanted.state, wanted.overdue)
            rows: Sequence[SagaRow] = self._views.sagas(context, asked, limit=most, after=behind)
            return [of.SagaLine(context=context, **vars(row)) for row in rows]

        def place(line: of.SagaLine) -> Line:
            return Line(line.started_at, line.context, (line.kind, line.saga_id, line.correlation_id))

        return page(contexts, limit, after, read, place, newest_first=True)

    def _timeline(self, correlation_id: str) -> of.Question:
        if self._application.timeline is None:
            return of.Question("", {})
        query = self._application.timeline(correlation_id)
        return of.Question(query.TYPE.name, cast("dict[str, Any]", msgspec.to_builtins(query)))

    def _tasks(self, asked: of.ListTasks) -> of.TaskList:
        lines = [
            of.TaskLine(context=name, **vars(row))
            for name in self._chosen(asked.context, have_keys=True)
            for row in self._views.tasks(name, key=asked.instance or None, failing=asked.is_failing, limit=asked.limit)
        ]
        return of.TaskList(tuple(sorted(lines, key=lambda line: line.since)[: asked.limit]))

    def _action_page(self, asked: of.ListActions) -> of.ActionPage:
        def read(context: str, limit: int, after: Any) -> Sequence[Mapping[str, Any]]:
            return self._letters.actions(context, limit=limit, after=after)

        def place(row: Mapping[str, Any]) -> Line:
            return Line(row["acted_at"], row["context"], (row["action_id"], row["place"]))

        after = line_of(asked.after, int, int)
        found, following = page(self._chosen(asked.context), asked.limit, after, read, place, newest_first=True)
        lines = [{name: value for name, value in row.items() if name not in ("action_id", "place")} for row in found]
        return of.ActionPage(tuple(of.ActionLine(**line) for line in lines), following)

    def _chosen(self, context: str, *, have_keys: bool = False) -> tuple[str, ...]:
        """The context that is named, or all. Raises DeskError for one that there is not."""
        known = tuple(name for name in self._contexts if not have_keys or name != INGRESS)
        if not context:
            return known
        self._check(context, known)
        return (context,)

    @staticmethod
    def _check(context: str, known: tuple[str, ...]) -> None:
        if context not in known:
            raise DeskError(f"context: expected one of {', '.join(known)}, got {context!r}")


def _place_of_letter(letter: Letter) -> Line:
    return Line(letter.died_at, letter.context, (letter.letter_id,))


def _saga_state(word: str) -> SagaState | None:
    """Raises DeskError."""
    if word not in ("", *SagaState):
        raise DeskError(f"state: expected {', '.join(SagaState)} or nothing, got {word!r}")
    return SagaState(word) if word else None


def _audited(application: Application, dsn: Mapping[str, str]) -> Sequence[Check]:
    own = application.audit and application.audit()
    return audit(dsn, [each.name for each in application.writing], own, limits=AUDIT)


def _node_line(node: KnownNode) -> of.NodeLine:
    rounded = {"silent_seconds": _whole(node.silent_seconds), "cpu_percent": _whole(node.cpu_percent)}
    return of.NodeLine(**{**vars(node), **rounded})


def _actor_line(actor: Mapping[str, Any], names: Mapping[str, str]) -> of.ActorLine:
    node = names.get(actor["node"], actor["node"])
    return of.ActorLine(actor["actor"], node, actor["release"], actor["pid"], tuple(actor["problems"]))


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)
