"""What may go wrong with a built-in service, as errors that name the service and the remedy.

EmbeddedServiceError
├── AddressUnusableError      nothing can listen on, or reach, what was given as an address
├── DataDirLockedError        another daemon works in this data folder
├── DataDirUnusableError      nothing can work in this data folder
├── HeadUnreachableError      no head of ours answers at this address
├── NodeMismatchError         this machine runs something else than the head it would join
├── PortTakenError            the wanted port belongs to somebody else
├── ServiceFailedError        the service ended, or refused to start
├── ServiceLostError          the service has ended by itself and cannot be started again beside what used it
├── ServiceTimeoutError       the service is alive but not ready, or does not stop
└── TokenRefusedError         the head answers, and does not take our token
"""

from pathlib import Path

from spark_actors.kernel.errors import SparkError


class EmbeddedServiceError(SparkError):
    """A built-in service cannot be used."""


class DataDirLockedError(EmbeddedServiceError):
    """Another daemon works in this data folder; `pid` is 0 when it could not be read."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(path, pid)
        self.path, self.pid = path, pid

    def __str__(self) -> str:
        holder = f"process {self.pid}" if self.pid else "another process"
        return f"data folder {self.path} is in use by {holder}: stop it, or choose another --data-dir"


class DataDirUnusableError(EmbeddedServiceError):
    """The path of the data folder, or its owner, is such that nothing can work there."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"data folder {str(self.path)!a} cannot be used: {self.reason}"


class AddressUnusableError(EmbeddedServiceError):
    """It is no address, or none that can be used from this machine."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address, self.reason = address, reason

    def __str__(self) -> str:
        return f"address {self.address!a} cannot be used: {self.reason}"


class HeadUnreachableError(EmbeddedServiceError):
    """No head of ours answers at this address, at least not now."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address, self.reason = address, reason

    def __str__(self) -> str:
        return f"no head is reached at {self.address}: {self.reason}"


class NodeMismatchError(EmbeddedServiceError):
    """What must be the same on all machines is not: `what` (release, Python, Ray), `here`, and `there` on the head."""

    def __init__(self, what: str, here: str, there: str) -> None:
        super().__init__(what, here, there)
        self.what, self.here, self.there = what, here, there

    def __str__(self) -> str:
        return f"this node cannot join: its {self.what} is {self.here}, the head's is {self.there}; install the same"


class TokenRefusedError(EmbeddedServiceError):
    """The head at this address wants another token."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        return f"the head at {self.address} does not take this token: copy the one of its data folder"


class PortTakenError(EmbeddedServiceError):
    """The wanted port is in use on this machine."""

    def __init__(self, service: str, host: str, port: int) -> None:
        super().__init__(service, host, port)
        self.service, self.host, self.port = service, host, port

    def __str__(self) -> str:
        where = f"{self.host}:{self.port}"
        return f"{self.service} cannot listen on {where}: the port is taken; choose another, or 0 for a free one"


class ServiceFailedError(EmbeddedServiceError):
    """The service ended by itself or refused to start; `detail` holds its last words."""

    def __init__(self, service: str, detail: str) -> None:
        super().__init__(service, detail)
        self.service, self.detail = service, detail

    def __str__(self) -> str:
        return f"{self.service} failed: {self.detail}"


class ServiceLostError(EmbeddedServiceError):
    """The service has ended by itself, and only a new start of the daemon brings it back."""

    def __init__(self, service: str, part: str) -> None:
        super().__init__(service, part)
        self.service, self.part = service, part

    def __str__(self) -> str:
        return f"{self.service} has ended by itself ({self.part}): the daemon ends too; start it again"


class ServiceTimeoutError(EmbeddedServiceError):
    """The service did not reach the awaited state in time."""

    def __init__(self, service: str, awaited: str, seconds: float) -> None:
        super().__init__(service, awaited, seconds)
        self.service, self.awaited, self.seconds = service, awaited, seconds

    def __str__(self) -> str:
        return f"{self.service} was not {self.awaited} within {self.seconds:g} s"
