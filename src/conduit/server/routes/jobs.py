"""`GET /jobs` and what lies under it: what happened to jobs, from the history.

One job is looked up in the queue as well, where that answers: the history may be a moment behind.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from conduit.core.errors import QueueError
from conduit.core.model import Job, JobStatus
from conduit.server.db import graph, queries
from conduit.server.db.queries import JobQuery, Sort
from conduit.server.http.answers import Json, answers
from conduit.server.http.dependencies import Parts, TheParts
from conduit.server.http.problems import invalid, job_not_found, not_found, unavailable
from conduit.server.models.jobs import (
    ArtifactsView,
    AttemptsView,
    GraphView,
    JobDetail,
    JobPageView,
    LogsView,
    TreeView,
    artifact_view,
    as_job,
    attempt_view,
    detail,
    graph_view,
    log_view,
    summary,
)
from conduit.server.routes.params import FileName, JobId, Moment, Text, Texts, Words, moment

MOST_PER_PAGE = 500
MOST_LOGS = 5000
_CONTENT_TYPE = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,64}(; ?[\w-]+=[\w.-]+)?", re.ASCII)
_DOWNLOAD = {"Content-Security-Policy": "sandbox; default-src 'none'"}

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("", **answers(JobPageView))
async def list_jobs(
    parts: TheParts,
    status: Annotated[list[JobStatus], Query(max_length=20)] = [],  # noqa: B006
    function: Texts = [],  # noqa: B006
    queue: Texts = [],  # noqa: B006
    worker_id: Texts = [],  # noqa: B006
    key: Text | None = None,
    parent_id: Text | None = None,
    root_id: Text | None = None,
    q: Words | None = None,
    submitted_after: Moment | None = None,
    submitted_before: Moment | None = None,
    sort: Sort = Sort.NEWEST,
    limit: Annotated[int, Query(ge=1, le=MOST_PER_PAGE)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
    by_status: bool = False,
) -> Response:
    """Jobs that match, newest first unless sorted otherwise.

    Several values of one filter are alternatives; filters combine by *and*. `submitted_after` is
    inclusive, `submitted_before` isn't. `q` is looked for in ids, function names, keys, workers,
    arguments, reasons and errors. With `by_status` the answer also says how many there are of each
    status under the other filters.
    """
    query = JobQuery(
        statuses=tuple(status),
        functions=tuple(function),
        queues=tuple(queue),
        worker_ids=tuple(worker_id),
        key=key,
        parent_id=parent_id,
        root_id=root_id,
        q=q,
        submitted_after=None if submitted_after is None else moment(submitted_after),
        submitted_before=None if submitted_before is None else moment(submitted_before),
    )
    async with parts.database.read() as connection:
        try:
            page = await queries.list_jobs(
                connection,
                query,
                sort=sort,
                limit=limit,
                offset=offset,
                cursor=cursor,
                by_status=by_status,
            )
        except ValueError as error:
            raise invalid("query.cursor", str(error)) from error
    view = JobPageView(
        items=[summary(as_job(row)) for row in page.items],
        total=page.total,
        limit=limit,
        offset=offset,
        next_cursor=page.next_cursor,
        statuses=page.statuses,
    )
    return Json(view)


@router.get("/{job_id}", **answers(JobDetail, 404))
async def get_job(job_id: JobId, parts: TheParts) -> Response:
    """One job, as the queue has it now, or as the history has it where the queue can't say."""
    return Json(detail(await _job(parts, job_id)))


@router.get("/{job_id}/attempts", **answers(AttemptsView, 404))
async def list_attempts(job_id: JobId, parts: TheParts) -> Response:
    """Each start of a job and how it ended, oldest first."""
    async with parts.database.read() as connection:
        rows = await queries.attempts(connection, job_id)
    if not rows:
        await _job(parts, job_id)
    return Json(AttemptsView([attempt_view(row) for row in rows]))


