"""The errors of the whole system, in one small tree.

SparkError
├── DomainError
│   └── BrokenRuleError          a value would be what the rules of its kind forbid
├── MessageError             a message cannot be understood
│   ├── UnknownMessageError
│   └── MalformedMessageError
└── DetailedError            its text says what went wrong; also the errors of the outer packages
    └── StorageError         the store did not take the work
        ├── StorageUnavailableError   may pass next time; nothing is known to be written
        │   └── RowLockedError        somebody else holds a lock that is needed; nothing is written
        ├── StaleVersionError         somebody else wrote first: reload and decide again
        ├── DuplicateMessageError     a message of the turn is in the inbox already
        ├── KeyParkedError            a message of the turn is for a key that must wait
        └── ConstraintError           a named rule of the database refused a row

A refusal that the business expects is an outcome (`Rejected`), never an exception.
Every error hands all its arguments to `Exception`, so that it survives pickling between processes.
"""


class SparkError(Exception):
    """The root of all errors of the runtime and of the applications on it."""


class DetailedError(SparkError):
    """Its text, `detail`, says what went wrong."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class DomainError(SparkError):
    """A rule of the domain was broken by the caller's own code."""


class BrokenRuleError(DomainError):
    """A value would be in a state, or be moved to one, that the rules of its kind forbid."""

    def __init__(self, rule: str, value: object, expected: str) -> None:
        super().__init__(rule, value, expected)
        self.rule, self.value, self.expected = rule, value, expected

    def __str__(self) -> str:
        return f"{self.rule}: {self.value!r} is refused: expected {self.expected}"


class MessageError(SparkError):
    """A message cannot be understood."""


class UnknownMessageError(MessageError):
    """No message of this name and version is registered."""

    def __init__(self, name: str, version: int) -> None:
        super().__init__(name, version)
        self.name, self.version = name, version

    def __str__(self) -> str:
        return f"message {self.name!r} version {self.version} is not known here"


class MalformedMessageError(MessageError):
    """The bytes of a message do not have the form that its type asks for."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class StorageError(DetailedError):
    """The store did not take the work."""


class StorageUnavailableError(StorageError):
    """The store is away or asked to try again; the same work may pass next time."""


class RowLockedError(StorageUnavailableError):
    """Somebody else holds a lock on what is to be written, for longer than this work may wait. Nothing was written."""


class StaleVersionError(StorageError):
    """An aggregate was written by somebody else since it was loaded."""


class DuplicateMessageError(StorageError):
    """A message of this turn has been handled before."""


class KeyParkedError(StorageError):
    """A message of this turn is for a key that must wait; or a key was to be worked off that is not released."""


class ConstraintError(StorageError):
    """A named constraint of the database refused a row."""

    def __init__(self, constraint: str, detail: str) -> None:
        Exception.__init__(self, constraint, detail)
        self.constraint, self.detail = constraint, detail

    def __str__(self) -> str:
        return f"{self.constraint}: {self.detail}"
