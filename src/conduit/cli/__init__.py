"""The command line: `conduit run`, `conduit submit`, `conduit jobs list` and their companions."""

from __future__ import annotations

from conduit.cli.app import main

__all__ = ["main"]
