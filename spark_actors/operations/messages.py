"""What can be asked and done at the desk of operators: the messages of the runtime's own context, `operations`.

Queries are for operators and readers, actions for operators alone; who acts is what the token says. Every answer is
bounded: a list goes on where its `next` says, which is the `after` of the same question asked again, and ends with an
empty one. Spans of time are whole seconds. Counts stop at 100,000, or where a field says so.

Each action says why, which is kept with it. Under the same `request_id` it takes effect once, however often it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeAlias

from spark_actors.kernel.bounds import Between, Characters
from spark_actors.kernel.messages import Action, Message, Query, Sender, action, query
from spark_actors.kernel.sagas import SagaState

OPERATIONS = "operations"
"""The context; no application has one of this name."""
LETTERS_AT_ONCE = 200
"""Letters, and lines of other lists, in one answer at most."""

Name: TypeAlias = Annotated[str, Characters(400)]
Text: TypeAlias = Annotated[str, Characters(2_000, has_lines=True)]
Body: TypeAlias = Annotated[str, Characters(200_000, has_lines=True)]
Place: TypeAlias = Annotated[str, Characters(8_000)]
"""Where a list goes on: what its `next` was. Empty: at the beginning."""
Limit: TypeAlias = Annotated[int, Between(1, LETTERS_AT_ONCE)]
Why: TypeAlias = Annotated[str, Characters(1_000, pattern=r"^\s*\S.*$", told_as="a reason in one line")]


# --- who asks ---


@dataclass(frozen=True)
class WhoYouAre:
    """What a token says of its bearer, and is believed."""

    name: Name
    """What the log of actions calls them."""
    subject: Name
    roles: tuple[Name, ...]
    expires_at: datetime


@query("operations.whoami", result=WhoYouAre, sent_by=Sender.KNOWN)
@dataclass(frozen=True)
class WhoAmI(Query):
    """Ask who one is by one's token, which roles one has, and until when."""


# --- the whole ---


@dataclass(frozen=True)
class ContextOverview:
    """What waits in one context, or of what the door refused (`ingress`)."""

    context: Name
    outbox_pending: int
    outbox_oldest_seconds: int
    missed_events: int
    """By subscribers that are away or far behind; each counts on its own."""
    dead_letters: int
    """Those that wait for an operator."""
    tasks: int
    """Durable tasks that could be done now."""
    parked_keys: int
    parked_messages: int
    parked_oldest_seconds: int
    sagas_running: int
    sagas_overdue: int
    """Of those running."""
    sagas_failed: int
    """Of those that began within the last day."""


@dataclass(frozen=True)
class DeploymentOverview:
    """How the deployment is."""

    application: Name
    release: Name
    at: datetime
    is_ready: bool | None
    """Whether all actors can do their work, as the root says; none: nobody was there to be asked."""
    problems: tuple[Text, ...]
    """What keeps it from doing all its work, as the root and the tables say."""
    contexts: tuple[ContextOverview, ...]


