"""Who a command acts as: a token file, SPARK_TOKEN, a remembered login, or else the operator of the machine.

In this order; the first that there is counts, and one that is there but no longer good is an error. What a user may do
must never turn into what an operator may do because an hour has passed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config import caller
from spark_actors.cli.errors import CliError, UsageMistakeError, words_of


@dataclass(frozen=True)
class Acting:
    """Whose token a command shows, and where it is from. Without one, it is the operator's of the daemon's card."""

    source: str
    """`--as FILE`, `SPARK_TOKEN`, `login` or `operator`."""
    token: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Who that is, as the token says it, which nobody has checked here."""
        return str(claims(self.token).get("sub", "?")) if self.token else "operator"

    @property
    def is_chosen(self) -> bool:
        """Whether somebody has said so, rather than that it is what the machine allows."""
        return bool(self.token)


@dataclass(frozen=True)
class RememberedLogin:
    """A login that is remembered."""

    account_id: str
    expires_at: str
    token: str = field(repr=False)


OPERATOR = Acting("operator")


def who_acts(place: str, token_file: Path | None) -> Acting:
    """Who a command for the daemon of *place* acts as.

    Raises CliError if a login is remembered that has ended, UsageMistakeError if a token cannot be read.
    """
    if token_file is not None:
        return Acting(f"--as {token_file}", _kept_token(token_file))
    if token := caller.token():
        return Acting(caller.TOKEN, token)
    login = Logins().find(place)
    if login is None:
        return OPERATOR
    if datetime.fromisoformat(login.expires_at) <= datetime.now(UTC):
        raise CliError(
            f"the login as {login.account_id} has ended: log in again, or `spark-actors logout` to act as operator"
        )
    return Acting("login", login.token)


def claims(token: str) -> Mapping[str, Any]:
    """What a token says of itself, unchecked; empty if it says nothing that can be read."""
    parts = token.split(".")
    try:
        body = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


class Logins:
    """The logins of this user, by the daemon that they are good for: a file that nobody else can read.

    Not in the data dir: who logs in from another machine has none, and who may read it is its operator anyway.
    """

    def __init__(self) -> None:
        self.file = caller.config_folder() / "logins.json"

    def find(self, place: str) -> RememberedLogin | None:
        """The login at the daemon of *place*, if there is one, good or ended."""
        kept = self._read().get(place)
        return RememberedLogin(**kept) if kept else None

    def keep(self, place: str, login: RememberedLogin) -> None:
        """Remember a login instead of an earlier one there."""
        with self._changed() as logins:
            logins[place] = asdict(login)

    def forget(self, place: str) -> RememberedLogin | None:
        """Remember it no longer; gives what was remembered."""
        login = self.find(place)
        if login is not None:
            with self._changed() as logins:
                del logins[place]
        return login

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Any]]:
        from spark_actors.embedded.data_dir import make_private_folder, write_private_file

        logins = self._read()
        yield logins
        try:
            make_private_folder(self.file.parent)
            write_private_file(self.file, json.dumps(logins, indent=2) + "\n")
        except OSError as error:
            raise CliError(f"the login cannot be kept in {self.file}: {words_of(error)}") from None

    def _read(self) -> dict[str, Any]:
        try:
            logins: dict[str, Any] = json.loads(self.file.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise CliError(f"the logins in {self.file} cannot be read: {words_of(error)}") from None
        except ValueError:
            raise CliError(f"the logins in {self.file} cannot be read: log in again after deleting it") from None
        return logins


def _kept_token(file: Path) -> str:
    try:
        token = file.read_text("utf-8").strip()
    except OSError as error:
        raise UsageMistakeError(f"--as: the token in {file} cannot be read: {words_of(error)}") from None
    except UnicodeDecodeError:
        raise UsageMistakeError(f"--as: {file} holds no token") from None
    if not token:
        raise UsageMistakeError(f"--as: {file} is empty")
    return token
