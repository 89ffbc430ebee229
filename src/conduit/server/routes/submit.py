"""`POST /jobs` and `POST /events/{name}`: jobs from any language, by their function's name."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from conduit.core.patterns import validate_event_name
from conduit.server.http.access import Role
from conduit.server.http.answers import Json, answers, read, takes
from conduit.server.http.dependencies import TheParts, needs
from conduit.server.models.acting import (
    HandledBy,
    PublishedView,
    PublishRequest,
    SubmitRequest,
    SubmittedView,
)
from conduit.server.operations import submit as submitting
from conduit.server.operations.queue_connection import PATIENT_S
from conduit.server.routes.params import Name

router = APIRouter(dependencies=[needs(Role.OPERATE)])


@router.post(
    "/jobs",
    tags=["jobs"],
    **answers(SubmittedView, 400, 409, 413, 415, status=201),
    **takes(SubmitRequest),
)
async def submit_job(request: Request, parts: TheParts) -> Response:
    """Submit a job by its function's name.

    201 with its id once the queue has it; 200 with the id of the unfinished job that holds the
    same key, in which case nothing was added.
    """
    wanted = await read(request, SubmitRequest)

    functions = await parts.link.ask(lambda queue: queue.functions(), patience_s=PATIENT_S)
    job = submitting.new_job(wanted, functions)
    (answer,) = await submitting.send(parts.link, [job], functions)
    where = f"{request.url.path}/{quote(answer.job_id, safe='')}"
    view = SubmittedView(answer.job_id, answer.duplicate)
    return Json(view, 200 if view.duplicate else 201, headers={"Location": where})


@router.post(
    "/events/{name}",
    tags=["events"],
    **answers(PublishedView, 400, 413, 415, status=201),
    **takes(PublishRequest, required=False),
)
async def publish_event(request: Request, name: Name, parts: TheParts) -> Response:
    """Publish an event: each function that handles it gets a job, all in one step."""
    validate_event_name(name)
    wanted = await read(request, PublishRequest, default=PublishRequest())
    functions = await parts.link.ask(lambda queue: queue.functions(), patience_s=PATIENT_S)
    jobs = submitting.event_jobs(name, wanted.arguments, functions)
    answers = await submitting.send(parts.link, jobs, functions)
    handled = [
        HandledBy(answer.job_id, job.function) for answer, job in zip(answers, jobs, strict=True)
    ]
    return Json(PublishedView(handled), 201)
