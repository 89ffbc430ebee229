"""The smallest service. Run it, then submit to it from a second terminal in the same folder:

conduit run examples/hello.py
conduit submit hello --args '["world"]' --wait
"""

from __future__ import annotations

import conduit

worker = conduit.Worker("hello")


@worker.task(retries=3)
async def hello(name: str) -> str:
    conduit.current_job().log.info("greeting %s", name)
    return f"Hello, {name}!"
