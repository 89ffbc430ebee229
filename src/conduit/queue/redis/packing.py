"""Ids and values as scripts take them: all that they are told is text."""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from conduit.core.errors import QueueError

_pack = msgspec.msgpack.Encoder().encode
_json_encode = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode


def pack(value: object) -> bytes:
    """MessagePack for scripts, which know no `bytes` in it. Raises `QueueError`."""
    try:
        return _pack(value)
    except UnicodeEncodeError as error:
        raise _not_text(error) from None


def to_json(value: object) -> str:
    """JSON for scripts, which pass it on as text. Raises `QueueError` for text that isn't."""
    try:
        return _json_encode(value).decode()
    except UnicodeEncodeError as error:
        raise _not_text(error) from None


def _not_text(error: UnicodeEncodeError) -> QueueError:
    return QueueError(f"{error.object[:40]!r} holds a lone surrogate, which UTF-8 can't carry")


_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def short(job_id: str) -> str:
    """An id as it is stored: a UUID in 22 characters instead of 36, any other after a colon."""
    if _UUID(job_id) is None:
        return ":" + job_id
    return binascii.b2a_base64(bytes.fromhex(job_id.replace("-", "")), newline=False)[:22].decode()


def long(stored: str) -> str:
    """The id that `short` made this of."""
    if stored[0] == ":":
        return stored[1:]
    digits = binascii.a2b_base64(stored + "==").hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def members_of(value: bytes) -> list[str]:
    """A JSON object as JSON names and values in turn; they are merged by name, never re-encoded."""
    flat: list[str] = []
    for name, raw in _members(value).items():
        flat += (to_json(name), bytes(raw).decode())
    return flat


def object_of(flat: Sequence[str]) -> bytes:
    """The JSON object of names and values in turn."""
    pairs = ",".join(f"{flat[i]}:{flat[i + 1]}" for i in range(0, len(flat), 2))
    return f"{{{pairs}}}".encode()
