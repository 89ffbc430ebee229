"""Which version of Conduit this is."""

from __future__ import annotations

from importlib.metadata import version

VERSION = version("conduit")
