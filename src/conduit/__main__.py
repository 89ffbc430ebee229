"""`python -m conduit` is the command `conduit`."""

from __future__ import annotations

import sys

from conduit.cli import main

if __name__ == "__main__":
    sys.exit(main())
