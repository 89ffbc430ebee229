"""Who may do what: keys and their roles, sessions of browsers, and what is refused at the door.

`CONDUIT_API_KEYS` holds keys, with commas between: `key`, `role:key` or `name:role:key`. A role is
`read` (look), `operate` (also submit, cancel, retry, pause and so on) or `admin` (also delete); a
key without one is an admin's. Keys are kept as hashes alone, and never written anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import secrets
import time
from collections.abc import Sequence
from enum import IntEnum
from urllib.parse import urlsplit

from msgspec import Struct
from sqlalchemy import delete, insert, select
from starlette.requests import Request

from conduit.core.errors import ConfigurationError
from conduit.server.db import tables
from conduit.server.db.database import Database
from conduit.server.http.problems import ProblemError
from conduit.server.http.sign_in_limiter import Guesses

COOKIE = "conduit_session"
SESSION_S = 12 * 3600
SHORTEST_KEY = 16
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_log = logging.getLogger(__name__)


class Role(IntEnum):
    """What a caller may do; each includes those before it."""

    READ = 1
    OPERATE = 2
    ADMIN = 3


class Caller(Struct, frozen=True):
    """Who is asking. `name` is that of the key, if it has one; `session` tells sessions apart."""

    role: Role
    name: str | None = None
    session: bytes | None = None


class Key(Struct, frozen=True):
    """A key, as its hash."""

    hash: bytes
    role: Role
    name: str


def parse_keys(text: str) -> tuple[Key, ...]:
    """The keys in a value of `CONDUIT_API_KEYS`. Raises `ConfigurationError`, without the key."""
    entries = [entry.strip() for entry in text.split(",")]
    return tuple(_parse_key(entry, at) for at, entry in enumerate(entries, 1) if entry)


def _parse_key(entry: str, position: int) -> Key:
    name, role, key = f"key {position}", Role.ADMIN, entry
    head, colon, rest = entry.partition(":")
    second, another_colon, last = rest.partition(":")
    if colon and _is_role(head):
        role, key = Role[head.upper()], rest
    elif another_colon and head and _is_role(second):
        name, role, key = head, Role[second.upper()], last
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"entry {position} of CONDUIT_API_KEYS isn't a key: write key, role:key or "
            "name:role:key, in printable ASCII without spaces; roles are read, operate, admin"
        )
    if len(key) < SHORTEST_KEY:
        _log.warning(
            "%s of CONDUIT_API_KEYS has fewer than %s characters and can be guessed: make one with "
            "openssl rand -hex 32",
            name,
            SHORTEST_KEY,
        )
    return Key(_hash(key), role, name)


def _is_role(text: str) -> bool:
    return text.upper() in Role.__members__ and text.islower()


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    if host in ("localhost", "ip6-localhost") or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_binding(host: str, keys: Sequence[Key], *, insecure: bool) -> None:
    """Refuse to be reachable from elsewhere without keys. Raises `ConfigurationError`."""
    if keys or insecure or is_loopback(host):
        return
    error = ConfigurationError(
        f"the server would listen on {host} with nothing to keep strangers out: set "
        "CONDUIT_API_KEYS, or listen on 127.0.0.1"
    )
    error.add_note("--insecure does it all the same, where something in front asks who it is")
    raise error


class Access:
    """Decides who a request comes from. Without keys everyone of this machine is an admin."""

    def __init__(self, database: Database, keys: Sequence[Key], *, insecure: bool = False) -> None:
        self._database = database
        self._keys = tuple(keys)
        self._insecure = insecure
        self._guesses = Guesses()

    @property
    def keys_required(self) -> bool:
        """Whether callers have to name a key."""
        return bool(self._keys)

    # --- at the door ------------------------------------------------------------------------------

    def check_origin(self, request: Request) -> None:
        """Refuse what a foreign page makes a browser send. Raises `ProblemError`.

        Without keys the browser's own address is all there is to go by: a name that isn't this
        machine's has been pointed here by somebody (DNS rebinding).
        """
        host = _host_of(request.headers.get("host", ""))
        if not self._keys and not self._insecure and not is_loopback(host):
            raise _forbidden(
                "bad-host",
                "without keys the server answers to names of this machine alone, such as "
                "localhost: set CONDUIT_API_KEYS to use another",
            )
        origin = request.headers.get("origin")
        if request.method in _SAFE_METHODS or origin is None:
            return
        if urlsplit(origin).netloc != request.headers.get("host"):
            raise _forbidden("bad-origin", "a page of another origin can't do this")

    async def caller(self, request: Request) -> Caller:
        """Who sent the request. Raises `ProblemError` (401) where a key is needed and missing.

        And 429 where the key is wrong, or right, and too many wrong ones came from there.
        """
        if not self._keys:
            return Caller(Role.ADMIN)
        presented = _presented_key(request)
        if presented is not None:
            key = self._recognised(presented, request)
            return Caller(key.role, key.name)
        token = request.cookies.get(COOKIE)
        key = await self._of_session(token) if token else None
        if key is None:
            raise _unauthorized(
                "send a key: Authorization: Bearer KEY, or X-API-Key: KEY; browsers sign in at "
                "POST /api/v1/session"
            )
        return Caller(key.role, key.name, session=session_of(request))

    def _recognised(self, secret: str, request: Request) -> Key:
        """The key that was presented. Raises `ProblemError` (401, 429)."""
        address = request.client.host if request.client else None
        self._guesses.check(address)
        key_hash = _hash(secret)
        key = self._find(key_hash)
        if key is None:
            self._guesses.note(address, key_hash)
            raise _unauthorized("this key isn't known here")
        return key

    def _find(self, key_hash: bytes) -> Key | None:
        """The key of a hash; every one is compared, so that the time taken tells nothing."""
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.hash, key_hash):
                found = key
        return found

    # --- sessions -----------------------------------------------------------------------------

    async def sign_in(self, secret: str, request: Request) -> tuple[str, Caller]:
        """A new session's token for the holder of a key. Raises `ProblemError` (401, 429)."""
        key = self._recognised(secret, request)
        token, now, table = secrets.token_urlsafe(32), _now(), tables.sessions
        async with self._database.begin() as connection:
            await connection.execute(delete(table).where(table.c.expires_at <= now))
            await connection.execute(
                insert(table).values(
                    token_hash=_hash(token),
                    role=key.role.name.lower(),
                    key_hash=key.hash,
                    expires_at=now + SESSION_S * 1000,
                )
            )
        return token, Caller(key.role, key.name)

    async def sign_out(self, token: str) -> None:
        """End a session."""
        table = tables.sessions
        async with self._database.begin() as connection:
            await connection.execute(delete(table).where(table.c.token_hash == _hash(token)))

    async def _of_session(self, token: str) -> Key | None:
        """The key that a session was opened with, if both still hold."""
        table = tables.sessions
        query = select(table.c.key_hash).where(
            table.c.token_hash == _hash(token), table.c.expires_at > _now()
        )
        async with self._database.read() as connection:
            key_hash = (await connection.execute(query)).scalar_one_or_none()
        return None if key_hash is None else self._find(bytes(key_hash))


def session_of(request: Request) -> bytes | None:
    """What tells the session of a browser's cookie from others, also in the database."""
    token = request.cookies.get(COOKIE)
    return _hash(token) if token else None


def require(caller: Caller, role: Role) -> None:
    """Refuse a caller of a lesser role. Raises `ProblemError` (403)."""
    if caller.role < role:
        needed, has = role.name.lower(), caller.role.name.lower()
        raise _forbidden("role", f"this takes the role {needed}, and yours is {has}")


def _presented_key(request: Request) -> str | None:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return request.headers.get("x-api-key")


def _host_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _unauthorized(detail: str) -> ProblemError:
    headers = {"WWW-Authenticate": "Bearer"}
    return ProblemError(401, "unauthorized", "A key is needed", detail, headers=headers)


def _forbidden(slug: str, detail: str) -> ProblemError:
    return ProblemError(403, slug, "Not allowed", detail)


def _now() -> int:
    return time.time_ns() // 1_000_000
