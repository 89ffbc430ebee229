"""`/session`: how a browser signs in with a key, and stays so without keeping it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from conduit.server.http.access import COOKIE, SESSION_S, Caller, session_of
from conduit.server.http.answers import Json, answers, read, takes
from conduit.server.http.dependencies import Parts, TheParts
from conduit.server.models.service import SessionRequest, SessionView

router = APIRouter(prefix="/session", tags=["session"])


@router.get("", **answers(SessionView))
async def who_am_i(request: Request, parts: TheParts) -> Response:
    """Who is asking, and whether that takes a key."""
    return Json(_view(await parts.access.caller(request), parts))


@router.post("", **answers(SessionView, 400, 413, 415), **takes(SessionRequest))
async def sign_in(request: Request, parts: TheParts) -> Response:
    """Sign in with a key: a cookie that scripts can't read stands for it from then on."""
    wanted = await read(request, SessionRequest)
    token, caller = await parts.access.sign_in(wanted.key, request)
    response = Json(_view(caller, parts))
    response.set_cookie(
        COOKIE,
        token,
        max_age=SESSION_S,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


@router.delete("", status_code=204, responses={403: answers(SessionView)["responses"][403]})
async def sign_out(request: Request, parts: TheParts) -> Response:
    """End the session."""
    token = request.cookies.get(COOKIE)
    if token:
        await parts.access.sign_out(token)
        parts.broker.end_session(session_of(request))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


def _view(caller: Caller, parts: Parts) -> SessionView:
    return SessionView(caller.role.name.lower(), caller.name, parts.access.keys_required)
