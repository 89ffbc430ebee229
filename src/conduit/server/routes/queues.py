"""`/queues`: how deep each is, and whether it may be claimed from."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from conduit.core.model import QueueInfo
from conduit.queue.base import Queue
from conduit.server.http.access import Role
from conduit.server.http.answers import Json, answers
from conduit.server.http.dependencies import TheParts, needs
from conduit.server.models.fields import iso
from conduit.server.models.listings import QueuesView, QueueView, queue_view
from conduit.server.operations.listings import QUEUES
from conduit.server.routes.params import Name

router = APIRouter(prefix="/queues", tags=["queues"])


@router.get("", **answers(QueuesView))
async def list_queues(parts: TheParts) -> Response:
    """Every queue that has jobs, is paused, or has a worker; by name."""
    found = await parts.listings.get(QUEUES)
    return Json(QueuesView([queue_view(info) for info in found.items], found.stale, iso(found.at)))


@router.post("/{name:path}/pause", dependencies=[needs(Role.OPERATE)], **answers(QueueView, 404))
async def pause_queue(name: Name, parts: TheParts) -> Response:
    """Stop claims from a queue; submits and running jobs go on."""
    return Json(queue_view(await parts.link.ask(lambda queue: _pause(queue, name))))


@router.post("/{name:path}/resume", dependencies=[needs(Role.OPERATE)], **answers(QueueView, 404))
async def resume_queue(name: Name, parts: TheParts) -> Response:
    """Allow claims from a queue again."""
    return Json(queue_view(await parts.link.ask(lambda queue: _resume(queue, name))))


async def _pause(queue: Queue, name: str) -> QueueInfo:
    await queue.pause(name)
    return await _look(queue, name)


async def _resume(queue: Queue, name: str) -> QueueInfo:
    await queue.resume(name)
    return await _look(queue, name)


async def _look(queue: Queue, name: str) -> QueueInfo:
    """The queue as it is now. One that is open, empty and without workers isn't listed."""
    for info in await queue.queues():
        if info.name == name:
            return info
    return QueueInfo(name=name)
