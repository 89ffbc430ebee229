"""Values as JSON bytes and back: what jobs carry between processes.

JSON knows strings, numbers, booleans, null, lists and objects. Richer Python values are written in
their usual JSON form (a datetime as RFC 3339 text, bytes as base64, a dataclass as an object) and
come back as themselves only where an annotation names their type: see `conduit.core.codec`.
Without one they stay in their JSON form, and the keys of a dict become strings.

    payload = encode_value({"when": datetime(2026, 1, 2)})     # b'{"when":"2026-01-02T00:00:00"}'
    decode_value(payload)                                      # {"when": "2026-01-02T00:00:00"}
    decode_value_as(payload, dict[str, datetime])              # {"when": datetime(2026, 1, 2)}

pydantic is optional and never imported here: its models can only turn up in a process that has
imported it already.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import sys
from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from conduit.core.errors import PayloadError, PayloadTooLargeError, SerializationError
from conduit.core.losses import field_names, find_loss, is_pydantic_model, key_step

DEFAULT_PAYLOAD_LIMIT: Final = 1024 * 1024
"""Bytes that the arguments or the result of one job may take, unless configured otherwise."""

MAX_DEPTH: Final = 64
"""Levels of nesting that a value may have. Far below where any language's JSON parser gives up."""

_BINARY: Final = (bytes, bytearray, memoryview)
_KEPT_IN_PLAIN: Final = (
    *_BINARY,
    dt.datetime,
    dt.date,
    dt.time,
    dt.timedelta,
    UUID,
    Decimal,
)


def encode_value(value: object, *, path: str = "value", limit: int | None = None) -> bytes:
    """Write `value` as JSON, whatever its type.

    `path` is how messages name the value; `limit` is in bytes. Raises `SerializationError` with the
    path of the part that JSON can't carry, and `PayloadTooLargeError`.
    """
    try:
        plain = to_plain(value)
        payload = write_json(plain, [plain])
    except UnencodableError as error:
        raise serialization_error(value, path, what=path) from error
    check_size(payload, limit, what=path)
    return payload


def decode_value(payload: bytes) -> object:
    """Read JSON as plain Python values. Raises `PayloadError`."""
    return decode_value_as(payload, Any)


def decode_value_as(payload: bytes, type_: object) -> object:
    """Read JSON as a value of `type_`, any annotation that a task may have.

    Raises `PayloadError` if `payload` isn't JSON or doesn't fit.
    """
    try:
        return msgspec.json.decode(payload, type=cast("Any", type_), dec_hook=revive)
    except Exception as error:  # a type's own code may raise anything while it is rebuilt
        raise PayloadError(f"stored JSON: {explain_unreadable(error, 'value')}") from error


# --- the steps, shared with `conduit.core.codec` -----------------------------------------


class UnencodableError(Exception):
    """A value can't be written as JSON; `serialization_error` says which part and why.

    `path` leads from a pydantic model to the part of it that is at fault, where that is known.
    """

    def __init__(self, reason: str, *, path: str | None = None) -> None:
        super().__init__(reason)
        self.path = path


def to_plain(value: object) -> Any:
    """Unfold classes to dicts and lists, and leave dates, UUIDs, decimals and bytes as they are.

    What is left can be checked against an annotation without a bytes value passing for the str
    that it would become in JSON. Raises `UnencodableError`.
    """
    try:
        return msgspec.to_builtins(value, builtin_types=_KEPT_IN_PLAIN, enc_hook=_unfold)
    except UnencodableError:
        raise
    except Exception as error:  # a model's own serialiser may raise anything
        raise UnencodableError(_reason(error)) from error


def fit(plain: object, type_: Any) -> Any:
    """Build a `type_` from what `to_plain` gave. Raises `msgspec.ValidationError` if it can't.

    A str fits where the annotation names a type whose JSON form is a string, such as datetime,
    except for bytes: text passed for bytes is a mistake far more often than base64.
    """
    return msgspec.convert(plain, type_, builtin_types=_BINARY, dec_hook=revive)


def write_json(value: object, plain: Collection[object]) -> bytes:
    """Write `value` as JSON. `plain` holds its contents as `to_plain` gave them.

    Raises `UnencodableError`.
    """
    try:
        payload = _ENCODER.encode(value)
    except Exception as error:  # a model's own serialiser may raise anything
        raise UnencodableError(_reason(error)) from error
    # The encoder writes NaN and infinities as null and nests without limit. Both leave a mark in
    # the payload, so that only values which may have the fault pay for the search.
    if b"null" in payload or payload.count(b"[") + payload.count(b"{") > MAX_DEPTH:
        refuse_nan_and_depth(plain)
    # Offsets from UTC are written in hours and minutes, and may have seconds.
    if _OFFSET.search(payload):
        _refuse_seconds_in_offsets(plain)
    return payload


