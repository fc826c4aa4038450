"""Who may send what: a sender, as its token names it, against what each message says of its senders. Pure.

A message declares it in the domain (`sent_by`); what declares nothing is for operators alone. Ids are the senders'
own: a command from outside is known by who sent it, from which source, under which id. So nobody can use up an id (of
another sender's command, or of a saga's next step, which can be computed) before its owner does, and two producers of
one sender may both number from 1. In the same way nobody joins the story of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from hashlib import sha1, sha256
from typing import Protocol

import msgspec

from spark_actors.kernel.messages import Bearer, Command, Event, MessageRegistry, OwnerOf, Query, Sender, SentBy
from spark_actors.messaging.cloudevents import AUTHORIZATION_HEADER, command_subject, parted, query_subject
from spark_actors.messaging.door import Admitted, RefusedError
from spark_actors.messaging.envelope import Envelope

UNAUTHENTICATED, FORBIDDEN, WHY_REQUIRED = "unauthenticated", "forbidden", "why_required"

_SOURCE_BYTES = 200
"""Of a source that stands in an identity as it is; a longer one is known by its digest."""


class Role(StrEnum):
    """What a token allows its bearer; an application has roles of its own beside these."""

    USER = "user"  # acts for the account that the token's subject names
    READER = "reader"  # asks what operators may ask, and does nothing
    OPERATOR = "operator"  # everything


@dataclass(frozen=True)
class Principal:
    """Who has sent a message."""

    subject: str
    """For a user: the account. Without spaces."""
    roles: frozenset[str]
    good_until: float = field(default=0.0, compare=False)
    """When the token ends, in Unix seconds; 0 without one."""

    @property
    def is_known(self) -> bool:
        return bool(self.roles)

    @property
    def is_trusted(self) -> bool:
        """Whether somebody has given this token out to act with, other than to whoever signs up."""
        return not self.roles <= {Role.USER, Role.READER}

    @property
    def sees_everything(self) -> bool:
        """Whether this one may ask what operators may ask."""
        return not self.roles.isdisjoint((Role.OPERATOR, Role.READER))

    @cached_property
    def name(self) -> str:
        """What envelopes and books call this sender: `operator root`, `user ada`; `nobody` without a token."""
        foremost = min(self.roles, key=lambda role: (role != Role.OPERATOR, role == Role.USER, role), default="")
        return f"{foremost} {self.subject}" if foremost else "nobody"

    def owns(self, account_id: str) -> bool:
        """Whether this is the user whose account that is."""
        return Role.USER in self.roles and account_id == self.subject


ANONYMOUS = Principal("", frozenset())


class Authenticate(Protocol):
    """Tells who sent a message."""

    def __call__(self, authorization: str, at: float) -> Principal:
        """The sender by its header (empty: ANONYMOUS) as of the Unix time *at*. Raises RefusedError, unauthenticated.

        What is raised never quotes the token.
        """


class Guard:
    """Refuses what its sender may not send; raises RefusedError (unauthenticated or forbidden), and only that."""

    def __init__(self, registry: MessageRegistry, authenticate: Authenticate) -> None:
        self._authenticate = authenticate
        types = [cls.TYPE for cls in registry if not issubclass(cls, Event)]
        subjects = {"command": command_subject, "query": query_subject, "action": query_subject}
        self._by_subject: dict[str, SentBy | None] = {subjects[each.kind](each): each.sent_by for each in types}
        self._asked = {query_subject(each) for each in types if each.kind == "query"}
        self._accounts = {
            (cls.TYPE.name, cls.TYPE.version): _reader(cls.TYPE.sent_by.field)
            for cls in registry
            if issubclass(cls, Command) and isinstance(cls.TYPE.sent_by, OwnerOf)
        }
        self._by_hand = {each.name for each in types if each.needs_why}

    def sender(self, subject: str, authorization: str, at: float) -> Principal:
        """Who sent what came on *subject*, if there is anything there that they may send; before it is read."""
        sender = self._authenticate(authorization, at)
        if Role.OPERATOR in sender.roles:
            return sender
        subject, _ = parted(subject)
        sent_by = self._by_subject.get(subject)
        if sent_by is Sender.ANYBODY or (subject in self._asked and sender.sees_everything):
            return sender
        if not sender.is_known:
            raise RefusedError(
                UNAUTHENTICATED, f"needs a token (a user logs in for one), in the header {AUTHORIZATION_HEADER}"
            )
        if sent_by is Sender.KNOWN:
            return sender
        if subject in self._by_subject and _role(sent_by) not in sender.roles:
            raise RefusedError(FORBIDDEN, f"needs the role {_role(sent_by)}; the token has {_told(sender)}")
        return sender

    def command(self, sender: Principal, admitted: Admitted) -> Envelope:
        """The command as it may go on: under an identity and in a story that are the sender's own, with their name.

        Raises RefusedError also for what asks for a reason and comes without.
        """
        envelope, source = admitted
        is_operator = Role.OPERATOR in sender.roles
        read = self._accounts.get((envelope.name, envelope.version))
        if read and not is_operator and not sender.owns(account := read(envelope.data)):
            raise RefusedError(FORBIDDEN, _not_owned(sender, account), envelope.message_id)
        if envelope.name in self._by_hand and not envelope.why.strip():
            detail = "is not done by hand without a reason: expected it in the attribute why (send --why)"
            raise RefusedError(WHY_REQUIRED, detail, envelope.message_id)
        identity = identity_of(_sender_of(sender, envelope), source, envelope.message_id)
        chosen = envelope.correlation_id
        return msgspec.structs.replace(
            envelope,
            message_id=identity,
            correlation_id=(chosen if is_operator else f"{sender.name} {chosen}") if chosen else identity,
            sender=sender.name,
        )

    def query(self, sender: Principal, query: Query) -> None:
        """Whether this may be asked; of one whose answer says whose it is, `may_see` decides."""
        sent_by = query.TYPE.sent_by
        if sender.sees_everything or not isinstance(sent_by, OwnerOf) or sent_by.of_result:
            return
        if not sender.owns(account := getattr(query, sent_by.field)):
            raise RefusedError(FORBIDDEN, _not_owned(sender, account))

    def may_see(self, sender: Principal, query: Query, result: object) -> bool:
        """Whether the answer is the sender's; if not, it is as if there were none."""
        sent_by = query.TYPE.sent_by
        if sender.sees_everything or not isinstance(sent_by, OwnerOf) or not sent_by.of_result:
            return True
        return sender.owns(getattr(result, sent_by.field))


