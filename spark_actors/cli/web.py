"""`spark-actors web`: the web pages alone, for a daemon here or elsewhere."""

from __future__ import annotations

from dataclasses import replace

from spark_actors.cli.daemon import Target
from spark_actors.cli.options import ConfigOption, DataDirOption

EXAMPLES = """
A daemon serves its pages itself, unless [bold]web.enabled[/] is off. This serves them from another process, or another
machine: the broker is that of [bold]nats.url[/], else that of the daemon on the data dir. It needs no database and no
key. While the daemon is away the pages say so. Ctrl-C stops it.
"""


def web(data_dir: DataDirOption = None, config: ConfigOption = None) -> None:
    """Serve the web pages, in the foreground."""
    from spark_actors.bootstrap.web import broker_of, web_options
    from spark_actors.embedded.web_process import listen
    from spark_actors.web.server import serve

    settings = Target(data_dir, config).settings()
    listening = listen(settings.web.host, settings.web.port)
    options = replace(web_options(settings), port=listening.getsockname()[1])
    serve(options, listening, broker_of(settings), lambda: print(f"ready  web {options.url}", flush=True))
