"""How routes read JSON and answer with it: msgspec on the wire, its schemas in the OpenAPI page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse

from conduit.server.http.problems import MEDIA_TYPE, Fault, Problem, ProblemError, faulty

T = TypeVar("T")

_REFERENCE = "#/components/schemas/{name}"
_DESCRIPTIONS = {
    400: "The body can't be read",
    401: "No key, or one that isn't known",
    403: "The key's role doesn't allow this",
    404: "No such thing",
    409: "The state forbids it",
    413: "The body is too large",
    415: "The body isn't JSON",
    422: "The request isn't valid",
    429: "Too many wrong keys from this address; try again after `Retry-After` seconds",
    503: "The queue or the history can't be reached; try again after `Retry-After` seconds",
}


class Json(JSONResponse):
    """A value as JSON."""

    def render(self, content: Any) -> bytes:
        """Payloads (`msgspec.Raw`) go out byte by byte as they came in."""
        return msgspec.json.encode(content)


def answers(type_: Any, *problems: int, status: int = 200, description: str = "") -> dict[str, Any]:
    """What a route is given so that its answer is described: `@router.get(…, **answers(…))`."""
    schemas = {status: content("application/json", type_, description or "As asked")}
    for problem in sorted({401, 403, 422, 429, 503, *problems}):
        schemas[problem] = content(MEDIA_TYPE, Problem, _DESCRIPTIONS[problem])
    return {"responses": schemas, "status_code": status, "response_class": Json}


def takes(type_: type[Struct], *, required: bool = True) -> dict[str, Any]:
    """What a route that reads a JSON body is given beside `answers`."""
    content = {"application/json": {"schema": _schema(type_)}}
    return {"openapi_extra": {"requestBody": {"content": content, "required": required}}}


async def read(request: Request, type_: type[T], *, default: T | None = None) -> T:
    """The request's body as a `type_`; `default`, where there is one, for an empty body.

    A body has to say that it is JSON: that keeps forms of foreign pages out, which no browser asks
    about before it sends them.
    """
    body = await request.body()
    if not body and default is not None:
        return default
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind[-5:] == "+json"
    ):
        raise ProblemError(
            415,
            "unsupported-media-type",
            "The body isn't JSON",
            "send JSON, and say so: Content-Type: application/json",
            headers={"Accept": "application/json"},
        )
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise faulty([Fault(f"body{path.rstrip('`')}", message)]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, "bad-json", "The body isn't JSON", str(error)) from error


# --- the OpenAPI page ------------------------------------------------------------------------


def components(types: Sequence[type[Struct]]) -> dict[str, Any]:
    """The schemas of the types, and of all that they are made of, by name."""
    _, found = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    return found


def content(media_type: str, type_: Any, description: str) -> dict[str, Any]:
    """How one answer is described."""
    return {"description": description, "content": {media_type: {"schema": _schema(type_)}}}


def _schema(type_: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([type_], ref_template=_REFERENCE)
    return schema
