"""Hostile, malformed and borderline messages, as hypothesis strategies: what somebody with a broker token may send."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from spark_actors.kernel.messages import Command, MessageRegistry
from spark_actors.messaging.cloudevents import command_body, command_subject, event_headers
from tests.fixtures.application import CONTEXTS, example

REGISTRY = MessageRegistry(message for context in CONTEXTS for message in context.messages)
COMMANDS = [cls for cls in REGISTRY if issubclass(cls, Command)]
MAX_BODY_BYTES = 65_536
CANARY = "CANARY-never-to-be-quoted"
"""Stands where a secret stands."""
SECRETS = ("password_hash", "preimage")

SQL = [
    "'; DROP TABLE accounting.accounts; --",
    "' OR 1=1 --",
    "$$; SELECT pg_sleep(9) $$",
    "{x,NULL}",
    "\\'); COMMIT; --",
]
ODD_TEXT = [
    *(
        "",
        " ",
        "\x00",
        "\x1b[31m",
        "\r\n",
        "a\u202eb",
        "\u200b",
        "\ufeff",
        "\ud800",
        "\udfff\ud800",
        "e\u0301",
        "\U0010ffff",
    ),
    *("../../etc/passwd", "%s%n{0}", "a" * 201, "a" * 10_001, "\N{ZERO WIDTH JOINER}" * 50, "null", "NaN", "ａdmin"),
    *SQL,
]
ODD_NUMBERS = [0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**300, 1.5, 1e308, -0.0, True]
RAW_VALUES = [
    *(
        "NaN",
        "-Infinity",
        "1e999999",
        "9" * 5_000,
        "-",
        "01",
        "+1",
        "0x10",
        "1_000",
        ".5",
        "1.",
        "'a'",
        "tru",
        "undefined",
    ),
    *('"\\ud800"', '"\\x41"', '"\x00"', '"\n"', "[" * 2_000, '{"a":' * 2_000, "[1,]", "{,}", "/* */1", "1 1", ""),
]
"""JSON, or nearly, that no encoder writes."""

texts = st.sampled_from(ODD_TEXT) | st.text(st.characters(exclude_categories=()), max_size=20)
values = st.recursive(
    st.none() | st.sampled_from(ODD_NUMBERS) | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=6,
)


@dataclass(frozen=True)
class Hostile:
    """A message to the broker; its headers are those of the event."""

    subject: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def good_members(cls: type[Command]) -> dict[str, Any]:
    """The JSON of a good message, with canaries for secrets."""
    members: dict[str, Any] = json.loads(command_body(example(cls), message_id="m-1", source="/fuzz", why="fuzz"))
    members["data"] |= {name: CANARY for name in SECRETS if name in members["data"]}
    return members


def good_body(cls: type[Command]) -> bytes:
    return json.dumps(good_members(cls)).encode()


@st.composite
def with_odd_members(draw: st.DrawFn) -> Hostile:
    """A good message with some of its members, or of its data's, changed, taken out or joined by strangers."""
    cls = draw(st.sampled_from(COMMANDS))
    body = good_members(cls)
    for _ in range(draw(st.integers(1, 3))):
        members = body["data"] if draw(st.booleans()) and isinstance(body.get("data"), dict) else body
        name = draw(st.sampled_from(sorted(members) or ["data"]) | texts)
        if draw(st.integers(0, 4)):
            members[name] = odd_secret(draw, name) if name in SECRETS else draw(values)
        else:
            members.pop(name, None)
    if draw(st.booleans()) and isinstance(data := body.get("data"), dict) and data.keys() - set(SECRETS):
        body["subject"] = data[draw(st.sampled_from(sorted(data.keys() - set(SECRETS))))]
    return Hostile(
        command_subject(cls.TYPE), json.dumps(body, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    )


ODD_NAMES = [
    *(
        "",
        "x",
        "x" * 65,
        "partitionkey",
        "partitionKey",
        "trace-parent",
        "data",
        "data_base64",
        "ID",
        "é",
        " id",
        "id:",
    ),
    *("traceparent", "dataschema", "datacontenttype", "why", "time", "correlationid", "subject"),
]
ODD_ATTRIBUTES = [
    *("1.0", "application/json; charset=utf-16", "text/plain", "urn:x", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
    *("%", "%zz", "%C0%A0", "%ed%a0%80", "%00", "%0a", '"', '"a', '"\\', "a, b", "x" * 20_000, "%41" * 6_000),
    *("\ufffd", "\x85", "null"),
]


@st.composite
def with_extensions(draw: st.DrawFn) -> Hostile:
    """A good message with attributes that the specification does not know, or hardly."""
    cls = draw(st.sampled_from(COMMANDS))
    names = st.sampled_from(ODD_NAMES) | st.from_regex(r"[a-z0-9]{1,70}", fullmatch=True)
    extensions = draw(st.dictionaries(names, values | st.sampled_from(ODD_ATTRIBUTES), max_size=40))
    body = json.dumps({**good_members(cls), **extensions}, ensure_ascii=draw(st.booleans()))
    return Hostile(command_subject(cls.TYPE), body.encode(errors="surrogatepass"))


@st.composite
def in_binary_mode(draw: st.DrawFn) -> Hostile:
    """A message whose attributes are headers: some changed, taken out or joined by strangers; or none of them."""
    cls = draw(st.sampled_from(COMMANDS))
    members = good_members(cls)
    data = json.dumps(members.pop("data")).encode()
    headers = {f"ce-{name}": quote(value, safe="/:.@") for name, value in members.items()}
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([*sorted(headers), "content-type", *(f"ce-{odd.lower()}" for odd in ODD_NAMES)]))
        if draw(st.integers(0, 3)):
            headers[name] = draw(st.sampled_from(ODD_ATTRIBUTES) | texts)
        else:
            headers.pop(name, None)
    body = draw(st.sampled_from([data, data, data, b"", b"null", b"[]", json.dumps(members).encode()]))
    return Hostile(command_subject(cls.TYPE), body, event_headers(headers))


def odd_secret(draw: st.DrawFn, name: str) -> object:
    return draw(st.sampled_from([CANARY, [CANARY], {"x": CANARY}, CANARY + "\x00", CANARY * 200, {CANARY: 1}]))


@st.composite
def with_raw_values(draw: st.DrawFn) -> Hostile:
    """A good message in which one value is text that is no JSON, or of a kind that encoders do not write."""
    cls = draw(st.sampled_from(COMMANDS))
    body = good_members(cls)
    members = body["data"] if draw(st.booleans()) else body
    members[draw(st.sampled_from(sorted(members)))] = "@@"
    return Hostile(
        command_subject(cls.TYPE), json.dumps(body).replace('"@@"', draw(st.sampled_from(RAW_VALUES))).encode()
    )


@st.composite
def with_repeated_members(draw: st.DrawFn) -> Hostile:
    """A good message in which a key comes twice: parsers that take the first or the last read different messages."""
    cls = draw(st.sampled_from(COMMANDS))
    body = good_members(cls)
    members = body["data"] if draw(st.booleans()) else body
    name = draw(st.sampled_from(sorted(members)))
    text = json.dumps(body)
    first = f'"{name}": '
    again = first + json.dumps(draw(values)) + ", "
    return Hostile(command_subject(cls.TYPE), text.replace(first, again + first, 1).encode())


@st.composite
def with_changed_bytes(draw: st.DrawFn) -> Hostile:
    """A good message cut, or with bytes flipped, put in or taken out."""
    cls = draw(st.sampled_from(COMMANDS))
    body = bytearray(good_body(cls))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            del body[start:]
        elif kind == 1 and start < len(body):
            body[start] ^= draw(st.integers(1, 255))
        else:
            body[start : start + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return Hostile(command_subject(cls.TYPE), bytes(body))


@st.composite
def wrapped(draw: st.DrawFn) -> Hostile:
    """A good message in the wrong dress: byte order marks, other encodings, twice, in an array, on another subject."""
    cls, other = draw(st.sampled_from(COMMANDS)), draw(st.sampled_from(COMMANDS))
    good = good_body(cls)
    dresses: list[Callable[[bytes], bytes]] = [
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body.decode().encode("utf-16"),
        lambda body: body.decode().encode("utf-32-le"),
        lambda body: body + body,
        lambda body: b"[" + body + b"]",
        lambda body: json.dumps(body.decode()).encode(),
        lambda body: body + b"\x00",
        lambda body: b" \n\t" * 5_000 + body,
        lambda body: body,
    ]
    subjects = [command_subject(other.TYPE), command_subject(cls.TYPE), command_subject(cls.TYPE).upper()]
    odd = [command_subject(cls.TYPE) + ".x", "spark.commands", "spark.commands.\\xff", "spark.commands.x.y", "*"]
    return Hostile(draw(st.sampled_from(subjects + odd)), draw(st.sampled_from(dresses))(good))


@st.composite
def big(draw: st.DrawFn) -> Hostile:
    """As much as a message may hold, and more, of what is dear to parse."""
    cls = draw(st.sampled_from(COMMANDS))
    size = draw(st.sampled_from([1_000, 60_000, MAX_BODY_BYTES, MAX_BODY_BYTES + 1, 1_048_576]))
    units = ["[", '{"a":', "{},", '"a":1,', "9", "\\u0041", "a", " ", "é", "[[]],", "1e9,", '"' + "\\" * 2]
    unit = draw(st.sampled_from(units))
    filling = unit * (size // len(unit))
    shapes = ["%s", "[%s]", '"%s"', "{%s}", '{"x":[%s 1]}', '{"specversion":"1.0","id":"%s"}', '{"x":%s}']
    text = draw(st.sampled_from(shapes)) % filling
    if draw(st.booleans()):
        text = json.dumps({**good_members(cls), "data": "@@"}).replace('"@@"', text)
    numbered = "".join(f'"k{number}":{number},' for number in range(size // 12))
    body = draw(st.sampled_from([text, "{" + numbered + '"k0":1}']))
    return Hostile(command_subject(cls.TYPE), body.encode()[:1_048_576])


arbitrary = st.builds(
    Hostile, st.sampled_from(COMMANDS).map(lambda cls: command_subject(cls.TYPE)), st.binary(max_size=120)
)
good = st.sampled_from(COMMANDS).map(lambda cls: Hostile(command_subject(cls.TYPE), good_body(cls)))
bucketed = st.builds(
    lambda cls, bucket: Hostile(f"{command_subject(cls.TYPE)}.{bucket}", good_body(cls)),
    st.sampled_from(COMMANDS),
    st.one_of(st.integers(0, 4095), st.integers(), st.text("0123456789+-_exé", min_size=1, max_size=8)),
)
"""Good, but nearly always on a subject with another key's bucket, or what is none."""
elsewhere = st.builds(
    lambda cls, other: Hostile(command_subject(other.TYPE), good_body(cls)),
    st.sampled_from(COMMANDS),
    st.sampled_from(COMMANDS),
)
"""Good, but nearly always on another command's subject."""

messages = st.one_of(
    elsewhere,
    bucketed,
    with_odd_members(),
    with_odd_members(),
    with_raw_values(),
    with_repeated_members(),
    with_changed_bytes(),
    with_changed_bytes(),
    with_extensions(),
    in_binary_mode(),
    wrapped(),
    arbitrary,
    good,
)
"""Everything but what is big."""
