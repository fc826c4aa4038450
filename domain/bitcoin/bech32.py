"""Bech32 (BIP 173) without its limit of 90 characters: words of five bits as text, with a prefix and a checksum."""

from __future__ import annotations

_LETTERS = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_DIGITS = b"0123456789abcdefghijklmnopqrstuv"
"""As `int` has them in base 32."""
_NO_WORD = 255
_WORD_OF_LETTER = bytes(_LETTERS.find(byte) if byte in _LETTERS else _NO_WORD for byte in range(256))
_LETTER_OF_WORD = _LETTERS + bytes(256 - 32)
_DIGIT_OF_WORD = _DIGITS + bytes(256 - 32)
_CHECKSUM_WORDS = 6
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _remainder(top: int) -> int:
    total = 0
    for place, generator in enumerate(_GENERATORS):
        if top >> place & 1:
            total ^= generator
    return total


_REMAINDERS = tuple(map(_remainder, range(32)))


def split(text: str) -> tuple[str, bytes] | None:
    """The prefix and the words, one a byte, of ASCII text in lower case; None if its form or checksum is wrong."""
    prefix, _, data = text.rpartition("1")
    words = data.encode().translate(_WORD_OF_LETTER)
    if len(words) < _CHECKSUM_WORDS or _NO_WORD in words or _checksum(prefix, words) != 1:
        return None
    return prefix, words[:-_CHECKSUM_WORDS]


def joined(prefix: str, words: bytes) -> str:
    """The text of a prefix and words."""
    checksum = _checksum(prefix, words + bytes(_CHECKSUM_WORDS)) ^ 1
    tail = bytes(checksum >> 5 * place & 31 for place in range(_CHECKSUM_WORDS - 1, -1, -1))
    return f"{prefix}1{(words + tail).translate(_LETTER_OF_WORD).decode()}"


def number(words: bytes) -> int:
    """Words as one number, the first word highest; 0 for none."""
    return int(b"0" + words.translate(_DIGIT_OF_WORD), 32)


def words_of(value: int, count: int) -> bytes:
    """A number as so many words. It must fit."""
    digits = bytearray()
    while value:
        digits.append(value & 31)
        value >>= 5
    return bytes(digits.ljust(count, b"\0")[::-1])


def octets(words: bytes) -> bytes | None:
    """The bytes that words hold; None if what is left over is a whole word or not zero."""
    length, left = divmod(5 * len(words), 8)
    value = number(words)
    if left >= 5 or value & (1 << left) - 1:
        return None
    return (value >> left).to_bytes(length)


def words_of_octets(content: bytes) -> bytes:
    """Bytes as words, filled up with zero bits."""
    count = -(-8 * len(content) // 5)
    return words_of(int.from_bytes(content) << 5 * count - 8 * len(content), count)


def _checksum(prefix: str, words: bytes) -> int:
    code = prefix.encode()
    value = 1
    for word in (*(byte >> 5 for byte in code), 0, *(byte & 31 for byte in code), *words):
        value = (value & 0x1FFFFFF) << 5 ^ word ^ _REMAINDERS[value >> 25]
    return value
