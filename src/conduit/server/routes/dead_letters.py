"""`/dead-letters`: events that couldn't be applied to the history, to be seen and tried again."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from conduit.server.http.access import Role
from conduit.server.http.answers import Json, answers
from conduit.server.http.dependencies import TheParts, needs
from conduit.server.http.problems import ProblemError, not_found
from conduit.server.ingest import dead
from conduit.server.ingest.dead import Replay
from conduit.server.models.service import DeadLettersView, ReplayView, dead_letter_view

_LARGEST_ID = 2**63 - 1

router = APIRouter(prefix="/dead-letters", tags=["dead letters"])


@router.get("", **answers(DeadLettersView))
async def list_dead_letters(
    parts: TheParts,
    before: Annotated[int | None, Query(ge=0, le=_LARGEST_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Response:
    """Events that couldn't be applied, newest first."""
    async with parts.database.read() as connection:
        found = await dead.list_letters(connection, limit=limit, before=before)
    more = found[-1].id if len(found) == limit else None
    return Json(DeadLettersView([dead_letter_view(letter) for letter in found], more))


@router.post(
    "/{letter_id}/replay",
    dependencies=[needs(Role.ADMIN)],
    **answers(ReplayView, 404, 409),
)
async def replay_dead_letter(
    letter_id: Annotated[int, Path(ge=0, le=_LARGEST_ID)], parts: TheParts
) -> Response:
    """Try an event again, as after an upgrade. Applying one twice does nothing more."""
    now = time.time_ns() // 1_000_000
    try:
        outcomes, changes = await dead.replay(parts.database, [letter_id], now)
    except SQLAlchemyError as error:
        raise ProblemError(
            409,
            "not-applicable",
            "It still can't be applied",
            f"the database refuses it: {dead.words_of(error)}",
        ) from error
    parts.broker.publish(changes)
    outcome = outcomes[letter_id]
    if outcome is Replay.UNKNOWN:
        raise not_found("dead letter", str(letter_id))
    return Json(ReplayView(letter_id, outcome.value))
