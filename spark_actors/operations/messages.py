"""What can be asked and done at the desk of operators: the messages of the runtime's own context, `operations`.

Queries are for operators and readers, actions for operators alone. Every answer is bounded, and a list goes on where
its `next` says: the same question again, with that as its `after`. Times in seconds are whole. Counts stop at 100,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeAlias

from spark_actors.kernel.bounds import Characters
from spark_actors.kernel.messages import Message, Query, Sender, query

OPERATIONS = "operations"
"""The context; no application has one of this name."""

Name: TypeAlias = Annotated[str, Characters(200)]


@dataclass(frozen=True)
class WhoYouAre:
    """What a token says of its bearer, and is believed."""

    name: Annotated[str, Characters(400)]
    """What the log of actions calls them."""
    subject: Name
    roles: tuple[Name, ...]
    expires_at: datetime


@query("operations.whoami", result=WhoYouAre, sent_by=Sender.KNOWN)
@dataclass(frozen=True)
class WhoAmI(Query):
    """Ask who one is by one's token, which roles one has, and until when."""


MESSAGES: tuple[type[Message], ...] = (WhoAmI,)
