"""What the shop adds to the command line; what takes time to import is imported by the command that needs it."""

from __future__ import annotations

from contextlib import nullcontext

import typer

from spark_actors.cli.options import ConfigOption, DataDirOption, JsonOption

EXAMPLES = """
Ann, Bob and Cleo order tea and milk. Bob wants more milk than there is: the tea that was set aside for him goes back.
Dan orders more candles than his card is good for: they go back, too. Cleo changes her mind.
Then it is counted what there is, and the daemon is audited.
It can be run as often as you like: each telling has orders and items of its own.

Exit code: 0 all as expected · 1 something is not · 3 no daemon.
"""


def demo(as_json: JsonOption = False, data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Play a story against the running daemon: orders, two compensations, a cancellation, and an audit."""
    import secrets

    from spark_actors.cli.daemon import Target
    from spark_actors.cli.demo import Silence, bars, finish
    from tests.shop.demo import Play

    target = Target(data_dir, config)
    target.find()  # nobody wants to see a curtain rise before an empty stage
    with nullcontext(Silence()) if as_json else bars() as stage:
        seen = target.talk(lambda client: Play(client, stage, secrets.token_hex(3)).perform())
    finish(target, seen.summary, seen.render(), as_json=as_json)


def add_commands(app: typer.Typer) -> None:
    """Add them to the command line of the runtime."""
    app.command("demo", epilog=EXAMPLES)(demo)