@query("operations.overview", result=DeploymentOverview, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ViewDeployment(Query):
    """Ask how the deployment is and what waits where."""


@dataclass(frozen=True)
class ContextFacts:
    """A bounded context of the application."""

    context: Name
    is_writing: bool
    """Whether it has aggregates: an inbox, an outbox and keys that may wait."""
    may_lag: bool
    saga_kinds: tuple[Name, ...]
    subscribers: tuple[Name, ...]
    """The contexts that take its events."""


@dataclass(frozen=True)
class RelayLine:
    """What of one context's events one subscriber, or `commands` of its aggregates, has not had."""

    context: Name
    subscriber: Name
    missed_events: int
    missed_oldest_seconds: int
    parked_keys: int
    parked_oldest_seconds: int


@dataclass(frozen=True)
class ContextStates:
    """The contexts, and the ways of events between them."""

    contexts: tuple[ContextFacts, ...]
    relays: tuple[RelayLine, ...]


@query("operations.contexts", result=ContextStates, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ListContexts(Query):
    """Ask which contexts there are, who takes whose events, and how far behind each is."""


@dataclass(frozen=True)
class NodeLine:
    """A node of the cluster."""

    node_id: Name
    name: Name
    address: Name
    release: Name
    python: Name
    state: Name
    reason: Text
    since: datetime
    joined_at: datetime
    silent_seconds: int | None
    """Since its last heartbeat; none: it sends none."""
    pid: int | None
    metrics_url: Text
    cpu_percent: int | None
    memory_bytes: int | None
    slots: int
    actors: int


@dataclass(frozen=True)
class PlaceLine:
    """Where an actor is to live, as it is written."""

    place: Name
    incarnation: int
    """Of the actor that fills it: how many were made for it."""
    node_id: Name
    node: Name
    since: datetime
    wanted_node: Name
    """Where an operator wishes it to be; empty: wherever."""


@dataclass(frozen=True)
class ActorLine:
    """An actor that lives, as the root knows it."""

    actor: Name
    node: Name
    release: Name
    pid: int
    problems: tuple[Text, ...]
    """Why it cannot do its work just now; empty when it can."""


@dataclass(frozen=True)
class ClusterState:
    """The machines and what lives where."""

    nodes: tuple[NodeLine, ...]
    places: tuple[PlaceLine, ...]
    actors: tuple[ActorLine, ...]
    """None if the root was not there to be asked."""


@query("operations.nodes", result=ClusterState, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ListNodes(Query):
    """Ask which machines there are, and which actor lives on which."""


# --- dead letters ---


@dataclass(frozen=True)
class LetterLine:
    """A dead letter."""

    context: Name
    """Whose outbox or aggregates it is from, or `ingress`."""
    letter_id: int
    message_id: Text
    """Empty if it could not be read."""
    name: Text
    """Of the message; of what the door refused, the subject that it came on."""
    version: int
    key: Text
    subscriber: Name
    """Who could not take it: a context, `commands` or `ingress`."""
    reason: Text
    attempts: int
    state: Name
    """waiting, retried, edited or discarded: what was done about it last."""
    died_at: datetime
    occurred_at: datetime | None
    handled_at: datetime | None
    edited_into: Text
    """The id of the message that took its place."""
    correlation_id: Text
    causation_id: Text
    body: Body
    """Its content as text, with `***` for what is secret; empty where it was not asked for."""


@dataclass(frozen=True)
class LetterBound:
    """How far a look at one context's letters went: what dies later is beyond it."""

    context: Name
    up_to: int
    """The newest letter's number; 0 without any."""
    died_until: datetime
    """When the last one died."""


@dataclass(frozen=True)
class LetterPage:
    """Dead letters, the newest first."""

    letters: tuple[LetterLine, ...]
    next: Place
    bounds: tuple[LetterBound, ...]


@query("operations.letters", result=LetterPage, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ListLetters(Query):
    """Ask for dead letters, the newest first; an empty filter lets everything through."""

    context: Name = ""
    state: Name = "waiting"
    """waiting, retried, edited, discarded; empty: all."""
    cause: Name = ""
    """The first word of the reason, as groups have it."""
    reason: Text = ""
    """What the reason begins with."""
    name: Text = ""
    instance: Text = ""
    subscriber: Name = ""
    since: datetime | None = None
    has_bodies: bool = False
    """Whether the content of each is wanted, too."""
    limit: Limit = 50
    after: Place = ""


@query("operations.letter", result=LetterLine, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ShowLetter(Query):
    """Ask for one dead letter with its content."""

    context: Name
    letter_id: int


@dataclass(frozen=True)
class LetterGroup:
    """Dead letters that wait and are alike."""

    context: Name
    cause: Name
    """The first word of their reasons."""
    name: Text
    subscriber: Name
    letters: int
    first_died_at: datetime
    last_died_at: datetime
    up_to: int
    """The newest one's number. With `died_until` = `last_died_at` it bounds an action to what was seen."""


@dataclass(frozen=True)
class LetterGroups:
    """Groups, of each context those with the most letters first."""

    groups: tuple[LetterGroup, ...]
    is_whole: bool
    """Whether all letters that wait were counted, and all groups are here."""


@query("operations.letter-groups", result=LetterGroups, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class GroupLetters(Query):
    """Ask for the dead letters that wait, in groups by cause, message and subscriber."""

    context: Name = ""


@dataclass(frozen=True)
class LetterResult:
    """What became of one letter."""

    context: Name
    letter_id: int
    message_id: Text
    result: Text
    """released, handled before, discarded, edited into …, done before; of one that was sent to the door again, how
    that ended. Empty if nothing was done."""
    code: Name
    """Why nothing was done: refused, forgotten, usage, unknown_outcome, unavailable; empty if something was."""
    problem: Text


@dataclass(frozen=True)
class LettersActed:
    """What became of the letters, the oldest first."""

    results: tuple[LetterResult, ...]
    next: Place
    """Where to go on; empty when there are no more."""
    stopped: Text
    """Why it went no further than this; empty if nothing stood in the way."""


@action("operations.retry-letters", result=LettersActed)
@dataclass(frozen=True)
class RetryLetters(Action):
    """Have messages handled again, as the first of their keys; what the door refused is sent to it again."""

    context: Name
    letter_ids: tuple[int, ...]
    why: Why
    is_even_if_old: bool = False
    """Also what is older than the inbox remembers, which might take effect twice."""
    request_id: str = ""


@action("operations.retry-matching-letters", result=LettersActed)
@dataclass(frozen=True)
class RetryMatchingLetters(Action):
    """Have all messages handled again that match, wait, and were dead when somebody looked; `next` says if more are."""

    context: Name
    up_to: int
    died_until: datetime
    why: Why
    cause: Name = ""
    reason: Text = ""
    name: Text = ""
    instance: Text = ""
    subscriber: Name = ""
    since: datetime | None = None
    is_even_if_old: bool = False
    request_id: str = ""
    limit: Limit = LETTERS_AT_ONCE
    after: Place = ""


@action("operations.discard-letters", result=LettersActed)
@dataclass(frozen=True)
class DiscardLetters(Action):
    """Give messages up for good; what waits behind them goes on without them."""

    context: Name
    letter_ids: tuple[int, ...]
    why: Why
    request_id: str = ""


@action("operations.discard-matching-letters", result=LettersActed)
@dataclass(frozen=True)
class DiscardMatchingLetters(Action):
    """Give all messages up that match, wait, and were dead when somebody looked; `next` says if more are."""

    context: Name
    up_to: int
    died_until: datetime
    why: Why
    cause: Name = ""
    reason: Text = ""
    name: Text = ""
    instance: Text = ""
    subscriber: Name = ""
    since: datetime | None = None
    request_id: str = ""
    limit: Limit = LETTERS_AT_ONCE
    after: Place = ""


@action("operations.edit-letter", result=LettersActed)
@dataclass(frozen=True)
class EditLetter(Action):
    """Have a corrected message, under a new id, take the place of one that failed; it is checked like any other."""

    context: Name
    letter_id: int
    why: Why
    changes: dict[str, Any] | None = None
    """Fields with their new values; the others stay."""
    content: dict[str, Any] | None = None
    """The whole content instead; of what the door refused, the whole event."""
    request_id: str = ""


# --- keys that wait ---


@dataclass(frozen=True)
class KeyLine:
    """A key whose messages wait."""

    context: Name
    subscriber: Name
    key: Text
    state: Name
    """parked: its first message failed; paused: by an operator; released: being worked off."""
    reason: Text
    since: datetime
    by: Name
    messages: int
    """How many wait; counting stops at 10,000."""
    first_message_id: Text
    """Of the one that waits in front; empty if none does."""


@dataclass(frozen=True)
class KeyPage:
    """Keys that wait, the longest first."""

    keys: tuple[KeyLine, ...]
    next: Place


@query("operations.keys", result=KeyPage, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ListKeys(Query):
    """Ask for keys whose messages wait, the longest first; an empty filter lets everything through."""

    context: Name = ""
    subscriber: Name = ""
    """`commands`, or the context that events wait for."""
    instance: Text = ""
    state: Name = ""
    reason: Text = ""
    """What the reason begins with."""
    limit: Limit = 50
    after: Place = ""


@dataclass(frozen=True)
class KeyActed:
    """What became of a key."""

    context: Name
    subscriber: Name
    key: Text
    state: Name
    """paused or released."""
    skipped: Text
    """The id of the message that was given up; empty if none was."""


@action("operations.pause-key", result=KeyActed)
@dataclass(frozen=True)
class PauseKey(Action):
    """Have the messages of a key wait, durably and in order, until it is resumed."""

    context: Name
    instance: Text
    why: Why
    subscriber: Name = "commands"
    request_id: str = ""


@action("operations.resume-key", result=KeyActed)
@dataclass(frozen=True)
class ResumeKey(Action):
    """Have what waits for a key handled in order, the message that failed first of all."""

    context: Name
    instance: Text
    why: Why
    subscriber: Name = "commands"
    is_even_if_old: bool = False
    """Also events that are older than what the inbox remembers, which might take effect twice."""
    request_id: str = ""


@action("operations.skip-key", result=KeyActed)
@dataclass(frozen=True)
class SkipKey(Action):
    """Give the first message that waits for a key up for good, and have the rest handled."""

    context: Name
    instance: Text
    why: Why
    subscriber: Name = "commands"
    first_message: Text = ""
    """The id of the one that was seen in front: if another is there now, nothing is done. Empty: whichever it is."""
    is_even_if_old: bool = False
    request_id: str = ""


# --- stories, tasks, actions ---


@dataclass(frozen=True)
class SagaLine:
    """A story of a saga, and how far it has come."""

    context: Name
    kind: Name
    saga_id: Text
    step: Name
    state: SagaState
    last_event: Name
    correlation_id: Text
    started_at: datetime
    deadline_at: datetime
    updated_at: datetime
    overdue_since: datetime | None
    """When the alarm was raised, if it was running past its deadline."""


@dataclass(frozen=True)
class SagaPage:
    """Stories, the newest first."""

    sagas: tuple[SagaLine, ...]
    next: Place


@query("operations.sagas", result=SagaPage, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ListSagas(Query):
    """Ask for the stories of sagas, the newest first; an empty filter lets everything through."""

    kind: Name = ""
    state: Name = ""
    """running, completed or failed."""
    is_overdue: bool = False
    """Only those that run past their deadline."""
    saga_id: Text = ""
    limit: Limit = 50
    after: Place = ""


@dataclass(frozen=True)
class Question:
    """A query of the application, to be asked next."""

    query: Name
    """Wire name; empty: there is none."""
    data: dict[str, Any]


@dataclass(frozen=True)
class Story:
    """The stories of one saga, the newest first: it has one, unless its id was used again."""

    sagas: tuple[SagaLine, ...]
    timelines: tuple[Question, ...]
    """For each: what to ask for its events, in order."""


@query("operations.story", result=Story, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ShowStory(Query):
    """Ask for the stories of one saga."""

    kind: Name
    saga_id: Text
    limit: Limit = 20


@dataclass(frozen=True)
class TaskLine:
    """Something that is to be done outside or later."""

    context: Name
    task_id: Text
    name: Name
    key: Text
    since: datetime
    """From when on it is to be done."""
    due_at: datetime
    """When it is tried next."""
    attempts: int
    problem: Text
    correlation_id: Text


@dataclass(frozen=True)
class TaskList:
    """Durable tasks, those to be done for the longest time first."""

    tasks: tuple[TaskLine, ...]


@query("operations.tasks", result=TaskList, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ListTasks(Query):
    """Ask for durable tasks, those to be done for the longest time first; an empty filter lets everything through."""

    context: Name = ""
    instance: Text = ""
    is_failing: bool = False
    """Only those with which something was wrong."""
    limit: Annotated[int, Between(1, 10_000)] = 50


@dataclass(frozen=True)
class ActionLine:
    """What an operator has done."""

    context: Name
    acted_at: datetime
    who: Name
    why: Text
    action: Name
    subscriber: Name
    key: Text
    message_id: Text
    detail: Text


@dataclass(frozen=True)
class ActionPage:
    """What operators have done, the newest first."""

    actions: tuple[ActionLine, ...]
    next: Place


@query("operations.actions", result=ActionPage, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ListActions(Query):
    """Ask what operators have done by hand, to letters, keys, nodes and aggregates, and why."""

    context: Name = ""
    limit: Limit = 50
    after: Place = ""


# --- the books ---


@dataclass(frozen=True)
class FindingLine:
    """Something that is wrong."""

    subject: Text
    detail: Text


@dataclass(frozen=True)
class CheckLine:
    """One question of the audit, and what speaks against it."""

    name: Text
    is_passed: bool
    findings: tuple[FindingLine, ...]
    """The first few. There may be some that are no fault, only worth a look."""


@dataclass(frozen=True)
class AuditState:
    """The last audit that this desk knows of, since it began its work."""

    is_running: bool
    started_at: datetime | None
    ended_at: datetime | None
    """Of the last one that has ended; none: there was none."""
    is_passed: bool | None
    problem: Text
    """Why it could not be made; empty if it could."""
    checks: tuple[CheckLine, ...]


@query("operations.audit", result=AuditState, sent_by=Sender.OPERATOR)
@dataclass(frozen=True)
class ShowAudit(Query):
    """Ask for the last audit. It only reads, so who may look may have one made: one at a time, not again at once."""

    is_to_run: bool = False
    """Have one made now, and look again for what it found; one that has just ended is given instead."""


MESSAGES: tuple[type[Message], ...] = (
    *(WhoAmI, ViewDeployment, ListContexts, ListNodes),
    *(ListLetters, GroupLetters, ShowLetter, ListKeys, ListSagas, ShowStory, ListTasks, ListActions, ShowAudit),
    *(RetryLetters, RetryMatchingLetters, DiscardLetters, DiscardMatchingLetters, EditLetter),
    *(PauseKey, ResumeKey, SkipKey),
)
