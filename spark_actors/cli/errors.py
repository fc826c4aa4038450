"""How a command of the command line ends when it does not end well: one clear line and an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from spark_actors.kernel.errors import DetailedError, SparkError


class ExitCode(IntEnum):
    """What a script can tell from the exit code; the words that `--help` says of each are in EXIT_CODES."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NO_DAEMON = 3
    REJECTED = 4
    PARKED = 5
    UNKNOWN_OUTCOME = 6
    BUG = 70  # EX_SOFTWARE of sysexits.h
    STOPPED = 130  # 128 + SIGINT, as shells have it

    @property
    def word(self) -> str:
        """How JSON names it."""
        return self.name.lower()


EXIT_CODES: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.REFUSED: "the answer is no: failed, refused, not found, or a check has found something wrong",
    ExitCode.USAGE: "the command line or a setting cannot be understood; nothing was done",
    ExitCode.NO_DAEMON: "no daemon, or it or its databases cannot be reached",
    ExitCode.REJECTED: "the business says no to the command, for good",
    ExitCode.PARKED: "the command waits durably behind one that failed, and will be handled",
    ExitCode.UNKNOWN_OUTCOME: "the command was sent, how it ended is not known: send it again under its --id",
    ExitCode.BUG: "a bug of this program",
    ExitCode.STOPPED: "stopped by Ctrl-C",
}


class CliError(DetailedError):
    """A command cannot go on; its text is the one line that people see."""

    exit_code = ExitCode.REFUSED

    @property
    def fields(self) -> Mapping[str, Any]:
        """What JSON tells besides the text."""
        return {}


class UsageMistakeError(CliError):
    """The command line cannot be understood."""

    exit_code = ExitCode.USAGE


class NoDaemonError(CliError):
    """No running daemon was found or reached."""

    exit_code = ExitCode.NO_DAEMON


class OutcomeUnsureError(CliError):
    """The command under *message_id* was sent, or may have been, and nothing is known of its outcome."""

    exit_code = ExitCode.UNKNOWN_OUTCOME

    def __init__(self, message_id: str, detail: str) -> None:
        Exception.__init__(self, message_id, detail)
        self.message_id, self.detail = message_id, detail

    def __str__(self) -> str:
        return f"{self.detail}; it takes effect once if you send it again with --id {self.message_id}"

    @property
    def fields(self) -> Mapping[str, Any]:
        return {"id": self.message_id}


class StoppedError(OutcomeUnsureError):
    """Somebody stopped waiting for the outcome."""

    exit_code = ExitCode.STOPPED


_NAMED_CODES = {
    "SettingsError": ExitCode.USAGE,
    "UnreachableError": ExitCode.NO_DAEMON,
    "StorageUnavailableError": ExitCode.NO_DAEMON,
    "NotAcceptedError": ExitCode.UNKNOWN_OUTCOME,
    "OutcomeUnknownError": ExitCode.UNKNOWN_OUTCOME,
    "ViewTimeoutError": ExitCode.NO_DAEMON,
}
"""By name, because importing their modules takes time that most commands can do without."""


def exit_code_of(error: SparkError) -> ExitCode:
    """The exit code for an error that ends a command."""
    if isinstance(error, CliError):
        return error.exit_code
    return _NAMED_CODES.get(type(error).__name__, ExitCode.REFUSED)


def one_line(text: str) -> str:
    """Text without its line breaks: each line was a sentence of its own."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def words_of(error: OSError) -> str:
    """Why the system refuses, in its words alone: neither the number nor the file, which the caller names."""
    return (error.strerror or type(error).__name__).lower()
