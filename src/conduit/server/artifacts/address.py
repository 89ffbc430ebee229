"""Where artifacts are kept, read from a URL."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit
from urllib.request import url2pathname

from msgspec import Struct

from conduit.core.errors import ConfigurationError, quoted
from conduit.server.artifacts.files import FileStore
from conduit.server.artifacts.store import Store

_OPTIONS = ("endpoint", "region")
# Any of them is a way to credentials; what only a machine of AWS itself knows isn't looked for
# where the URL names another endpoint.
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class ObjectsAddress(Struct, frozen=True, kw_only=True):
    """A place in an S3-compatible store. `shown` is its URL without secrets."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    key: str | None = None
    secret: str | None = None
    shown: str


def open_store(url: str, history: str) -> Store:
    """The store at a URL; `history` names the database whose rows will lead there.

    Nothing connects. Raises `ConfigurationError`.
    """
    parts = _split(url)
    if parts.scheme == "file":
        return FileStore(_folder(parts, url), history)
    if parts.scheme != "s3":
        raise ConfigurationError(
            f"artifacts can't be kept at {quoted(shown(url))}: the URL is file:///folder or "
            "s3://bucket/prefix?endpoint=…&region=…"
        )
    address = _objects(parts, url)
    try:
        from conduit.server.artifacts.objects import ObjectStore
    except ImportError as error:
        raise ConfigurationError(
            f"artifacts at {address.shown} need {error.name}, which isn't installed: "
            "pip install 'conduit[s3]'"
        ) from error
    return ObjectStore(address, history)


def shown(url: str) -> str:
    """The URL as it may be shown: without its secret."""
    before, at, after = url.rpartition("@")
    if not at:
        return url
    scheme, mark, credentials = before.partition("://")
    if not mark:  # a slip, in which nobody can tell what is secret
        return f"***@{after}"
    return f"{scheme}://{credentials.partition(':')[0]}:***@{after}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(
            f"{quoted(shown(url))} can't be read as the artifacts' URL: {error}"
        ) from None


def _folder(parts: SplitResult, url: str) -> Path:
    if parts.netloc not in ("", "localhost") or parts.query or len(parts.path) < 2:
        raise ConfigurationError(
            f"{quoted(shown(url))} isn't a folder's URL: file:///srv/artifacts is the folder "
            "/srv/artifacts"
        )
    return Path(url2pathname(parts.path))


def _objects(parts: SplitResult, url: str) -> ObjectsAddress:
    told = quoted(shown(url))
    credentials, _, bucket = parts.netloc.rpartition("@")
    key, _, secret = (unquote(each) for each in credentials.partition(":"))
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not bucket:
        raise ConfigurationError(f"{told} names no bucket: s3://bucket/prefix")
    if unknown := [each for each in given if each not in _OPTIONS]:
        named = told.partition("?")[0]  # without the options: somebody may have put a secret there
        raise ConfigurationError(
            f"{named}: {quoted(unknown[0])} isn't an option; the options are {', '.join(_OPTIONS)}"
        )
    if credentials and not (key and secret):
        raise ConfigurationError(f"{told}: credentials are s3://KEY:SECRET@bucket")
    endpoint = given.get("endpoint")
    if endpoint is not None:
        _check_endpoint(endpoint, told)
        if not credentials and not any(os.environ.get(name) for name in _CREDENTIALS):
            raise ConfigurationError(
                f"{told} needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
    return ObjectsAddress(
        bucket=bucket,
        prefix=unquote(parts.path).strip("/"),
        endpoint=endpoint,
        region=given.get("region"),
        key=key or None,
        secret=secret or None,
        shown=shown(url),
    )


def _check_endpoint(endpoint: str, told: str) -> None:
    try:
        parts = urlsplit(endpoint)
        fine = parts.scheme in ("http", "https") and parts.hostname and not parts.username
        _ = parts.port  # which raises for what isn't one
    except ValueError:
        fine = False
    if not fine:
        raise ConfigurationError(
            f"{told}: the endpoint must be like http://127.0.0.1:9000, without credentials"
        )
