"""The plugins that bring the fixtures of the whole suite."""

pytest_plugins = (
    "tests.fixtures.postgres",
    "tests.fixtures.daemon",
    "tests.fixtures.pgbouncer",
    "tests.fixtures.nats",
    "tests.fixtures.ray",
)
