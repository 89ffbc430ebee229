"""Artifacts as objects in a bucket of an S3-compatible store.

The client's blocking calls are made in threads that nobody joins: one that hangs mustn't hold up
the end of the server. Its asynchronous ones end in threads that Python doesn't know, which abort a
process that exits a moment later.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

from obstore.exceptions import BaseError
from obstore.store import S3Store

from conduit.core.errors import ConfigurationError
from conduit.server.artifacts.address import ObjectsAddress
from conduit.server.artifacts.store import AT_ONCE, is_location, new_location, part_of, path_of

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Config

T = TypeVar("T")

_AT_A_TIME = 8
"""How many calls may be under way."""
_CHECK_S = 10.0
_RETRY: RetryConfig = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1)},
}
# A store that accepts connections and says nothing is given up after 10 seconds; a large artifact
# on a slow line has longer.
_TIMEOUTS: ClientConfig = {"connect_timeout": "3s", "read_timeout": "10s", "timeout": "120s"}
_STATUS = re.compile(r"status code: ([0-9]{3})", re.ASCII)
_ANSWER = re.compile(r"<(Code|Message)>([^<]{1,300})</", re.ASCII)
_PASSES = (408, 425, 429)


class ObjectStore:
    """Objects below a prefix of a bucket, which must be there.

    Credentials that the address doesn't have come from the environment, as AWS's own tools name
    them. `history` names the database whose rows lead here.
    """

    def __init__(self, address: ObjectsAddress, history: str) -> None:
        config: S3Config = {}
        if address.region:
            config["region"] = address.region
        if address.endpoint:
            config["endpoint"] = address.endpoint
        if address.key and address.secret:
            config["access_key_id"] = address.key
            config["secret_access_key"] = address.secret
        plain: ClientConfig = {"allow_http": (address.endpoint or "").startswith("http://")}
        try:
            self._store = S3Store(
                address.bucket,
                prefix=address.prefix or None,
                config=config,
                client_options=_TIMEOUTS | plain,
                retry_config=_RETRY,
            )
        except (BaseError, ValueError) as error:
            raise ConfigurationError(f"{address.shown} can't be used: {_words(error)}") from None
        self._shown = address.shown
        self._part = part_of(history)
        self._room = asyncio.Semaphore(_AT_A_TIME)

    async def check(self) -> None:
        """See `Store`."""
        try:
            async with asyncio.timeout(_CHECK_S):
                await self._call(lambda: next(self._list(), None))
        except TimeoutError:
            raise OSError(f"{self._shown} doesn't answer within {_CHECK_S:g} seconds") from None
        except _RefusedError as error:
            refused = ConfigurationError(str(error))
            refused.add_note(
                "check the bucket and the region in the artifacts' URL, and AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY in the environment"
            )
            raise refused from None

    async def keep(self, data: bytes) -> str:
        """See `Store`."""
        location = new_location(self._part)
        key = path_of(location)
        assert key is not None
        # In one piece: parts of an upload that was broken off would stay, unseen.
        await self._call(lambda: self._store.put(key, data, use_multipart=False))
        return location

    async def read(self, location: str) -> bytes | None:
        """See `Store`."""
        key = path_of(location)
        return None if key is None else await self._call(lambda: self._get(key))

    def _get(self, key: str) -> bytes | None:
        try:
            return bytes(self._store.get(key).bytes())
        except FileNotFoundError as error:
            if "<Code>NoSuchBucket<" in str(error):
                raise OSError(self._told(error)) from None
            return None

    async def remove(self, locations: Collection[str]) -> None:
        """See `Store`."""
        keys = [key for each in locations if (key := path_of(each)) is not None]
        if keys:
            await self._call(lambda: self._store.delete(keys))

    async def older_than(self, seconds: float) -> AsyncIterator[list[str]]:
        """See `Store`. By the clock of who keeps the objects."""
        before, pages = time.time() - seconds, self._list()
        while (page := await self._call(lambda: next(pages, None))) is not None:
            old = (each for each in page if each["last_modified"].timestamp() < before)
            found = [f"{self._part}/{each['path'].rpartition('/')[2]}" for each in old]
            if locations := [each for each in found if is_location(each)]:
                yield locations

    def _list(self) -> Iterator[Sequence[ObjectMeta]]:
        # Arrow, which another kind of list would come as, isn't installed.
        pages = self._store.list(self._part, chunk_size=AT_ONCE)  # pyright: ignore[reportUnknownMemberType]
        return iter(pages)

    async def _call(self, work: Callable[[], T]) -> T:
        """Do it in a thread; whatever goes wrong is an `OSError` that says where and what."""
        await self._room.acquire()
        try:
            return await _in_thread(work, ended=self._room.release)
        except BaseError as error:
            kind = _RefusedError if _is_refusal(error) else OSError
            raise kind(self._told(error)) from None

    def _told(self, error: Exception) -> str:
        return f"{self._shown}: {_words(error)}"


async def _in_thread(work: Callable[[], T], *, ended: Callable[[], None]) -> T:
    """Its result, of a thread of its own. Cancelling leaves the thread behind until it has `ended`.

    `concurrent.futures` and `asyncio.to_thread` join their threads when the process ends.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        ended()
        if future.done():
            return
        if error is None:
            future.set_result(cast("T", result))
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as failure:
            error = failure
        with suppress(RuntimeError):  # the loop is gone, and nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="artifacts", daemon=True).start()
    return await future


class _RefusedError(OSError):
    """The store was reached and says no, and will again."""


def _is_refusal(error: BaseError) -> bool:
    status = _STATUS.search(str(error))
    return status is not None and 300 <= int(status[1]) < 500 and int(status[1]) not in _PASSES


def _words(error: Exception) -> str:
    """What the store said; else the first line of what the client says."""
    said = dict(_ANSWER.findall(str(error)))
    if said:
        return ": ".join(said[name] for name in ("Code", "Message") if name in said)
    return str(error).strip().partition("\n")[0]
