"""`POST /jobs/{id}/cancel`, `/retry`, `DELETE /jobs/{id}`, `POST /jobs/bulk`."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from conduit.server.http.access import Role, require
from conduit.server.http.answers import Json, answers, read, takes
from conduit.server.http.dependencies import TheParts, caller_of, needs
from conduit.server.models.acting import BulkRequest, BulkView, CancelRequest
from conduit.server.models.jobs import JobDetail, detail
from conduit.server.operations import actions as acting
from conduit.server.routes.params import JobId

router = APIRouter(prefix="/jobs", tags=["jobs"], dependencies=[needs(Role.OPERATE)])


@router.post("/bulk", **answers(BulkView, 400, 413, 415), **takes(BulkRequest))
async def act_on_jobs(request: Request, parts: TheParts) -> Response:
    """Cancel, retry or delete all jobs of a filter, or those of some ids.

    Jobs whose status forbids it are skipped. Deleting takes the role admin.
    """
    wanted = await read(request, BulkRequest)
    if wanted.action == "delete":
        require(caller_of(request), Role.ADMIN)
    return Json(await acting.act_on_many(parts, wanted))


@router.post(
    "/{job_id}/cancel",
    **answers(JobDetail, 400, 404, 409, 413, 415),
    **takes(CancelRequest, required=False),
)
async def cancel_job(request: Request, job_id: JobId, parts: TheParts) -> Response:
    """Cancel a job that waits, or ask the worker of one that runs to stop it.

    In the second case it is still `running`, with `cancel_requested`, until the worker has.
    """
    wanted = await read(request, CancelRequest, default=CancelRequest())
    return Json(detail(await acting.act(parts.link, acting.cancel(wanted.reason), job_id)))


@router.post("/{job_id}/retry", **answers(JobDetail, 404, 409))
async def retry_job(job_id: JobId, parts: TheParts) -> Response:
    """Queue a failed or cancelled job again, with fresh attempts and the same arguments."""
    return Json(detail(await acting.act(parts.link, acting.RETRY, job_id)))


@router.delete("/{job_id}", dependencies=[needs(Role.ADMIN)], **answers(JobDetail, 404, 409))
async def delete_job(job_id: JobId, parts: TheParts) -> Response:
    """Forget a finished job and all that belongs to it; the job as it was.

    Also one that the queue has forgotten already, so that only the history has it.
    """
    return Json(detail(await acting.delete(parts, job_id)))
