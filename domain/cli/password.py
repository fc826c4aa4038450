"""Turns a password into the hash that sign-up takes, so that the password itself never leaves the machine."""

from __future__ import annotations

import getpass
import sys

from spark_actors.cli.errors import UsageMistakeError


def hash_password(password: str) -> str:
    """An argon2id hash in PHC form, with the parameters that the library recommends."""
    from domain.auth.adapters.passwords import hash_password as hashed

    return hashed(password)


def ask_password(*, is_new: bool = True) -> str:
    """A password typed without echo (a new one twice), or the first line of standard input if that is no terminal."""
    if not sys.stdin.isatty():
        return _required(sys.stdin.readline().rstrip("\r\n"))
    password = _required(getpass.getpass("Password: "))
    if is_new and getpass.getpass("Once more: ") != password:
        raise UsageMistakeError("the two passwords are not the same")
    return password


def _required(password: str) -> str:
    if not password:
        raise UsageMistakeError("the password is empty")
    return password
