"""Arguments and results of tasks as JSON bytes, with the function's annotations giving types back.

    async def charge(order: Order, cents: int = 100) -> Receipt: ...

    signature = Signature.of(charge, name="charge")
    payload = signature.encode((order,), {"cents": 5})     # b'{"order":{...},"cents":5}'
    args, kwargs = signature.decode(payload)               # (), {"order": Order(...), "cents": 5}

On the wire, arguments are one JSON object keyed by parameter, positional ones included, so that any
language can submit them. The values of `*args` are a list and those of `**kwargs` an object, each
under its parameter's name. Defaults that the caller leaves out aren't stored: those of the worker's
version of the function apply when the job runs.

Values are checked against the annotations at submit. What fits is taken as the annotation says: an
int for a float, a list for a set, a dict or a str for the class whose JSON form it is, a Path for a
str, a subclass's instance for the annotated class. What would not arrive whole is refused: the
fields that a subclass added, and what a pydantic model masks or leaves out of its JSON form.
Parameters without annotation take any JSON value: a datetime arrives there as a string.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from inspect import Parameter
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from conduit.core.annotations import (
    as_written,
    check_callable,
    check_type,
    holds_classes,
    resolve,
    shown,
)
from conduit.core.binding import Binder
from conduit.core.errors import ArgumentError, PayloadError, SerializationError
from conduit.core.losses import find_loss
from conduit.core.model import ParameterInfo
from conduit.core.parameters import describe, plain_info
from conduit.core.values import (
    DEFAULT_PAYLOAD_LIMIT,
    UnencodableError,
    check_size,
    decode_value,
    decode_value_as,
    encode_value,
    explain_misfit,
    explain_unreadable,
    fault_of,
    fit,
    refuse_nan_and_depth,
    revive,
    serialization_error,
    to_plain,
    write_json,
)

__all__ = [
    "DEFAULT_PAYLOAD_LIMIT",
    "Arguments",
    "Signature",
    "decode_value",
    "decode_value_as",
    "encode_value",
]


class Arguments(NamedTuple):
    """What a stored payload holds, ready for `fn(*args, **kwargs)`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Signature:
    """The parameters and the return type of one task; built once, when the task is registered."""

    def __init__(
        self, name: str, text: str, parameters: Collection[Parameter], returns: Any
    ) -> None:
        """Use `Signature.of`. The parameters' annotations are types here, not strings."""
        self._name = name
        self._text = text
        self._parameters = {each.name: each for each in parameters}
        self._binder = Binder(f"task {name!r}", text, [plain_info(each) for each in parameters])
        self._all_by_keyword = len(self._binder.by_keyword) == len(parameters)
        self._fields = _fields_struct(parameters, self._binder.required)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            self._fields, dec_hook=revive
        )
        self._may_lose = any(holds_classes(each.annotation) for each in parameters)
        self._returns = returns
        self._result_may_lose = holds_classes(returns)
        self._may_return_none = returns in (Any, None, type(None))
        self._result_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            returns, dec_hook=revive
        )

    @classmethod
    def of(cls, fn: Callable[..., object], *, name: str) -> Signature:
        """Read the signature of `fn`, the task called `name`.

        Raises `InvalidTaskError` if `fn` isn't a function or a method, if it's a generator, or if
        an annotation can't be resolved or names a type that JSON can't carry.
        """
        check_callable(fn, name)
        bare, hints = resolve(fn, name)
        parameters = [
            each.replace(annotation=_hint_of(each, hints, name))
            for each in bare.parameters.values()
        ]
        returns = hints.get("return", Any)
        if returns in (typing.NoReturn, typing.Never):
            returns = Any
        check_type(returns, "the return value", name)
        return cls(name, f"{fn.__name__}{as_written(bare)}", parameters, returns)

    def __str__(self) -> str:
        """Return the signature as in the source: `charge(order: Order, cents: int = 100)`."""
        return self._text

    def parameters(self) -> tuple[ParameterInfo, ...]:
        """What the parameters take, as data for whoever submits by name."""
        types = (wire.type for wire in msgspec.structs.fields(self._fields))
        return describe(zip(self._parameters.values(), types, strict=True))

    # --- arguments ---------------------------------------------------------------------------

    def encode(
        self,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        *,
        limit: int = DEFAULT_PAYLOAD_LIMIT,
    ) -> bytes:
        """Bind as Python would, check against the annotations, and write as JSON.

        `limit` is in bytes. Raises `ArgumentError` naming the parameter, `SerializationError` with
        the path by which the caller passed the value (`args[0].when`, `kwargs.order.when`), and
        `PayloadTooLargeError`.
        """
        if not args and not kwargs and not self._binder.required:
            return b"{}"
        given = self._binder.bind(args, kwargs)
        try:
            plain = to_plain(given)
            roots = self._roots(plain)
            try:
                fields = fit(plain, self._fields)
            except Exception as error:  # a type's own code may raise anything while it is built
                refuse_nan_and_depth(roots)
                raise self._misfit(error, given, len(args)) from _own_error(error)
            if self._may_lose:
                self._refuse_loss(given, fields, len(args))
            payload = write_json(fields, roots)
        except UnencodableError as error:
            raise self._unencodable(args, kwargs) from error
        check_size(payload, limit, what=f"arguments of task {self._name!r}")
        return payload

    def decode(self, payload: bytes) -> Arguments:
        """Read stored arguments, ready for `fn(*args, **kwargs)`.

        Raises `PayloadError` if `payload` isn't JSON or doesn't fit the annotations.
        """
        if payload == b"{}" and not self._binder.required:
            return Arguments((), {})
        try:
            fields = self._decoder.decode(payload)
        except Exception as error:  # a type's own code may raise anything while it is rebuilt
            raise self._bad_payload(explain_unreadable(error, "")) from error
        values = zip(self._parameters, msgspec.structs.astuple(fields), strict=True)
        if self._all_by_keyword:
            return Arguments((), {name: value for name, value in values if value is not UNSET})
        return self._spread(dict(values))

    def _misfit(
        self, error: Exception, given: Mapping[str, object], by_position: int
    ) -> ArgumentError:
        """Describe the first value that doesn't fit, by the path by which the caller passed it."""
        for name, path, value, type_ in self._passed(given, by_position):
            try:
                fit(to_plain(value), type_)
            except msgspec.ValidationError as misfit:
                where, reason = explain_misfit(misfit)
                if where:
                    reason = f"at {path}{where}: {reason}"
                else:
                    reason = _by_python_names(reason, type_, value)
                return ArgumentError(f"argument {name!r} of task {self._name!r}: {reason}")
            except Exception as failure:
                reason = f"{type(failure).__name__}: {failure}"
                return ArgumentError(f"argument {name!r} of task {self._name!r}: {reason}")
        return ArgumentError(f"arguments of task {self._name!r} don't fit: {error}")

    def _refuse_loss(self, given: Mapping[str, object], fields: Any, by_position: int) -> None:
        values = dict(zip(self._parameters, msgspec.structs.astuple(fields), strict=True))
        arriving = self._passed({name: values[name] for name in given}, by_position)
        for (_, path, value, _), (_, _, arrives, _) in zip(
            self._passed(given, by_position), arriving, strict=True
        ):
            if loss := find_loss(value, arrives, path):
                raise SerializationError(
                    f"arguments of task {self._name!r}: {loss.path} {loss.reason}", path=loss.path
                )

    def _passed(
        self, given: Mapping[str, object], by_position: int
    ) -> Iterator[tuple[str, str, Any, Any]]:
        """Yield name, caller's path, value and type of each value, those of `*args` one by one."""
        named = self._binder.positional[:by_position]
        for name, value in given.items():
            type_ = self._parameters[name].annotation
            if name == self._binder.rest:
                assert isinstance(value, list)
                for index, item in enumerate(typing.cast("list[object]", value), len(named)):
                    yield name, f"args[{index}]", item, type_
            elif name == self._binder.extra:
                assert isinstance(value, dict)
                for key, item in typing.cast("dict[str, object]", value).items():
                    yield key, f"kwargs.{key}", item, type_
            elif name in named:
                yield name, f"args[{named.index(name)}]", value, type_
            else:
                yield name, f"kwargs.{name}", value, type_

    def _roots(self, plain: dict[str, Any]) -> Collection[object]:
        """Return the values as the caller passed them, those of `*args` and `**kwargs` singly."""
        if self._binder.rest is None and self._binder.extra is None:
            return plain.values()
        alone = [
            v for name, v in plain.items() if name not in (self._binder.rest, self._binder.extra)
        ]
        return [
            *alone,
            *plain.get(self._binder.rest or "", ()),
            *plain.get(self._binder.extra or "", {}).values(),
        ]

    def _unencodable(
        self, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> SerializationError:
        passed = [(f"args[{index}]", value) for index, value in enumerate(args)]
        passed += [(f"kwargs.{name}", value) for name, value in kwargs.items()]
        path, culprit = next(
            ((path, value) for path, value in passed if fault_of(value) is not None),
            ("kwargs", kwargs),
        )
        return serialization_error(culprit, path, what=f"arguments of task {self._name!r}")

    def _spread(self, values: dict[str, Any]) -> Arguments:
        """Sort values by how they must be passed: a list after them makes names positional."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        rest = values.get(self._binder.rest, UNSET) if self._binder.rest is not None else UNSET
        for name, parameter in self._parameters.items():
            value = values[name]
            if parameter.kind is Parameter.POSITIONAL_ONLY or (
                rest is not UNSET and parameter.kind is Parameter.POSITIONAL_OR_KEYWORD
            ):
                args.append(parameter.default if value is UNSET else value)
            elif value is UNSET:
                continue
            elif parameter.kind is Parameter.VAR_POSITIONAL:
                args.extend(value)
            elif parameter.kind is Parameter.VAR_KEYWORD:
                if clash := sorted(self._binder.by_keyword & value.keys()):
                    raise self._bad_payload(f"{name} holds {clash[0]!r}, a parameter of its own")
                kwargs.update(value)
            else:
                kwargs[name] = value
        return Arguments(tuple(args), kwargs)

    def _bad_payload(self, reason: str) -> PayloadError:
        return PayloadError(
            f"stored arguments of task {self._name!r} don't fit {self._text}: {reason}"
        )

    # --- result ------------------------------------------------------------------------------

    def encode_result(self, value: object, *, limit: int = DEFAULT_PAYLOAD_LIMIT) -> bytes:
        """Write what the task returned as JSON.

        Raises `SerializationError` with a path such as `result[0].when`, also for a value that
        isn't what the return annotation says (nobody could read it back), and
        `PayloadTooLargeError`.
        """
        if value is None and self._may_return_none:
            return b"null"
        what = f"result of task {self._name!r}"
        try:
            plain = to_plain(value)
            try:
                fitted = fit(plain, self._returns)
            except Exception as error:  # a type's own code may raise anything while it is built
                refuse_nan_and_depth([plain])
                raise self._wrong_result(error, value) from _own_error(error)
            if self._result_may_lose and (loss := find_loss(value, fitted, "result")):
                raise SerializationError(f"{what}: {loss.path} {loss.reason}", path=loss.path)
            payload = write_json(fitted, [plain])
        except UnencodableError as error:
            raise serialization_error(value, "result", what=what) from error
        check_size(payload, limit, what=what)
        return payload

    def decode_result(self, payload: bytes) -> Any:
        """Read a result as the type of the return annotation. Raises `PayloadError`."""
        try:
            return self._result_decoder.decode(payload)
        except Exception as error:  # a type's own code may raise anything while it is rebuilt
            reason = explain_unreadable(error, "result")
            raise PayloadError(f"stored result of task {self._name!r}: {reason}") from error

    def _wrong_result(self, error: Exception, value: object) -> SerializationError:
        where, reason = "", f"{type(error).__name__}: {error}"
        if isinstance(error, msgspec.ValidationError):
            where, reason = explain_misfit(error)
            if not where:
                reason = _by_python_names(reason, self._returns, value)
        return SerializationError(
            f"result of task {self._name!r} isn't what its annotation says: "
            f"result{where}: {reason}",
            path=f"result{where}",
        )


def _by_python_names(reason: str, type_: Any, value: object) -> str:
    """Name the annotation and the value's own type where msgspec names kinds of JSON."""
    if re.fullmatch(r"expected [^,]+, got [a-zA-Z][\w.]*", reason):
        return f"expected {shown(type_)}, got {shown(type(value))}"
    return reason


def _own_error(error: Exception) -> BaseException | None:
    """What a type's own code raised, worth a traceback; a mere misfit is told in words."""
    return error.__cause__ if isinstance(error, msgspec.ValidationError) else error


def _hint_of(parameter: Parameter, hints: Mapping[str, Any], name: str) -> Any:
    hint = hints.get(parameter.name, Any)
    check_type(hint, f"parameter {parameter.name!r}", name)
    if parameter.default is None and hint is not Any:
        return hint | None  # `x: int = None` is an old habit, and None must pass there
    return hint


def _fields_struct(
    parameters: Collection[Parameter], required: Collection[str]
) -> type[msgspec.Struct]:
    """Make the type of a payload. Its own names are neutral: any parameter name is allowed."""
    wire_names = {f"f{index}": each.name for index, each in enumerate(parameters)}
    fields: list[Any] = []
    for field, each in zip(wire_names, parameters, strict=True):
        type_ = each.annotation
        if each.kind is Parameter.VAR_POSITIONAL:
            type_ = list[type_]
        elif each.kind is Parameter.VAR_KEYWORD:
            type_ = dict[str, type_]
        fields.append((field, type_) if each.name in required else (field, type_, UNSET))
    return msgspec.defstruct(
        "Arguments", fields, rename=wire_names, kw_only=True, forbid_unknown_fields=True
    )
