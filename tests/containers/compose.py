"""compose.yaml as it is read with certain variables set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.containers.dockerfile import REPOSITORY

FILE = REPOSITORY / "compose.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)([^}]*)\}")


def text() -> str:
    return FILE.read_text()


def variables() -> dict[str, set[str]]:
    """Each variable that the file asks for, and what stands behind its name."""
    found: dict[str, set[str]] = {}
    for name, rest in _VARIABLE.findall(text()):
        found.setdefault(name, set()).add(rest)
    return found


def services(given: Mapping[str, str]) -> dict[str, Any]:
    """The services with these variables put in."""
    whole = _VARIABLE.sub(lambda found: given[found[1]], text())
    return yaml.safe_load(whole)["services"]