def check_size(payload: bytes, limit: int | None, *, what: str) -> None:
    """Raise `PayloadTooLargeError` if `payload` is longer than `limit` bytes."""
    if limit is not None and len(payload) > limit:
        raise PayloadTooLargeError(
            f"{what}: {len(payload):,} bytes of JSON, over the limit of {limit:,}; "
            "pass a reference instead, such as a path or a URL, or raise the limit",
            size=len(payload),
            limit=limit,
        )


def revive(type_: type[Any], value: object) -> object:
    """Build a type that msgspec doesn't know from its JSON form (msgspec's `dec_hook`)."""
    if type_ is object:
        return value
    if issubclass(type_, PurePath):
        if isinstance(value, str):
            return type_(value)
        raise TypeError(f"Expected `{type_.__name__}`, got `{type(value).__name__}`")
    if is_pydantic_model(type_):
        return _validate_model(type_, value)
    raise NotImplementedError(f"{type_.__qualname__} can't be built from JSON")


_WORDS: Final = {
    "array": "list",
    "object": "dict",
    "null": "None",
    "uuid": "UUID",
    "decimal": "Decimal",
    "duration": "timedelta",
}
_MISFIT: Final = re.compile(
    r"(?P<reason>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?", re.DOTALL
)


def explain_misfit(error: msgspec.ValidationError) -> tuple[str, str]:
    """Split msgspec's message into where (such as `.order.items[0]`) and why, in Python's words."""
    match = _MISFIT.fullmatch(str(error))
    assert match is not None  # the pattern takes any text
    reason = re.sub(r"`([^`]*)`", _in_python_words, match["reason"])
    reason = reason[:1].lower() + reason[1:]
    return match["path"] or "", f"a key: {reason}" if match["key"] else reason