@router.get("/{job_id}/logs", **answers(LogsView, 404))
async def list_logs(
    job_id: JobId,
    parts: TheParts,
    after: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_LOGS)] = 500,
) -> Response:
    """A job's captured log lines beyond number `after`, oldest first."""
    async with parts.database.read() as connection:
        rows = await queries.logs(connection, job_id, after=after, limit=limit)
    if not rows:
        await _job(parts, job_id)
    more = rows[-1].number if len(rows) == limit else None
    return Json(LogsView([log_view(row) for row in rows], more))


@router.get("/{job_id}/tree", **answers(TreeView, 404))
async def get_tree(job_id: JobId, parts: TheParts) -> Response:
    """The first ancestor of a job, and all that came of it."""
    async with parts.database.read() as connection:
        tree = await queries.tree(connection, job_id)
    if tree is None:
        job = await _job(parts, job_id)
        return Json(TreeView(job.root_id or job.id, [summary(job)], truncated=False))
    items = [summary(as_job(row)) for row in tree.items]
    return Json(TreeView(tree.root_id, items, tree.truncated))


@router.get("/{job_id}/graph", **answers(GraphView, 404))
async def get_graph(job_id: JobId, parts: TheParts) -> Response:
    """The jobs that a job hangs together with: those that one waits for, and those of one family.

    Followed both ways, however far, nearest first, to 500 jobs; `truncated` where there are more.
    """
    async with parts.database.read() as connection:
        found = await graph.around(connection, job_id)
    return Json(graph_view(found or graph.alone(await _job(parts, job_id))))


@router.get("/{job_id}/artifacts", **answers(ArtifactsView, 404))
async def list_artifacts(request: Request, job_id: JobId, parts: TheParts) -> Response:
    """The files that a job kept, by name."""
    async with parts.database.read() as connection:
        rows = await queries.artifacts(connection, job_id)
    if not rows:
        await _job(parts, job_id)
    path = request.url.path
    items = [artifact_view(row, f"{path}/{quote(row.name, safe='')}") for row in rows]
    return Json(ArtifactsView(items))


@router.get(
    "/{job_id}/artifacts/{name:path}",
    responses={
        200: {"description": "Its bytes", "content": {"application/octet-stream": {}}},
        **{code: answers(str, 404)["responses"][code] for code in (401, 403, 404, 422, 503)},
    },
    response_class=Response,
)
async def get_artifact(job_id: JobId, name: FileName, parts: TheParts) -> Response:
    """The bytes of a file that a job kept, to be saved: never shown by the browser as a page."""
    async with parts.database.read() as connection:
        rows = await queries.artifacts(connection, job_id)
    row = next((row for row in rows if row.name == name), None)
    data, trouble = None, None
    if row is not None and row.location:
        try:
            data = await parts.artifacts.read(row.location)
        except OSError as error:
            trouble = error
    if data is None:
        data = await parts.link.ask(lambda queue: queue.artifact(job_id, name))
    if data is None and trouble is not None:
        raise unavailable("artifacts-unavailable", "The artifact can't be read now", str(trouble))
    if data is None:
        raise not_found("artifact", name, "the job kept none of this name, or the queue forgot it")
    told = "" if row is None else row.content_type
    kind = told if _CONTENT_TYPE.fullmatch(told) else "application/octet-stream"
    saved_as = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    headers = _DOWNLOAD | {"Content-Disposition": saved_as}
    return Response(data, media_type=kind, headers=headers)


async def _job(parts: Parts, job_id: str) -> Job:
    """The newer of what the queue and the history have. Raises `ProblemError` (404)."""
    async with parts.database.read() as connection:
        row = await queries.get_job(connection, job_id)
    remembered = None if row is None else as_job(row)
    try:
        (present,) = await parts.link.ask(lambda queue: queue.get([job_id]))
    except QueueError:
        if remembered is None:
            raise
        return remembered
    found = [job for job in (present, remembered) if job is not None]
    if not found:
        raise job_not_found(job_id, f"neither the queue nor the history has a job {job_id!r}")
    # A later life of the same id, or the same one further on.
    return max(found, key=lambda job: (job.submitted_at, job.seq))
