"""Takes longer to import than its function may run."""

from __future__ import annotations

import os
import time

if os.environ.get("CONDUIT_TEST_SLOW_IMPORT"):
    time.sleep(1.5)


def quick() -> str:
    return "done"
