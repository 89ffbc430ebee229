"""Conduit's peers on Redis: a small file and a lock for each, and the scenario that all run.

Each peer runs in an environment of its own, so nothing here may import Conduit or the rest of
`benchmarks`. Which packages make up an environment is in `benchmarks/environments.py`.
"""

from __future__ import annotations
