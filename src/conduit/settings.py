"""Settings from the environment and `[tool.conduit]` in pyproject.toml, in that order.

Flags of the command line win over both; they are passed in as arguments where they apply.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from msgspec import Struct

from conduit.core.errors import ConfigurationError

_KEYS = ("queue_url", "data_dir")


class Settings(Struct, frozen=True, kw_only=True):
    """Where things are. `data_dir` holds the embedded queue unless `queue_url` says otherwise."""

    data_dir: Path
    queue_url: str


def load_settings(*, queue_url: str | None = None) -> Settings:
    """Read the settings that apply in the current folder; an explicit `queue_url` wins.

    Raises `ConfigurationError` when pyproject.toml can't be read or has a wrong type.
    """
    table = _pyproject_table()
    data_dir = Path(os.environ.get("CONDUIT_DATA_DIR") or table.get("data_dir") or ".conduit")
    url = (
        queue_url
        or os.environ.get("CONDUIT_QUEUE_URL")
        or os.environ.get("CONDUIT_REDIS_URL")
        or table.get("queue_url")
        or f"sqlite:///{data_dir / 'queue.db'}"
    )
    return Settings(data_dir=data_dir, queue_url=url)


def _pyproject_table() -> dict[str, str]:
    path = Path("pyproject.toml")
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("conduit", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"pyproject.toml can't be read: {error}") from error
    for key, value in table.items():
        if key not in _KEYS or not isinstance(value, str):
            known = ", ".join(_KEYS)
            raise ConfigurationError(
                f"pyproject.toml: [tool.conduit] {key} isn't a setting with text for a value; "
                f"the settings are {known}"
            )
    return table
