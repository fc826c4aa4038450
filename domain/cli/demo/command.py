"""`spark-actors demo`: plays a story against the running daemon and checks what came of it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from spark_actors.cli.daemon import Target
from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption

if TYPE_CHECKING:
    from domain.cli.demo.play import Performance
    from domain.cli.demo.story import Story

SUFFIX_BYTES = 3
SEEDS = 1_000_000
EXAMPLES = """
A few people sign up, pay in over a simulated Lightning network, open two campaigns, donate all at once and withdraw;
somebody tries what is not allowed. Then everything is counted and the daemon is audited.
It can be run as often as you like: each telling has accounts of its own.

Exit code: 0 all as expected · 1 something is not · 3 no daemon.
"""


def demo(
    seed: Annotated[int | None, typer.Option("--seed", help="Tell the same amounts again.", metavar="NUMBER")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer donations.")] = False,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
    config: ConfigOption = None,
) -> None:
    """Play a story against the running daemon: sign-ups, deposits, donations, withdrawals, and an audit."""
    import secrets

    from domain.cli.demo.show import render_summary, summary
    from domain.cli.demo.story import write_story
    from spark_actors.cli.demo import finish

    target = Target(data_dir, config)
    target.find()  # nobody wants to see a curtain rise before an empty stage
    seed = secrets.randbelow(SEEDS) if seed is None else seed
    story = write_story(seed, secrets.token_hex(SUFFIX_BYTES), quick=quick)
    seen = _play(target, story, quiet=as_json)
    finish(target, summary(seen), render_summary(seen), as_json=as_json)


def _play(target: Target, story: Story, *, quiet: bool) -> Performance:
    from domain.cli.demo.play import Play
    from spark_actors.cli.demo import Silence, bars

    with nullcontext(Silence()) if quiet else bars() as stage:
        return target.talk(lambda client: Play(client, story, stage).perform())
