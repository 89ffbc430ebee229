"""`/workers`: who is running jobs."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from conduit.server.http.answers import Json, answers
from conduit.server.http.dependencies import TheParts
from conduit.server.http.problems import not_known
from conduit.server.models.fields import iso
from conduit.server.models.listings import (
    WorkerDetail,
    WorkersView,
    gone_worker_view,
    worker_detail,
    worker_view,
)
from conduit.server.operations.listings import WORKERS
from conduit.server.routes.params import Name

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get("", **answers(WorkersView))
async def list_workers(parts: TheParts) -> Response:
    """Workers that were heard of in the last minute, and those that went in the last hour."""
    found = await parts.listings.get(WORKERS)
    items = [worker_view(info) for info in found.items]
    gone = [gone_worker_view(each) for each in parts.listings.gone()]
    return Json(WorkersView(items, found.stale, iso(found.at), gone))


@router.get("/{worker_id:path}", **answers(WorkerDetail, 404))
async def get_worker(worker_id: Name, parts: TheParts) -> Response:
    """One worker, as it was known last while the queue is away."""
    found = await parts.listings.get(WORKERS)
    for info in found.items:
        if info.id == worker_id:
            return Json(worker_detail(info, found))
    hint = "it wasn't heard of in the last minute"
    raise not_known("worker", worker_id, hint, stale=found.stale)