def explain_unreadable(error: Exception, root: str) -> str:
    """Say why stored JSON couldn't be read, naming the part at fault by its path from `root`."""
    if isinstance(error, msgspec.ValidationError):
        where, reason = explain_misfit(error)
        path = f"{root}{where}".removeprefix(".")
        return f"{path}: {reason}" if path else reason
    if isinstance(error, (msgspec.DecodeError, UnicodeDecodeError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _in_python_words(quoted: re.Match[str]) -> str:
    return " | ".join(_WORDS.get(word, word) for word in quoted[1].split(" | "))


# --- finding the part that can't be written ----------------------------------------------------


def serialization_error(value: object, path: str, *, what: str) -> SerializationError:
    """Describe the innermost part of `value` that JSON can't carry. For values that failed."""
    where, reason = _locate(value, path)
    prefix = "" if what == path else f"{what}: "
    return SerializationError(f"{prefix}{where} {reason}", path=where)


def fault_of(value: object) -> str | None:
    """Return why `value` can't be written as JSON, or None if it can."""
    fault = _fault(value)
    return None if fault is None else str(fault)


def _fault(value: object) -> UnencodableError | None:
    try:
        plain = to_plain(value)
        write_json(plain, [plain])
    except UnencodableError as error:
        return error
    return None


def _locate(value: object, root: str) -> tuple[str, str]:
    path, ancestors = root, list[int]()
    while True:
        if id(value) in ancestors:
            return path, "refers back to what holds it, which JSON can't carry"
        if len(ancestors) == MAX_DEPTH:
            return root, _TOO_DEEP
        ancestors.append(id(value))
        if is_pydantic_model(type(value)):
            fault = _fault(value)
            if fault is not None and fault.path is not None:
                return path + fault.path, str(fault)
        for child_path, child in _children(value, path):
            if fault_of(child) is not None:
                value, path = child, child_path
                break
        else:
            reason = _key_fault(value) or fault_of(value) or "can't be written as JSON"
            return (root if reason == _TOO_DEEP else path), reason


def _children(value: object, path: str) -> Iterator[tuple[str, object]]:
    names = field_names(type(value))
    if names:
        for name in names:
            yield f"{path}.{name}", getattr(value, name)
    elif isinstance(value, dict):
        for key, child in cast("dict[object, object]", value).items():
            yield path + key_step(key), child
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, child in enumerate(cast("Collection[object]", value)):
            yield f"{path}[{index}]", child


def _key_fault(value: object) -> str | None:
    if isinstance(value, dict):
        for key in cast("dict[object, object]", value):
            if fault_of({key: None}) is not None:
                return f"has the key {key!r} ({type(key).__name__}), which JSON can't carry"
    return None


_TOO_DEEP: Final = f"is nested deeper than {MAX_DEPTH} levels, or refers back to itself"
_NOT_FINITE: Final = "is NaN or infinite, which JSON has no number for; pass None or a string"


def refuse_nan_and_depth(plain: Collection[object]) -> None:
    """Raise `UnencodableError` for what msgspec would write in silence.

    `plain` holds values from `to_plain`, whose containers are exactly dicts, lists and tuples.
    """
    level, depth = plain, 0
    while level:
        below: list[object] = []
        for value in level:
            kind = type(value)
            if kind in _CONTAINERS:
                if depth == MAX_DEPTH:
                    raise UnencodableError(_TOO_DEEP)
                contents = cast("Any", value)
                below.extend(contents.values() if kind is dict else contents)
            elif kind is float and not math.isfinite(cast("float", value)):
                raise UnencodableError(_NOT_FINITE)
        level, depth = below, depth + 1


def _refuse_seconds_in_offsets(plain: Collection[object]) -> None:
    """Raise `UnencodableError` for a time whose zone JSON would move by some seconds."""
    for value in _contents(plain):
        offset = value.utcoffset() if isinstance(value, (dt.datetime, dt.time)) else None
        if offset is not None and offset % _MINUTE:
            raise UnencodableError(
                f"is {offset} from UTC, and JSON has no seconds there; pass it in UTC, with "
                ".astimezone(UTC)"
            )


def _contents(plain: Collection[object]) -> Iterator[object]:
    """All values in what `to_plain` gave, the keys of dicts among them."""
    ahead = [*plain]
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict):
            for pair in cast("dict[object, object]", value).items():
                ahead.extend(pair)
        elif isinstance(value, (list, tuple)):
            ahead.extend(cast("Collection[object]", value))
        else:
            yield value


_MINUTE: Final = dt.timedelta(minutes=1)
_OFFSET: Final = re.compile(rb':(?<=\d[+-]\d\d:)\d\d"')  # "+01:00"; begun by what is found fast
_CONTAINERS: Final = frozenset({dict, list, tuple})


def _reason(error: Exception) -> str:
    if isinstance(error, UnencodableError):
        return str(error)
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    if isinstance(error, UnicodeEncodeError):
        return "holds a lone surrogate, which UTF-8 can't carry"
    return f"can't be written as JSON: {error}"


# --- types that msgspec doesn't know -----------------------------------------------------------


def _unfold(value: Any) -> object:
    """Turn what msgspec doesn't know into what it knows (msgspec's `enc_hook`)."""
    cls = cast("type[Any]", type(value))
    if issubclass(cls, PurePath):
        return str(value)
    if is_pydantic_model(cls):
        # By alias because validation expects aliases; `round_trip` leaves computed fields out.
        plain = value.model_dump(mode="json", by_alias=True, round_trip=True)
        _refuse_loss(value, plain)
        return plain
    # msgspec takes most built-in types exactly, so that their subclasses arrive here. A bool
    # arrives only as the key of a dict, where JSON would make it a number.
    if cls is not bool:
        for base, plain in _SUBCLASSED:
            if issubclass(cls, base):
                return plain(value)
    raise UnencodableError(f"is of type {cls.__name__}, which JSON can't carry")


def _refuse_loss(model: Any, plain: object) -> None:
    """Raise `UnencodableError` if a pydantic model doesn't come back from its own JSON form.

    One that isn't valid is left to whoever reads it as what is annotated.
    """
    cls = cast("Any", type(model))
    try:
        arrives = _validate_model(cls, plain)
    except Exception:  # a validator may raise anything
        fields: dict[str, Any] = cls.model_fields
        left_out = [name for name, field in fields.items() if field.exclude and field.is_required()]
        if left_out:
            raise UnencodableError(
                "is left out of its model's JSON form (exclude=True), which can't be read without",
                path=f".{left_out[0]}",
            ) from None
        return
    if arrives != model and (loss := find_loss(model, arrives)):
        raise UnencodableError(loss.reason, path=loss.path)


def _plain_datetime(value: dt.datetime) -> dt.datetime:
    return dt.datetime.combine(value.date(), value.timetz())


def _plain_date(value: dt.date) -> dt.date:
    return dt.date(value.year, value.month, value.day)


_SUBCLASSED: Final[tuple[tuple[type, Any], ...]] = (
    (str, str.__str__),  # not str(), which the subclass may have redefined
    (int, int),
    (float, float),
    (bytes, bytes),
    (dt.datetime, _plain_datetime),  # before date, its base
    (dt.date, _plain_date),
    (Decimal, Decimal),
)


def _validate_model(model: Any, value: object) -> object:
    """Validate as JSON rather than as Python values: strict models, too, take a date from text."""
    try:
        return model.model_validate_json(_ENCODER.encode(value))
    except sys.modules["pydantic"].ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise ValueError(
            "; ".join(
                f"{'.'.join(str(part) for part in fault['loc']) or model.__name__}: {fault['msg']}"
                for fault in faults
            )
        ) from error


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_unfold)
