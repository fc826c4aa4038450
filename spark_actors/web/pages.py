"""What pages are made of: routes as data, and handlers that know nothing of HTTP. Whoever brings pages reads this.

A handler gets a `Visit` and gives a `Page` (a template with values), a `Redirect`, a `LogIn` or a `LogOut`. Views that
it asks for and commands that it sends go to the broker with the visitor's own token: the daemon decides what somebody
may see and do, and no page is more than what it has answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol, TypeAlias, TypeVar
from uuid import UUID, uuid4

from spark_actors.kernel.errors import SparkError
from spark_actors.kernel.messages import Command, Query

T = TypeVar("T")
MESSAGE_ID = "message_id"
"""The field of a form that holds the id under which its command is sent: made when the form is, so that however often
it is sent, it takes effect once."""


class Audience(StrEnum):
    """For whom a route is. It spares people questions that the daemon would refuse; it is the daemon that refuses."""

    ANYBODY = "anybody"
    USER = "user"
    READER = "reader"  # may look at what operators look at
    OPERATOR = "operator"


@dataclass(frozen=True)
class Visitor:
    """Who looks, as their token says; the daemon alone knows whether that is true."""

    subject: str = ""
    """Of a user: the account. Empty: nobody has logged in."""
    roles: frozenset[str] = frozenset()
    expires_at: float = 0.0
    """Unix time."""
    token: str = field(default="", repr=False)

    @property
    def is_known(self) -> bool:
        return bool(self.roles)

    def is_of(self, audience: Audience) -> bool:
        """Whether a route for these is for this one."""
        match audience:
            case Audience.ANYBODY:
                return True
            case Audience.READER:
                return not self.roles.isdisjoint({Audience.READER, Audience.OPERATOR})
            case _:
                return audience in self.roles


NOBODY = Visitor()


class Sent(StrEnum):
    """How far a command has come that a form has sent."""

    DONE = "done"
    REJECTED = "rejected"
    UNDER_WAY = "under_way"  # it is stored, and how it ended is not known yet
    REFUSED = "refused"  # the daemon does not take it: of this sender, or at all


@dataclass(frozen=True)
class Outcome:
    """How far a command has come."""

    sent: Sent
    reason: str = ""
    """Why it was rejected or refused."""


class AwayError(SparkError):
    """The daemon, or its broker, does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the daemon is away: {self.reason}"


class NotAllowedError(SparkError):
    """The daemon refuses a question, or does not believe the token; *code* is its word, such as `forbidden`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class NothingThereError(SparkError):
    """What a page is about does not exist, or is not the visitor's to see."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"there is no {self.what} here"


class TooBusyError(SparkError):
    """More is asked for at once than this process does."""

    def __str__(self) -> str:
        return "too much is asked for just now"


class Asker(Protocol):
    """The way to the daemon, for one visitor."""

    def with_token(self, token: str) -> Asker:
        """The same with another token: of somebody who is about to log in by it."""

    async def ask(self, query: Query) -> Any:
        """The view, as its query's class of results; None if there is nothing, or nothing that the visitor may see.

        Raises AwayError, NotAllowedError.
        """

    async def send(self, command: Command, message_id: str) -> Outcome:
        """Send a command and wait a moment for how it ends. Raises AwayError if it may not be stored."""

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """What *work* gives, done beside all else. Raises TooBusyError."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request, as a handler sees it."""

    visitor: Visitor
    daemon: Asker
    now: datetime
    url: str
    """Where the pages are found, without a slash at the end: for links that are passed on."""
    path: Mapping[str, str] = field(default_factory=dict)
    """The parameters in the route's path."""
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    """The fields of a form that was sent; the last one of each name."""

    @property
    def message_id(self) -> str:
        """The id under which the command of the sent form goes; a new one if the form has none of ours."""
        try:
            return str(UUID(self.form.get(MESSAGE_ID, "")))
        except ValueError:
            return new_message_id()


def new_message_id() -> str:
    """For a form that is rendered."""
    return str(uuid4())


@dataclass(frozen=True)
class Page:
    """A template with its values."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    is_final: bool = False
    """Of a live page: whether it stays as it is, so that nobody need look again."""
    is_awaited: bool = False
    """Whether the visitor waits for it to change: a browser without scripts asks again by itself."""


@dataclass(frozen=True)
class Redirect:
    """The browser is to ask for another page of ours: *path* begins with a slash."""

    path: str


@dataclass(frozen=True)
class LogIn:
    """The browser is to keep this token until it expires, and go to *path*."""

    token: str = field(repr=False)
    path: str = "/"


@dataclass(frozen=True)
class LogOut:
    """The browser is to forget its token, and all pages that it keeps, and go to *path*."""

    path: str = "/"


Answer: TypeAlias = Page | Redirect | LogIn | LogOut
Handler: TypeAlias = Callable[[Visit], Awaitable[Answer]]


@dataclass(frozen=True)
class Route:
    """A path that is answered. Parameters stand in braces; one that may hold slashes as `{name:path}`."""

    method: Literal["GET", "POST"]
    path: str
    audience: Audience
    handler: Handler
    live: str = ""
    """Of a GET: the template of that part of its page which is kept up to date. The page includes it in an element
    with `{{ live }}` among its attributes, and its handler is asked again. Of a page for anybody it is the same for
    all who look: its handler is asked for nobody, and what is the visitor's own must not stand in that part."""


@dataclass(frozen=True)
class Link:
    """An entry of the menu."""

    title: str
    path: str
    audience: Audience = Audience.ANYBODY
    for_strangers: bool = False
    """Shown only as long as nobody has logged in."""


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Pages that belong together: those of an application, or of the runtime itself."""

    routes: tuple[Route, ...]
    templates: str
    """The package with the folder `templates`."""
    menu: tuple[Link, ...] = ()
    log_in: str = ""
    """Where people log in for these; empty: where they do for the others, if anywhere."""


def local_path(text: str, otherwise: str) -> str:
    """*text* if it is a path of ours, as links that lead back give it; never another host's address."""
    is_ours = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and " " not in text
    return text if is_ours else otherwise
