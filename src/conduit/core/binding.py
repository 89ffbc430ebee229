"""Binds a call's arguments to parameter names, as Python would.

The SDK binds by the function itself, and `validation` by what a worker told of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NoReturn

from conduit.core.errors import ArgumentError
from conduit.core.model import ParameterInfo, ParameterKind

_POSITIONAL: Final = (ParameterKind.POSITIONAL_ONLY, ParameterKind.POSITIONAL_OR_KEYWORD)
_KEYWORD: Final = (ParameterKind.POSITIONAL_OR_KEYWORD, ParameterKind.KEYWORD_ONLY)


class Binder:
    """The parameters of one function; `what` and `signature` are for messages."""

    def __init__(self, what: str, signature: str, parameters: Sequence[ParameterInfo]) -> None:
        self.positional = tuple(each.name for each in parameters if each.kind in _POSITIONAL)
        self.by_keyword = frozenset(each.name for each in parameters if each.kind in _KEYWORD)
        self.required = tuple(each.name for each in parameters if each.required)
        self.rest = _only(parameters, ParameterKind.VAR_POSITIONAL)
        """The name of `*args`."""
        self.extra = _only(parameters, ParameterKind.VAR_KEYWORD)
        """The name of `**kwargs`."""
        self._what = what
        self._signature = signature
        self._count = len(parameters)

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Values by parameter name. Raises `ArgumentError`.

        What goes to `*args` is one list, and what goes to `**kwargs` one dict.
        """
        given: dict[str, object] = dict(zip(self.positional, args, strict=False))
        if len(args) > len(self.positional):
            if self.rest is None:
                self._refuse(f"takes {_counted(self.positional)} by position, got {len(args)}")
            given[self.rest] = list(args[len(self.positional) :])
        extra: dict[str, object] = {}
        for name, value in kwargs.items():
            if name not in self.by_keyword:
                if self.extra is None:
                    self._refuse_keyword(name)
                extra[name] = value
            elif name in given:
                self._refuse(f"got argument {name!r} twice, by position and by keyword")
            else:
                given[name] = value
        if extra and self.extra is not None:
            given[self.extra] = extra
        if len(given) < self._count:
            missing = [repr(name) for name in self.required if name not in given]
            if missing:
                plural = "s" if len(missing) > 1 else ""
                self._refuse(f"is missing argument{plural} {', '.join(missing)}")
        return given

    def _refuse(self, why: str) -> NoReturn:
        raise ArgumentError(f"{self._what} {why}; its signature is {self._signature}")

    def _refuse_keyword(self, name: str) -> NoReturn:
        if name in self.positional:
            self._refuse(f"takes argument {name!r} by position only")
        close = difflib.get_close_matches(name, self.by_keyword, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        self._refuse(f"has no argument {name!r}{hint}")


def _only(parameters: Sequence[ParameterInfo], kind: ParameterKind) -> str | None:
    return next((each.name for each in parameters if each.kind is kind), None)


def _counted(names: Collection[str]) -> str:
    return f"{len(names)} argument{'' if len(names) == 1 else 's'}" if names else "no arguments"
