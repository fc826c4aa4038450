"""What is said of a setting that cannot be used.

SparkError
└── SettingsError
"""

from __future__ import annotations

from spark_actors.kernel.errors import SparkError


class SettingsError(SparkError):
    """A setting is wrong or unknown. *value* is fit for a log: secrets are masked in it."""

    def __init__(
        self, name: str, value: str, expected: str, source: str = "", also: tuple[SettingsError, ...] = ()
    ) -> None:
        super().__init__(name, value, expected, source, also)
        self.name = name
        """Dotted path, e.g. `nats.port`; for a file that cannot be read, `--config`."""
        self.value = value
        self.expected = expected
        self.source = source
        """Where the value came from: an environment variable, a file, or `option` for a flag of the command line."""
        self.also = also
        """What else is wrong."""

    def __str__(self) -> str:
        origin = f" (from {self.source})" if self.source else ""
        own = f"setting {self.name} = {self.value}{origin} is refused: expected {self.expected}"
        return "\n".join([own, *map(str, self.also)])
