"""Addresses on which the built-in services of several machines find each other."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Self

from spark_actors.embedded.errors import AddressUnusableError

LOOPBACK = "127.0.0.1"
ANY_PORT = 0
LARGEST_PORT = 65_535
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # with settings: none
SETTINGS = 4
FRAME_HEAD_BYTES = 9
"""Of HTTP/2 (RFC 9113): each side begins with a frame of settings, whose type is the fourth byte."""


@dataclass(frozen=True)
class Address:
    """An IPv4 address and a port. As text: `10.0.0.1:6379`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, default_port: int) -> Self:
        """What stands there, a host name looked up. Raises AddressUnusableError."""
        host, _, port = text.partition(":")
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= LARGEST_PORT):
            raise AddressUnusableError(text, f"{port!a} is no port; expected HOST or HOST:PORT")
        try:
            found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM) if host else []
        except (OSError, UnicodeError) as error:
            raise AddressUnusableError(text, f"no IPv4 address is found for {host!a} ({error})") from error
        if not found:
            raise AddressUnusableError(text, "expected HOST or HOST:PORT")
        return cls(found[0][4][0], int(port) if port else default_port)  # type: ignore[arg-type]  # it is text for IPv4


def refuse_foreign(host: str) -> None:
    """Raise AddressUnusableError unless *host* is one IPv4 address of this machine, by which others can find it."""
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError as error:
        raise AddressUnusableError(host, "expected an IPv4 address of this machine") from error
    if address.is_unspecified:
        raise AddressUnusableError(host, "other machines cannot find it by that; name one address of this machine")
    with socket.socket() as probe:
        try:
            probe.bind((host, ANY_PORT))
        except OSError as error:
            raise AddressUnusableError(host, f"it is no address of this machine ({error.strerror})") from error


def own_address_towards(other: Address) -> str:
    """By which of its addresses this machine speaks with another one. Sends nothing. Raises AddressUnusableError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((other.host, other.port))
        except OSError as error:
            raise AddressUnusableError(
                str(other), f"no way leads there from this machine ({error.strerror})"
            ) from error
        return str(probe.getsockname()[0])


def is_port_free(host: str, port: int) -> bool:
    """Whether a server could listen there at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def is_answering(address: Address, timeout_seconds: float) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((address.host, address.port), timeout=timeout_seconds).close()
    except OSError:
        return False
    return True


def speaks_http2(address: Address, timeout_seconds: float) -> bool:
    """Whether a server of HTTP/2, such as one of gRPC, answers there in time."""
    try:
        with socket.create_connection((address.host, address.port), timeout=timeout_seconds) as probe:
            probe.sendall(HTTP2_HELLO)
            answer = probe.recv(FRAME_HEAD_BYTES, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(answer) == FRAME_HEAD_BYTES and answer[3] == SETTINGS
