"""`spark-actors upgrade`, `reload`: another release, or other settings, take over while the daemon works."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from spark_actors.cli.cluster import PatienceOption, WaitOption
from spark_actors.cli.daemon import Target, known_dsns
from spark_actors.cli.desk import operator_of
from spark_actors.cli.errors import CliError
from spark_actors.cli.options import ByOption, ConfigOption, DataDirOption, JsonOption, WhyOption

if TYPE_CHECKING:
    from spark_actors.persistence.hand_overs import HandOvers
    from spark_actors.persistence.operator_desk import Operator

LOOK_SECONDS = 0.3
UPGRADE_EXAMPLES = """
Install the new release beside the old one, at the same path on every node, and call its own command:

/opt/spark-2/bin/spark-actors upgrade --data-dir /var/lib/spark --why "2.0"

The way back is the same with the old one's command, for as long as nothing that only the new one knows was done away
with in the schema.
"""
RELOAD_EXAMPLES = """
spark-actors reload --why "more time for logins"
"""


def upgrade(
    why: WhyOption,
    abort: Annotated[bool, typer.Option("--abort", help="Stop one that is still warming up.")] = False,
    wait: WaitOption = True,
    timeout: PatienceOption = 180,
    by: ByOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have the release that this command belongs to take over from the one that runs. No command is refused for it."""
    from spark_actors.messaging.ports import INGRESS
    from spark_actors.persistence.hand_overs import HandOvers
    from spark_actors.persistence.migrations import migrate
    from spark_actors.version import version

    operator, target = operator_of(by, why), Target(data_dir, config)
    dsns = known_dsns(target)
    hand_overs = HandOvers(dsns[INGRESS])
    if abort:
        if not hand_overs.abort(operator):
            raise CliError("there is no upgrade or reload that could still be stopped")
        print("stopped: the tree that works goes on")
        return
    migrate(target.application(), dsns)
    _wish(hand_overs, "upgrade", sys.executable, version(), operator, wait=wait, timeout=timeout, as_json=as_json)


def reload(
    why: WhyOption,
    wait: WaitOption = True,
    timeout: PatienceOption = 180,
    by: ByOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Have the daemon read its settings anew, and a new tree of actors go by them. No command is refused for it."""
    from spark_actors.messaging.ports import INGRESS
    from spark_actors.persistence.hand_overs import HandOvers

    hand_overs = HandOvers(known_dsns(Target(data_dir, config))[INGRESS])
    _wish(hand_overs, "reload", "", "", operator_of(by, why), wait=wait, timeout=timeout, as_json=as_json)


def _wish(
    hand_overs: HandOvers,
    action: str,
    python: str,
    release: str,
    operator: Operator,
    *,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> None:
    from spark_actors.cli.output import console, print_json
    from spark_actors.persistence.hand_overs import HandOverState

    number = hand_overs.wish(action, python, release, operator)
    state, detail, deadline = HandOverState.WISHED, "", time.monotonic() + timeout
    while wait and state in (HandOverState.WISHED, HandOverState.WARMING, HandOverState.HANDING_OVER):
        found = hand_overs.find(number)
        if found and (HandOverState(found.state), found.detail) != (state, detail):
            state, detail = HandOverState(found.state), found.detail
            if not as_json:
                console().print(f"{state}: {detail}" if detail else state)
        if time.monotonic() > deadline:
            raise CliError(f"after {timeout:g} s: {state}; it goes on, unless you stop it with upgrade --abort")
        time.sleep(LOOK_SECONDS)
    if state in (HandOverState.REFUSED, HandOverState.ABORTED):
        raise CliError(f"{action} {state}: {detail or 'by an operator'}; the tree that worked before works on")
    if as_json:
        print_json({"state": state, "detail": detail})
