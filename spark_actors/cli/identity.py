"""`spark-actors logout`, `whoami`: who commands act as."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption, TokenFileOption


def logout(as_json: JsonOption = False, data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Forget who has logged in: commands act as the operator again, where this machine allows it."""
    from spark_actors.cli.acting import Logins
    from spark_actors.cli.daemon import Target
    from spark_actors.cli.output import print_json

    ended = Logins().forget(Target(data_dir, config).place)
    if as_json:
        print_json({"account_id": ended.account_id if ended else None})
    else:
        print(f"{ended.account_id} is logged out" if ended else "nobody was logged in")


def whoami(
    as_json: JsonOption = False,
    token_file: TokenFileOption = None,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Say who commands act as here, and what says so. The daemon need not run: it is not asked."""
    from spark_actors.cli.acting import claims, who_acts
    from spark_actors.cli.daemon import Target
    from spark_actors.cli.output import moment, print_json

    acting = who_acts(Target(data_dir, config).place, token_file)
    told = claims(acting.token)
    ends = _moment(told.get("exp"))
    if as_json:
        print_json({"as": acting.name, "roles": told.get("roles"), "source": acting.source, "expires_at": ends})
    elif not acting.is_chosen:
        print("operator, as far as the daemon's card or its keys can be read here")
    else:
        print(f"{acting.name}, by {acting.source}" + (f", until {moment(ends)} UTC" if ends else ""))


def _moment(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, (int, float)) else None
