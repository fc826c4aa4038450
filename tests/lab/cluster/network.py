"""Where the machines of a cluster are: at loopback addresses, or each in a network of its own that can be cut off."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from spark_actors.kernel.errors import DetailedError

SUPERUSER_UID = 0
OUTSIDE = 254
"""The number of whoever is no machine of the cluster: us."""
_HIDING = 'while [ "$1" != -- ]; do mount -t tmpfs none "$1" || exit 1; shift; done; shift; exec "$@"'


class NetworkError(DetailedError):
    """A network cannot be made, cut, or taken away."""


class Network(Protocol):
    """Addresses by the numbers of machines."""

    can_be_cut: bool

    def address(self, number: int) -> str: ...
    def within(self, number: int, hidden: Sequence[Path]) -> list[str]:
        """What a program is started by to be on this machine, where the *hidden* folders of others are empty."""

    def cut(self, number: int) -> None:
        """Nobody reaches this machine any more, and it reaches nobody. Raises NetworkError."""

    def heal(self, number: int) -> None:
        """It is reached again."""

    def close(self) -> None:
        """Nothing is left of the network; no program may run in it any more. Safe to call twice."""


class Loopback:
    """All of 127/8 is this machine: an own part of it for each cluster. Needs no rights, and cannot be cut."""

    can_be_cut = False

    def __init__(self) -> None:
        self._part = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}"

    def address(self, number: int) -> str:
        return f"{self._part}.{number}"

    def within(self, number: int, hidden: Sequence[Path]) -> list[str]:
        return []

    def cut(self, number: int) -> None:
        raise NetworkError("machines at loopback addresses cannot be cut off")

    def heal(self, number: int) -> None:
        return None

    def close(self) -> None:
        return None


class Namespaces:
    """A network namespace for each machine, made when it is first needed, and a bridge on which we are, too. Of root.

    Sockets in the file system go across them: hence each machine's folders are hidden from the others.
    """

    can_be_cut = True

    def __init__(self) -> None:
        """Raises NetworkError."""
        self._name = f"sp{secrets.token_hex(3)}"  # names of links have 15 bytes at most
        self._part = f"198.18.{secrets.randbelow(256)}"  # set aside for measurements (RFC 2544)
        self._numbers: set[int] = set()
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{self.address(OUTSIDE)}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")

    @staticmethod
    def can_be_had() -> bool:
        """Whether this process may make them."""
        if os.geteuid() != SUPERUSER_UID or shutil.which("ip") is None:
            return False
        try:
            Namespaces().close()
        except NetworkError:
            return False
        return True

    def address(self, number: int) -> str:
        return f"{self._part}.{number}"

    def within(self, number: int, hidden: Sequence[Path]) -> list[str]:
        if number not in self._numbers:
            self._make(number)
        # What is mounted there is seen there alone.
        hiding = ["sh", "-c", _HIDING, "sh", *map(str, hidden), "--"] if hidden else []
        return [_program(), "netns", "exec", self._space(number), *hiding]

    def cut(self, number: int) -> None:
        _ip("link", "set", self._link(number), "down")

    def heal(self, number: int) -> None:
        _ip("link", "set", self._link(number), "up")

    def close(self) -> None:
        for number in self._numbers:
            _ip("netns", "delete", self._space(number))  # and the link with it, as soon as nobody is in there
        if self._bridge:
            _ip("link", "delete", self._bridge)
        self._numbers, self._name = set(), ""

    @property
    def _bridge(self) -> str:
        return f"{self._name}b" if self._name else ""

    def _link(self, number: int) -> str:
        return f"{self._name}v{number}"

    def _space(self, number: int) -> str:
        return f"{self._name}-{number}"

    def _make(self, number: int) -> None:
        space, link = self._space(number), self._link(number)
        _ip("netns", "add", space)
        self._numbers.add(number)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", link, "master", self._bridge, "up")
        _ip("-n", space, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", space, "link", "set", device, "up")


def _program() -> str:
    found = shutil.which("ip")
    if found is None:
        raise NetworkError("there is no program `ip` (iproute2)")
    return found


def _ip(*arguments: str) -> None:
    done = subprocess.run([_program(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
