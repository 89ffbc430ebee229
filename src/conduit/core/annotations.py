"""Reading a function's annotations when it becomes a task, and refusing what JSON can't carry."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Any, Final

import msgspec
from msgspec import inspect as shapes

from conduit.core.errors import InvalidTaskError
from conduit.core.losses import is_pydantic_model
from conduit.core.values import revive


def check_callable(fn: Callable[..., object], name: str) -> None:
    """Raise `InvalidTaskError` unless `fn` is a function or a method that gives one result."""
    if isinstance(fn, functools.partial):
        raise InvalidTaskError(
            f"task {name!r} is a functools.partial, which has no signature of its own: "
            "write a function that calls it"
        )
    if not (inspect.isfunction(fn) or inspect.ismethod(fn)):
        raise InvalidTaskError(
            f"task {name!r} is a {type(fn).__name__}: only a function or a method can be a task"
        )
    inner = inspect.unwrap(fn)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise InvalidTaskError(
            f"task {name!r} is a generator, whose values no one would receive: return a list"
        )


def resolve(fn: Any, name: str) -> tuple[inspect.Signature, dict[str, Any]]:
    """Return the signature as written and the annotations as types.

    Raises `InvalidTaskError` if a name in an annotation isn't defined where the task is.
    """
    function = inspect.unwrap(fn.__func__ if inspect.ismethod(fn) else fn)
    try:
        bare = inspect.signature(fn)
        try:
            return bare, typing.get_type_hints(function, include_extras=True)
        except NameError:
            # Perhaps the task is defined inside a function, beside the types that it names.
            scope = _enclosing_names(function.__code__)
            return bare, typing.get_type_hints(function, localns=scope, include_extras=True)
    except NameError as error:
        raise InvalidTaskError(_unresolved(function, error.name or str(error), name)) from error
    except Exception as error:  # annotations are expressions, which may raise anything
        raise InvalidTaskError(
            f"the annotations of task {name!r} can't be evaluated: {error}"
        ) from error


def _enclosing_names(code: CodeType) -> dict[str, Any]:
    """Return the local names of the functions and classes around a definition still under way."""
    names: dict[str, Any] = {}
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        if code in frame.f_code.co_consts:
            names = {**frame.f_locals, **names}
            code = frame.f_code
        frame = frame.f_back
    return names


def _unresolved(function: Any, missing: str, name: str) -> str:
    where = next(
        (
            "the return value" if each == "return" else f"parameter {each!r}"
            for each, annotation in function.__annotations__.items()
            if re.search(rf"\b{re.escape(missing)}\b", str(annotation))
        ),
        "a parameter",
    )
    return (
        f"task {name!r}: the annotation of {where} names {missing!r}, which isn't defined where "
        "the task is; import it there, and not only under `if TYPE_CHECKING`"
    )


def check_type(hint: Any, what: str, name: str) -> None:
    """Raise `InvalidTaskError` unless every value of the type survives the way through JSON."""
    try:
        msgspec.json.Decoder(hint, dec_hook=revive)
        shape = shapes.type_info(hint)
    except NameError as error:
        reason = f"a field of it names {error.name!r}, which isn't defined in its module"
    except Exception as error:  # resolving the fields of a class runs its annotations
        reason = str(error).split(" - type ")[0].replace("`", "")
    else:
        reason = _unfit_for_json(shape)
    if reason is None:
        return
    advice = (
        "Choose one of them, or make them tagged msgspec Structs, whose JSON says which is meant"
        if reason.startswith("Type unions")
        else "Use what JSON can carry, such as str, int, list, dict, datetime, or a dataclass"
    )
    raise InvalidTaskError(
        f"task {name!r}: {what} is annotated {shown(hint)}, which can't be used: {reason}. {advice}"
    )


def _unfit_for_json(shape: shapes.Type) -> str | None:
    """Return why a type can't be carried, from a walk over all the types that it holds."""
    for node in _walk(shape):
        if isinstance(node, shapes.CustomType) and not _has_hook(node.cls):
            return f"{node.cls.__qualname__} has no JSON form"
        if isinstance(node, shapes.DictType) and isinstance(node.key_type, _NOT_KEYS):
            return "a key of a JSON object is a string, which can't be turned back into its key"
    return None


def holds_classes(hint: Any) -> bool:
    """Whether a type that `check_type` took holds a class of which there may be subclasses."""
    return any(
        isinstance(node, (shapes.DataclassType, shapes.StructType))
        or (isinstance(node, shapes.CustomType) and is_pydantic_model(node.cls))
        for node in _walk(shapes.type_info(hint))
    )


def classes_in(hint: Any) -> Iterator[type[Any]]:
    """The classes that a type that `check_type` took is made of."""
    for node in _walk(shapes.type_info(hint)):
        cls = getattr(node, "cls", None)
        if isinstance(cls, type):
            yield cls


def _walk(shape: shapes.Type) -> Iterator[shapes.Type | shapes.Field]:
    seen: set[int] = set()
    ahead: list[Any] = [shape]
    while ahead:
        node = ahead.pop()
        if isinstance(node, tuple):
            ahead.extend(typing.cast("tuple[object, ...]", node))
        elif isinstance(node, (shapes.Type, shapes.Field)) and id(node) not in seen:
            seen.add(id(node))
            yield node
            ahead.extend(getattr(node, field) for field in node.__struct_fields__)


def _has_hook(cls: type[Any]) -> bool:
    return cls is object or issubclass(cls, PurePath) or is_pydantic_model(cls)


_NOT_KEYS: Final = (
    shapes.BoolType,
    shapes.NoneType,
    shapes.UnionType,  # 1 and "1" would be the same key
    shapes.CollectionType,
    shapes.TupleType,
    shapes.DictType,
    shapes.DataclassType,
    shapes.NamedTupleType,
    shapes.StructType,
    shapes.TypedDictType,
)


# --- showing types to people -----------------------------------------------------------------


class _Verbatim(str):
    """Text that `inspect.Signature` prints without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def as_written(signature: inspect.Signature) -> str:
    """Return the signature as in the source, with string annotations unquoted.

    It is for people, and Python whatever the defaults are.
    """

    def text(annotation: Any) -> Any:
        if annotation is inspect.Parameter.empty:
            return annotation
        return _Verbatim(annotation if isinstance(annotation, str) else shown(annotation))

    parameters = [
        each.replace(annotation=text(each.annotation), default=_default_as_written(each.default))
        for each in signature.parameters.values()
    ]
    return str(
        signature.replace(
            parameters=parameters, return_annotation=text(signature.return_annotation)
        )
    )


def _default_as_written(default: Any) -> Any:
    """A default that prints as an expression: `Colour.RED`; `...` for what has none."""
    if default is inspect.Parameter.empty:
        return default
    if isinstance(default, Enum) and default.name:  # a flag of nothing has none
        return _Verbatim(" | ".join(_members_as_written(default)))
    try:
        written = repr(default)
        call = ast.parse(f"f(default={written})", mode="eval").body
    except Exception:  # a repr is anybody's code
        return _Verbatim("...")
    is_one = isinstance(call, ast.Call) and not call.args and len(call.keywords) == 1
    return _Verbatim(written if is_one else "...")


def _members_as_written(default: Enum) -> list[str]:
    return [f"{type(default).__name__}.{name}" for name in default.name.split("|")]


def shown(hint: Any) -> str:
    """Return a type as one would write it, without the modules' names."""
    if hint is type(None):
        return "None"
    if isinstance(hint, type) and not hasattr(hint, "__args__"):
        return hint.__name__
    return re.sub(r"(?:[\w<>]+\.)+(?=\w)", "", str(hint))
