"""How a command of the command line ends when it does not end well: one clear line and an exit code."""

from __future__ import annotations

from enum import IntEnum

from domain.shared.errors import DetailedError


class ExitCode(IntEnum):
    """What a script can tell from the exit code."""

    DONE = 0
    REFUSED = 1  # the answer is no: rejected, failed, not found, or something is wrong
    USAGE = 2  # the command line or a setting cannot be understood
    NO_DAEMON = 3  # nobody there, or no answer in time


class CliError(DetailedError):
    """A command cannot go on; its text is the one line that people see."""

    exit_code = ExitCode.REFUSED


class UsageMistakeError(CliError):
    """The command line cannot be understood."""

    exit_code = ExitCode.USAGE


class NoDaemonError(CliError):
    """No running daemon was found or reached."""

    exit_code = ExitCode.NO_DAEMON
