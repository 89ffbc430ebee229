"""The server itself: its callers, its health, and what it couldn't apply."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from conduit.server.ingest.dead import DeadLetter
from conduit.server.models.fields import (
    Time,
    iso,
    iso_or_none,
)


class DeadLetterView(Struct, frozen=True, kw_only=True):
    """An event that couldn't be applied to the history. `body` is the event, as text."""

    id: int
    job_id: str | None
    reason: str
    body: str
    deliveries: int
    at: Time
    replayed_at: Time | None


class DeadLettersView(Struct, frozen=True):
    """Dead letters, newest first. `next_before` is what to pass as `before` for older ones."""

    items: list[DeadLetterView]
    next_before: int | None


class ReplayView(Struct, frozen=True):
    """What became of a letter that was tried again."""

    id: int
    outcome: Literal["applied", "unreadable"]


def dead_letter_view(letter: DeadLetter) -> DeadLetterView:
    """A letter as it was kept."""
    return DeadLetterView(
        id=letter.id,
        job_id=letter.job_id,
        reason=letter.reason,
        body=letter.body,
        deliveries=letter.deliveries,
        at=iso(letter.at),
        replayed_at=iso_or_none(letter.replayed_at),
    )


class SessionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to sign in with."""

    key: Annotated[str, Meta(min_length=1, max_length=512)]


class SessionView(Struct, frozen=True):
    """Who is asking. `name` is null where no key is asked for."""

    role: Annotated[str, Meta(examples=["operate"])]
    name: str | None
    keys_required: bool


class HealthView(Struct, frozen=True):
    """The server is alive."""

    status: Literal["ok"]
    version: str


class CheckView(Struct, frozen=True):
    """How one of the stores is."""

    status: Literal["ok", "unavailable"]
    address: str | None = None
    detail: str | None = None


class ReadyView(Struct, frozen=True):
    """Whether the server can do all that it is for."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, CheckView]
