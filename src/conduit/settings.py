"""Settings from the environment and `[tool.conduit]` in pyproject.toml, in that order.

Flags of the command line win over both; they are passed in as arguments where they apply.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from conduit.core.errors import ConfigurationError, quoted

_KEPT = ("jobs", "logs", "artifacts")
_KEYS = (
    "queue_url",
    "data_dir",
    "namespace",
    "durability",
    "database_url",
    "artifacts_url",
    "submit_middleware",
    *(f"keep_{what}" for what in _KEPT),
)
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DURABILITIES = ("none", "aof", "replica", "fsync")
SUBMIT_MIDDLEWARE = "CONDUIT_SUBMIT_MIDDLEWARE"
OF_THE_QUEUE = (
    "CONDUIT_QUEUE_URL",
    "CONDUIT_REDIS_URL",
    "CONDUIT_DATA_DIR",
    "CONDUIT_NAMESPACE",
    "CONDUIT_DURABILITY",
)
"""The variables that say where the queue is: each submit looks at them, so they are few."""


class Settings(Struct, frozen=True, kw_only=True):
    """Where things are. `data_dir` holds the queue and the history unless their URLs say otherwise.

    `database_url` is the history's and `artifacts_url` that of what jobs kept; a server alone needs
    them. `keep` says what it keeps of jobs, logs and artifacts, where that was said.
    `submit_middleware` names what is around every submit: `module:name`, several with commas.
    """

    data_dir: Path
    queue_url: str
    database_url: str
    artifacts_url: str
    keep: dict[str, str]
    submit_middleware: str = ""


def load_settings(
    *,
    queue_url: str | None = None,
    database_url: str | None = None,
    artifacts_url: str | None = None,
    keep: Mapping[str, str | None] | None = None,
) -> Settings:
    """Read the settings that apply in the current folder; explicit URLs win.

    The namespace and the durability become options of the URL, where it has none of its own; a
    SQLite file is a namespace by itself, and always flushed. Raises `ConfigurationError` when
    pyproject.toml can't be read or has a wrong type.
    """
    explicit = (("queue", queue_url), ("database", database_url), ("artifacts", artifacts_url))
    for name, given in explicit:
        if given is not None and not given.strip():
            raise ConfigurationError(f"the {name} URL is empty: give one, or leave it out")
    table = _pyproject_table()
    data_dir = Path(os.environ.get("CONDUIT_DATA_DIR") or table.get("data_dir") or ".conduit")
    namespace = os.environ.get("CONDUIT_NAMESPACE") or table.get("namespace")
    durability = os.environ.get("CONDUIT_DURABILITY") or table.get("durability")
    if namespace is not None and not _NAMESPACE.fullmatch(namespace):
        raise ConfigurationError(
            f"the namespace {quoted(namespace)} must be 1 to 64 letters, digits, '_', '.' or '-'"
        )
    if durability is not None and durability not in _DURABILITIES:
        known = ", ".join(_DURABILITIES)
        raise ConfigurationError(f"the durability {quoted(durability)} isn't one of {known}")
    suffix = f"-{namespace}" if namespace else ""
    url = (
        queue_url
        or os.environ.get("CONDUIT_QUEUE_URL")
        or os.environ.get("CONDUIT_REDIS_URL")
        or table.get("queue_url")
        or f"sqlite:///{data_dir / f'queue{suffix}.db'}"
    )
    database_url = (
        database_url
        or os.environ.get("CONDUIT_DATABASE_URL")
        or table.get("database_url")
        or f"sqlite:///{data_dir / f'history{suffix}.db'}"
    )
    artifacts_url = (
        artifacts_url
        or os.environ.get("CONDUIT_ARTIFACTS_URL")
        or table.get("artifacts_url")
        or (data_dir / "artifacts").absolute().as_uri()
    )
    options = {"namespace": namespace, "durability": durability}
    return Settings(
        data_dir=data_dir,
        queue_url=_with_options(url, options),
        database_url=database_url,
        artifacts_url=artifacts_url,
        keep=_keep(keep or {}, table),
        submit_middleware=os.environ.get(SUBMIT_MIDDLEWARE) or table.get("submit_middleware", ""),
    )


def _keep(given: Mapping[str, str | None], table: Mapping[str, str]) -> dict[str, str]:
    said = {
        what: given.get(what)
        or os.environ.get(f"CONDUIT_KEEP_{what.upper()}")
        or table.get(f"keep_{what}")
        for what in _KEPT
    }
    return {what: limit for what, limit in said.items() if limit}


def _with_options(url: str, options: dict[str, str | None]) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"{url!r} can't be read as a queue's URL: {error}") from None
    if not parts.scheme.startswith("redis"):
        return url
    given = parse_qsl(parts.query, keep_blank_values=True)
    named = {name for name, _ in given}
    given += [(name, value) for name, value in options.items() if value and name not in named]
    return urlunsplit(parts._replace(query=urlencode(given)))


def _pyproject_table() -> dict[str, str]:
    path = Path("pyproject.toml")
    if not path.is_file():
        return {}
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"pyproject.toml can't be read: {error}") from error
    table = _table_in(_table_in(content, "tool", "[tool]"), "conduit", "[tool.conduit]")
    for key, value in table.items():
        if key not in _KEYS or not isinstance(value, str):
            known = ", ".join(_KEYS)
            raise ConfigurationError(
                f"pyproject.toml: [tool.conduit] {key} isn't a setting with text for a value; "
                f"the settings are {known}"
            )
    return cast("dict[str, str]", table)


def _table_in(content: dict[str, object], key: str, name: str) -> dict[str, object]:
    table = content.get(key, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"pyproject.toml: {name} must be a table, not {table!r}")
    return cast("dict[str, object]", table)
