"""A running worker of the same name that isn't the same worker, told of before this one starts.

Two services whose authors chose one name take each other's place in the queue's list of functions,
and where their functions have one name, each other's jobs as well.
"""

from __future__ import annotations

import logging

from conduit.core.model import FunctionInfo
from conduit.queue.base import Queue, Registration

logger = logging.getLogger("conduit.engine")

_SHOWN = 5


async def warn_of_namesakes(queue: Queue, registration: Registration) -> None:
    """Warn where a live worker of this one's name has other functions or signatures."""
    name = registration.worker.name
    if all(worker.name != name for worker in await queue.workers()):
        return
    ours = {_identity(info) for info in registration.functions}
    theirs = {_identity(info) for info in await queue.functions() if info.worker == name}
    others = sorted({signature for _, _, signature in ours ^ theirs})
    if not others:
        return
    more = ", …" if len(others) > _SHOWN else ""
    logger.warning(
        "another running worker %r has other functions (%s%s differ): jobs of either may go to the "
        "other; give one of them another name",
        name,
        ", ".join(others[:_SHOWN]),
        more,
    )


def _identity(info: FunctionInfo) -> tuple[str, str, str]:
    return info.name, info.queue, info.signature
