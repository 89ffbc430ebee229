"""Can't be imported until a file is there, where the environment names one."""

from __future__ import annotations

import os
import time
from pathlib import Path

_awaited = os.environ.get("CONDUIT_TEST_IMPORT_WAITS_FOR")
while _awaited and not Path(_awaited).exists():
    time.sleep(0.01)


def quick() -> str:
    return "done"
