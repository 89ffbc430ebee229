"""Which database a URL means."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from conduit.core.errors import ConfigurationError

_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")


class Address(Struct, frozen=True, kw_only=True):
    """A SQLite file or what libpq takes to reach a PostgreSQL; `shown` hides the password."""

    path: Path | None = None
    conninfo: str = ""
    shown: str


def parse(url: str) -> Address:
    """`sqlite:///relative.db`, `sqlite:////absolute.db`, or any `postgresql://` URL of libpq.

    Raises `ConfigurationError` for anything else.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = unquote(parts.path).removeprefix("/")
        if parts.netloc or not path:
            raise ConfigurationError(
                f"{url!r} isn't a database file: write sqlite:///folder/history.db, "
                "or sqlite:////folder/history.db for an absolute path"
            )
        return Address(path=Path(path), shown=path)
    if parts.scheme in _POSTGRESQL:
        plain = parts._replace(scheme="postgresql")
        return Address(conninfo=urlunsplit(plain), shown=_masked(url))
    raise ConfigurationError(
        f"the history can't be kept in {parts.scheme or url!r}: use a URL such as "
        "sqlite:///.conduit/history.db or postgresql://user:password@localhost/conduit"
    )


def _masked(url: str) -> str:
    parts = urlsplit(url)
    user_info, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = user_info.partition(":")
    query = [
        (name, "***" if name == "password" else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return urlunsplit(
        parts._replace(
            netloc=f"{user}{':***' if colon else ''}{at}{hosts}", query=urlencode(query, safe="*")
        )
    )