def _role(sent_by: SentBy | None) -> str:
    """The least role that may send it."""
    if isinstance(sent_by, OwnerOf):
        return Role.USER
    return sent_by.role if isinstance(sent_by, Bearer) else Role.OPERATOR


def identity_of(sender: str, source: str, message_id: str) -> str:
    """`<role> <subject> <source> <id>`: what a command from outside is known by, and its story if it begins one.

    *sender* is what `Principal.name` says. Only the id, which is the last, may have spaces, so the parts can be told
    from each other; ids made inside have none, so no two are ever the same.
    """
    return f"{sender} {_source_part(source)} {message_id}"


def _sender_of(sender: Principal, envelope: Envelope) -> str:
    """Strangers are all nobody: an id of theirs counts for the very same content alone."""
    if sender.is_known:
        return sender.name
    return f"{sender.name} @{sha1(envelope.data, usedforsecurity=False).hexdigest()}"


@lru_cache(1_000)
def _source_part(source: str) -> str:
    """The source without spaces and of bounded length; no two sources have the same."""
    escaped = source.replace("%", "%25").replace(" ", "%20")
    if len(escaped.encode()) <= _SOURCE_BYTES:
        return escaped
    return f"%~{sha256(source.encode()).hexdigest()}"  # in an escaped one no % stands before a ~


def _reader(field: str) -> Callable[[bytes], str]:
    """Reads one field of a command's data, which has been validated."""
    decode = msgspec.json.Decoder(msgspec.defstruct("Acting", [(field, str)])).decode

    def read(data: bytes) -> str:
        value: str = getattr(decode(data), field)
        return value

    return read


def _not_owned(sender: Principal, account_id: str) -> str:
    return f"acts for the account {account_id[:80]!r}, and the token is that of {_told(sender)}"


def _told(sender: Principal) -> str:
    return f"{'+'.join(sorted(sender.roles))} {sender.subject[:80]!r}" if sender.is_known else "nobody"
