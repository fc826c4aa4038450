"""Who may send what: a sender, as its token names it, against what each message says of its senders. Pure.

A message declares it in the domain (`sent_by`); what declares nothing is for operators alone. Ids are the senders' own:
the id of a command from outside is remembered together with who sent it, so that nobody can use up an id (of another
sender's command, or of a saga's next step, which can be computed) before its owner does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha1
from typing import Protocol

import msgspec

from domain.shared.messages import Command, Event, MessageRegistry, OwnerOf, Query, Sender, SentBy
from spark_actors.messaging.cloudevents import AUTHORIZATION_HEADER, command_subject, query_subject
from spark_actors.messaging.door import RefusedError
from spark_actors.messaging.envelope import Envelope

UNAUTHENTICATED, FORBIDDEN = "unauthenticated", "forbidden"


class Role(StrEnum):
    """What a token allows its bearer."""

    USER = "user"  # acts for the account that the token's subject names
    LIGHTNING = "lightning"  # tells what has happened at the Lightning node
    OPERATOR = "operator"  # everything


@dataclass(frozen=True)
class Principal:
    """Who has sent a message."""

    subject: str
    """For a user: the account. Without spaces."""
    roles: frozenset[Role]

    @property
    def is_known(self) -> bool:
        return bool(self.roles)

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
        subjects = {"command": command_subject, "query": query_subject}
        self._by_subject: dict[str, SentBy | None] = {subjects[each.kind](each): each.sent_by for each in types}
        self._accounts = {
            (cls.TYPE.name, cls.TYPE.version): _reader(cls.TYPE.sent_by.field)
            for cls in registry
            if issubclass(cls, Command) and isinstance(cls.TYPE.sent_by, OwnerOf)
        }

    def sender(self, subject: str, authorization: str, at: float) -> Principal:
        """Who sent what came on *subject*, if there is anything there that they may send; before it is read."""
        sender = self._authenticate(authorization, at)
        if Role.OPERATOR in sender.roles:
            return sender
        sent_by = self._by_subject.get(subject)
        if sent_by is Sender.ANYBODY:
            return sender
        if not sender.is_known:
            raise RefusedError(
                UNAUTHENTICATED, f"needs a token (a user logs in for one), in the header {AUTHORIZATION_HEADER}"
            )
        if subject in self._by_subject and _role(sent_by) not in sender.roles:
            raise RefusedError(FORBIDDEN, f"needs the role {_role(sent_by)}; the token has {_told(sender)}")
        return sender

    def command(self, sender: Principal, envelope: Envelope) -> Envelope:
        """The command as it may go on: under an id that is the sender's own. Operators' ids stay as they are."""
        if Role.OPERATOR in sender.roles:
            return envelope
        read = self._accounts.get((envelope.name, envelope.version))
        if read and not sender.owns(account := read(envelope.data)):
            raise RefusedError(FORBIDDEN, _not_owned(sender, account), envelope.message_id)
        return msgspec.structs.replace(envelope, message_id=_own_id(sender, envelope))

    def query(self, sender: Principal, query: Query) -> None:
        """Whether this may be asked; of one whose answer says whose it is, `may_see` decides."""
        sent_by = query.TYPE.sent_by
        if Role.OPERATOR in sender.roles or not isinstance(sent_by, OwnerOf) or sent_by.of_result:
            return
        if not sender.owns(account := getattr(query, sent_by.field)):
            raise RefusedError(FORBIDDEN, _not_owned(sender, account))

    def may_see(self, sender: Principal, query: Query, result: object) -> bool:
        """Whether the answer is the sender's; if not, it is as if there were none."""
        sent_by = query.TYPE.sent_by
        if Role.OPERATOR in sender.roles or not isinstance(sent_by, OwnerOf) or not sent_by.of_result:
            return True
        return sender.owns(getattr(result, sent_by.field))


def _role(sent_by: SentBy | None) -> Role:
    """The least role that may send it."""
    if isinstance(sent_by, OwnerOf):
        return Role.USER
    return Role.LIGHTNING if sent_by is Sender.LIGHTNING else Role.OPERATOR


def _own_id(sender: Principal, envelope: Envelope) -> str:
    """The id with whose it is. No subject has a space, and ids made inside have none, so no two are ever the same.

    An unknown sender's id counts for the very same content alone.
    """
    owner = sender.subject if sender.is_known else f"@{sha1(envelope.data, usedforsecurity=False).hexdigest()}"
    return f"{owner} {envelope.message_id}"


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
