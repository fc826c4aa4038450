"""`spark-actors token`: tokens for services and operators, for who holds the keys that sign them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated

import typer

from spark_actors.cli.errors import UsageMistakeError
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption

ISSUE_EXAMPLES = """
Examples:

[bold]spark-actors token issue --role ROLE --sub my-service --ttl 30d > service.token[/]

[bold]spark-actors token issue --role operator --ttl 15m[/]

[bold]spark-actors token issue --role reader --sub ada --ttl 12h > reader.token[/]

Whoever can read the keys (identity.keys, or secrets/token-keys in the data dir) can issue any token; no daemon is
asked. A token cannot be taken back, only its key can: keep lifetimes short.
"""
NEW_KEY_EXAMPLES = """
Put the line before the others, in identity.keys or the keys file, and start the daemon again: new tokens are signed
with it, and older ones are still good. Take the old line away once the last of its tokens has expired.
"""
_TTL = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def issue(
    role: Annotated[
        str,
        typer.Option(
            "--role",
            help="What its bearer may do: user, reader, operator or a role of the application's.",
            metavar="ROLE",
        ),
    ],
    subject: Annotated[
        str, typer.Option("--sub", help="Who that is; of a user, the account.", metavar="NAME", show_default=False)
    ] = "",
    ttl: Annotated[str, typer.Option("--ttl", help="How long it is good: 90s, 15m, 12h or 30d.")] = "1h",
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Print a token."""
    from spark_actors.cli.daemon import Target
    from spark_actors.cli.output import print_json
    from spark_actors.deployment import signing_keys, token_issuer
    from spark_actors.embedded.data_dir import DataDir
    from spark_actors.kernel.ids import is_subject
    from spark_actors.messaging.identity import Role

    target = Target(data_dir, config)
    known = (*Role, *target.application().roles)
    if role not in known:
        raise UsageMistakeError(f"--role {role!r} is refused: expected one of {', '.join(known)}")
    name = subject or (role if role in (Role.OPERATOR, Role.READER) else "")
    if not is_subject(name):
        raise UsageMistakeError("--sub is needed: one word, the account of a user or the name of a service")
    settings = target.settings()
    keys = signing_keys(settings, DataDir(settings.data_dir), make=False)
    token = token_issuer(settings, keys).issue(name, [role], lifetime(ttl))
    if as_json:
        print_json({"token": token.text, "sub": name, "role": role, "expires_at": token.expires_at})
    else:
        print(token.text)


def new_key(
    key_id: Annotated[
        str, typer.Argument(metavar="[ID]", help="What tokens call it (default: of today's date).", show_default=False)
    ] = "",
) -> None:
    """Print a new key for signing, as the keys file takes it. It is a secret."""
    from spark_actors.identity.signing_keys import new_key as made
    from spark_actors.identity.signing_keys import parse_keys

    key = made(key_id or f"key-{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    parse_keys([key.line], "the new key")
    print(key.line)


def lifetime(text: str) -> timedelta:
    """`15m` and the like. Raises UsageMistakeError."""
    found = _TTL.fullmatch(text)
    if found is None or not int(found[1]):
        raise UsageMistakeError(f"--ttl {text!r} is refused: expected a number and s, m, h or d, such as 15m")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
