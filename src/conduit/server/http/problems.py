"""What goes wrong, as HTTP tells it: `application/problem+json` (RFC 9457), for every error.

    {"type": "urn:conduit:job-state", "title": "The job's status forbids this", "status": 409,
     "detail": "…", "instance": "/api/v1/jobs/1/retry", "request_id": "…", "job_status": "running"}

`type` tells programs what happened, `detail` tells people; further members depend on the type. What
a request held is never repeated in an answer: it may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, cast

import msgspec
from fastapi.exceptions import RequestValidationError
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from conduit.core import errors
from conduit.server.db.failures import DatabaseAccessError, DatabaseUnavailableError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2


class Fault(Struct, frozen=True):
    """One thing that is wrong with a request."""

    where: Annotated[str, Meta(examples=["query.limit"])]
    message: Annotated[str, Meta(examples=["Input should be less than or equal to 500"])]


class Problem(Struct, frozen=True, kw_only=True):
    """An error, as RFC 9457 has it."""

    type: Annotated[str, Meta(examples=["urn:conduit:job-state"])]
    title: Annotated[str, Meta(examples=["The job's status forbids this"])]
    status: Annotated[int, Meta(examples=[409])]
    detail: Annotated[str, Meta(examples=["a running job can't be retried"])]
    instance: Annotated[str, Meta(examples=["/api/v1/jobs/0199f1f0/retry"])]
    request_id: Annotated[str, Meta(examples=["0199f1f0-7c3a-7c1e-8d7e-3a9f1c2b4d5e"])]
    errors: list[Fault] | UnsetType = UNSET
    job_id: str | UnsetType = UNSET
    job_status: str | UnsetType = UNSET


class ProblemError(Exception):
    """Raised to answer a request with a problem. `members` are its further members."""

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


# --- the problems that routes raise by name --------------------------------------------------


def not_found(what: str, name: str, hint: str = "") -> ProblemError:
    """404: there is nothing of that name."""
    detail = f"there is no {what} {errors.quoted(name)}"
    return ProblemError(
        404, "not-found", f"No such {what}", f"{detail}: {hint}" if hint else detail
    )


def not_known(what: str, name: str, hint: str, *, stale: bool) -> ProblemError:
    """404, or 503 where what is known is `stale`: there may be one by now."""
    if stale:
        return queue_unavailable(
            f"it isn't known whether there is a {what} {errors.quoted(name)} by now"
        )
    return not_found(what, name, hint)


def job_not_found(job_id: str, detail: str, status: str | None = None) -> ProblemError:
    """404: the queue, and for questions the history as well, has no such job."""
    status_or_unset = UNSET if status is None else status
    return ProblemError(
        404, "job-not-found", "No such job", detail, job_id=job_id, job_status=status_or_unset
    )


def invalid(where: str, message: str) -> ProblemError:
    """422: something in the request can't be used."""
    return faulty([Fault(where, message)])


def faulty(faults: Sequence[Fault]) -> ProblemError:
    """422: some things in the request can't be used."""
    detail = "; ".join(f"{fault.where}: {fault.message}" for fault in faults)
    return ProblemError(422, "invalid", "The request isn't valid", detail, errors=list(faults))


def unavailable(slug: str, title: str, detail: str, **members: Any) -> ProblemError:
    """503: try again soon."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return ProblemError(503, slug, title, detail, headers=headers, **members)


def queue_unavailable(detail: str) -> ProblemError:
    """503: the queue can't be reached; nothing was done."""
    return unavailable("queue-unavailable", "The queue can't be reached", detail)


# --- from any exception to an answer ---------------------------------------------------------


def problem_of(error: Exception) -> ProblemError:
    """The problem that an exception is; a 500 for one that nobody foresaw."""
    match error:
        case ProblemError():
            return error
        case RequestValidationError():
            return faulty([_fault(each) for each in error.errors()])
        case HTTPException():
            return _plain(error.status_code, str(error.detail), error.headers)
        case errors.ConduitError():
            return _of_conduit(error)
        case _:
            return ProblemError(
                500,
                "internal",
                "The server failed",
                "this is a fault of the server; its log has more under the request's id",
            )


def _of_conduit(error: errors.ConduitError) -> ProblemError:
    match error:
        case errors.QueueUnavailableError():
            return queue_unavailable(str(error))
        case errors.SubmitUnknownError():
            return unavailable(
                "submit-unknown",
                "It isn't known whether the job was kept",
                f"{error}",
                job_id=error.job_id,
            )
        case DatabaseUnavailableError() | DatabaseAccessError():
            return unavailable("database-unavailable", "The history can't be reached", str(error))
        case errors.SubmitConflictError():
            return ProblemError(409, "submit-conflict", "The id is another job's", str(error))
        case errors.DependencyNotFoundError():
            return ProblemError(
                422,
                "dependency-not-found",
                "A job to wait for isn't there",
                str(error),
                errors=[Fault("body.after", str(error))],
            )
        case errors.PayloadTooLargeError():
            return ProblemError(413, "too-large", "The payload is too large", str(error))
        case (
            errors.ArgumentError()
            | errors.SerializationError()
            | errors.InvalidOptionError()
            | errors.InvalidPatternError()
            | errors.RefusedError()
        ):
            return ProblemError(422, "invalid", "The request isn't valid", str(error))
        case errors.SubmitRefusedError():
            return ProblemError(422, "submit-refused", "The submit was refused", str(error))
        case errors.QueueError():  # no access, another schema, damaged: nothing a caller can mend
            return queue_unavailable(str(error))
        case _:
            return ProblemError(500, "internal", "The server failed", str(error))


def _plain(status: int, detail: str, headers: Mapping[str, str] | None) -> ProblemError:
    phrase = HTTPStatus(status).phrase
    slug = phrase.lower().replace(" ", "-")
    return ProblemError(status, slug, phrase, detail, headers=headers)


def _fault(error: Mapping[str, Any]) -> Fault:
    where = ".".join(str(part) for part in cast("Sequence[object]", error["loc"]))
    return Fault(where, str(error["msg"]))


def respond(problem: ProblemError, request: Request) -> Response:
    """The answer that tells of a problem."""
    body = Problem(
        type=f"urn:conduit:{problem.slug}",
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        instance=request.url.path,
        request_id=request_id(request),
        **problem.members,
    )
    return Response(
        msgspec.json.encode(body), problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def request_id(request: Request) -> str:
    """The id that the request was given, or came with."""
    return cast("str", request.scope.get("state", {}).get("request_id", ""))
