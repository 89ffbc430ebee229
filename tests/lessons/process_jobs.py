"""Functions for worker processes, which find them by this module's name."""

from __future__ import annotations

import contextvars
from typing import Any

tenant: contextvars.ContextVar[Any] = contextvars.ContextVar("tenant", default="nobody")


def whose(order_id: str) -> str:
    """Say for whom this runs, as far as the context tells."""
    return f"{order_id} of {tenant.get()}"
