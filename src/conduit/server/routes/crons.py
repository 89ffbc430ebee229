"""`/crons`: schedules, their next ticks, and jobs out of turn."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.responses import Response

from conduit.core.model import CronInfo, FunctionInfo
from conduit.queue.base import Queue
from conduit.server.http.access import Role
from conduit.server.http.answers import Json, answers
from conduit.server.http.dependencies import Parts, TheParts, needs
from conduit.server.http.problems import not_found
from conduit.server.models.acting import SubmittedView
from conduit.server.models.fields import iso
from conduit.server.models.listings import CronsView, CronView, cron_view
from conduit.server.operations.listings import CRONS
from conduit.server.operations.queue_connection import PATIENT_S
from conduit.server.operations.submit import cron_job, send
from conduit.server.routes.params import Name

router = APIRouter(prefix="/crons", tags=["crons"])


@router.get("", **answers(CronsView))
async def list_crons(parts: TheParts) -> Response:
    """Schedules with their next ticks, by name."""
    found = await parts.listings.get(CRONS)
    now = _now()
    items = [cron_view(info, now) for info in found.items]
    return Json(CronsView(items, found.stale, iso(found.at)))


@router.post(
    "/{name:path}/trigger",
    dependencies=[needs(Role.OPERATE)],
    **answers(SubmittedView, 404, status=201),
)
async def trigger_cron(name: Name, parts: TheParts) -> Response:
    """Submit a schedule's job now, out of turn."""

    async def look(queue: Queue) -> tuple[CronInfo, list[FunctionInfo]]:
        return await _find(queue, name), await queue.functions()

    cron, functions = await parts.link.ask(look, patience_s=PATIENT_S)
    (answer,) = await send(parts.link, [cron_job(cron)], functions)
    return Json(SubmittedView(answer.job_id, answer.duplicate), 201)


@router.post("/{name:path}/pause", dependencies=[needs(Role.OPERATE)], **answers(CronView, 404))
async def pause_cron(name: Name, parts: TheParts) -> Response:
    """Let a schedule's ticks pass without jobs."""
    return await _set_paused(parts, name, paused=True)


@router.post("/{name:path}/resume", dependencies=[needs(Role.OPERATE)], **answers(CronView, 404))
async def resume_cron(name: Name, parts: TheParts) -> Response:
    """Let a schedule's ticks become jobs again."""
    return await _set_paused(parts, name, paused=False)


async def _set_paused(parts: Parts, name: str, *, paused: bool) -> Response:
    async def change(queue: Queue) -> CronInfo:
        if not await queue.pause_cron(name, paused=paused):
            raise _unknown(name)
        return await _find(queue, name)

    return Json(cron_view(await parts.link.ask(change), _now()))


async def _find(queue: Queue, name: str) -> CronInfo:
    for info in await queue.crons():
        if info.name == name:
            return info
    raise _unknown(name)


def _unknown(name: str) -> Exception:
    return not_found("schedule", name, "no worker has registered it")


def _now() -> int:
    return time.time_ns() // 1_000_000
