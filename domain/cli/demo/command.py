"""`spark-actors demo`: plays a story against the running daemon and checks what came of it."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.errors import UsageMistakeError
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption

if TYPE_CHECKING:
    from domain.cli.demo.play import Performance
    from domain.cli.demo.story import Story
    from spark_actors.ingress.client import SparkClient

SUFFIX_BYTES = 3
SEEDS = 1_000_000
EXAMPLES = """
A few people sign up, pay in over a simulated Lightning network, open two campaigns, donate all at once and withdraw;
somebody tries what is not allowed. Then everything is counted and the daemon is audited.
It can be run as often as you like: each telling has accounts of its own.

Exit code: 0 all as expected · 1 something is not · 3 no daemon.
"""


class OnLightning(StrEnum):
    """Over which network the demo pays."""

    SIMULATED = "simulated"
    LNBITS = "lnbits"


def demo(
    seed: Annotated[int | None, typer.Option("--seed", help="Tell the same amounts again.", metavar="NUMBER")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer donations.")] = False,
    lightning: Annotated[
        OnLightning, typer.Option("--lightning", help="The node of the daemon: who pays in and is paid out then.")
    ] = OnLightning.SIMULATED,
    outsider: Annotated[
        Path | None,
        typer.Option("--outsider", help="With lnbits: a wallet outside, JSON with url and admin_key.", metavar="FILE"),
    ] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Play a story against the running daemon: sign-ups, deposits, donations, withdrawals, and an audit."""
    import secrets

    from domain.cli.demo.show import render_summary, summary
    from domain.cli.demo.story import write_story
    from spark_actors.cli.demo import finish

    if (outsider is None) == (lightning is OnLightning.LNBITS):
        raise UsageMistakeError("--lightning lnbits and --outsider FILE belong together")
    target = Target(data_dir, config)
    target.find()  # nobody wants to see a curtain rise before an empty stage
    seed = secrets.randbelow(SEEDS) if seed is None else seed
    story = write_story(seed, secrets.token_hex(SUFFIX_BYTES), quick=quick)
    seen = _play(target, story, outsider, quiet=as_json)
    finish(target, summary(seen), render_summary(seen), as_json=as_json)


def _network(target: Target) -> str:
    settings: Any = target.settings()  # of the application's own class
    network: str = settings.lightning.network
    return network


def _play(target: Target, story: Story, outsider: Path | None, *, quiet: bool) -> Performance:
    from domain.cli.demo.outsiders import LnbitsOutsider, SimulatedOutsider, read_wallet
    from domain.cli.demo.play import Play
    from spark_actors.cli.demo import Silence, bars

    async def conversation(client: SparkClient) -> Performance:
        if outsider is None:
            return await Play(client, story, stage, outsider=SimulatedOutsider()).perform()
        async with LnbitsOutsider(*read_wallet(outsider), _network(target)) as wallet:
            return await Play(client, story, stage, outsider=wallet).perform()

    with nullcontext(Silence()) if quiet else bars() as stage:
        return target.talk(conversation)
