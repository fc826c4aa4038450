"""The plugins that bring the fixtures of the whole suite, and how its examples are searched for."""

import structlog
from hypothesis import HealthCheck, Phase, settings

UNSHRUNK = "unshrunk"
"""For whoever only wants to know whether a test fails: a smaller example may take minutes to find."""

pytest_plugins = (
    "tests.fixtures.postgres",
    "tests.fixtures.daemon",
    "tests.fixtures.pgbouncer",
    "tests.fixtures.nats",
    "tests.fixtures.ray",
    "tests.fixtures.cluster",
    "tests.fixtures.workers",
)

# How long an example takes says how busy the machine is.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")
settings.register_profile(UNSHRUNK, phases=[Phase.explicit, Phase.reuse, Phase.generate])

# Unless told otherwise, structlog draws each traceback with all local variables: most of the time of many a test.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)
