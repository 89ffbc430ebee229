"""One SQLite file, a writer thread, a reader thread, and the file's change counter.

The writer takes whatever has piled up while it was busy and commits it in one transaction (group
commit, as databases do it for their own log), each piece in a savepoint of its own, so that a
hundred small callers cost one flush to disk. The reader serves queries beside it and, while
someone waits for a change, looks at the file's change counter: a few microseconds, a thousand
times a second when something has just happened, down to fifty times at rest, so that other
processes' commits are seen within 20 ms. Instances on the same file in the same process tell each
other at once.

Both threads close their connections before the process forks; see `conduit.queue.forks`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from conduit.core.errors import (
    QueueCorruptError,
    QueueError,
    QueueSchemaError,
    QueueUnavailableError,
)
from conduit.queue.forks import inherited, open_queues
from conduit.queue.sqlite.connection import ThreadConnection, connect, is_busy, translate
from conduit.queue.sqlite.rows import DEFINITIONS

T = TypeVar("T")
Piece = Callable[[sqlite3.Connection], T]

APPLICATION_ID = 0x436F6E64  # "Cond"
SCHEMA_VERSION = 6
WATCH_FIRST_S = 0.001
WATCH_REST_S = 0.02
WATCH_KEEN = 50
CHECK_PLACE_S = 1.0
LOOK_AGAIN_S = 5.0
MAX_GROUP = 64


_open: set[Database] = set()
"""The open databases of this process. Changed without a lock, which a signal handler might need."""


class _Call:
    __slots__ = ("error", "future", "piece", "value")

    def __init__(self, piece: Piece[Any], future: asyncio.Future[Any] | None = None) -> None:
        self.piece = piece
        self.future = future
        self.value: Any = None
        self.error: BaseException | None = None


Inbox = SimpleQueue[_Call | None]
"""What a thread is asked to do; None asks it to end."""

_LOOK_UP = _Call(lambda _connection: None)
"""Wakes a thread: the reader to watch for changes, or either to close its file before a fork."""


class Database:
    """Access to the file from one event loop. Open it first; close it last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = path
        """The path with links resolved, once open."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting = False
        self._inherited = False  # from the process that forked this one
        self._writes: Inbox = SimpleQueue()
        self._reads: Inbox = SimpleQueue()
        self._threads: list[tuple[Inbox, threading.Thread, asyncio.Future[None]]] = []
        self._identity: tuple[int, int] | None = None  # of the file that is open
        self._watchers = 0
        self._changed = asyncio.Event()
        self.version = 0
        """Rises with each change anyone makes to the file, as far as noticed."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that it is open in."""
        return self._loop if self._accepting else None

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Create or check the file and start the threads."""
        if self._loop is not None:
            raise QueueError(f"{self.path} is open already")
        self._loop = asyncio.get_running_loop()
        self._writes, self._reads, self._threads = SimpleQueue(), SimpleQueue(), []
        self._identity, self._inherited = None, False
        try:
            await self._start(self._write_forever, self._writes)
            await self._start(self._read_forever, self._reads)
            self.place = self.path.resolve()
            self._identity = _identity(self.path)
        except BaseException:
            self._writes.put(None)
            self._reads.put(None)
            self._loop = None
            raise
        self._accepting = True
        _open.add(self)
        open_queues.add(self)

    async def _start(self, serve: Callable[[ThreadConnection, Inbox], None], inbox: Inbox) -> None:
        """Start a thread, which connects and then serves; raises why it can't connect.

        Not one of asyncio's: those may all be busy, and there are none any more once the main
        thread has ended.
        """
        loop = asyncio.get_running_loop()
        connected: asyncio.Future[None] = loop.create_future()
        ended: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            connection = ThreadConnection(self.path, self._connect, lambda: inbox.put(_LOOK_UP))
            try:
                _make_folder(self.path)
                connection.patiently(lambda db: _ensure_schema(db, self.path))
            except BaseException as error:
                connection.close()
                _tell(loop, _answer, connected, None, translate(error, self.path))
                return
            _tell(loop, _answer, connected, None, None)
            try:
                serve(connection, inbox)
            finally:
                connection.close()
                _tell(loop, _answer, ended, None, None)

        thread = threading.Thread(target=run, name="conduit-sqlite", daemon=True)
        thread.start()
        await connected
        self._threads.append((inbox, thread, ended))

    def _connect(self) -> sqlite3.Connection:
        if self._identity is not None:  # opened anew after a fork: a file that is gone isn't made
            self._check_place()
        return connect(self.path)

    async def close(self) -> None:
        """Finish and answer what was asked for, wake who waits, and close the connections."""
        if self._accepting:
            self._accepting = False
            _open.discard(self)
            open_queues.discard(self)
            self._note_change()
        # One after the other: the last connection to close tidies the file up, and of two that
        # close at once neither is the last.
        for inbox, thread, ended in reversed(self._threads):
            inbox.put(None)
            # A loop that is closed, in which it was opened, hears of nothing any more.
            if ended.get_loop() is asyncio.get_running_loop():
                await asyncio.shield(ended)
            thread.join()
        self._loop = None

    def abandon(self) -> None:
        """In a forked child: the threads aren't here, and nothing is open."""
        _open.discard(self)
        self._inherited, self._accepting = True, False
        self._loop, self._threads = None, []

    async def write(self, piece: Piece[T]) -> T:
        """Run `piece` in a transaction; durable when this returns, undone when it raises."""
        return await self._call(self._writes, piece)

    async def read(self, piece: Piece[T]) -> T:
        """Run queries beside the writer, on the last committed state."""
        return await self._call(self._reads, piece)

    async def _call(self, inbox: Inbox, piece: Piece[T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(inbox, _Call(piece, future))
        return await future

    def _put(self, inbox: Inbox, call: _Call) -> None:
        if self._inherited:
            raise inherited(str(self.path))
        if not self._accepting:
            raise QueueError(f"{self.path} isn't open")
        inbox.put(call)

    # --- changes ------------------------------------------------------------------------------

    async def wait_for_change(self, since: int, timeout: float) -> bool:
        """Wait until `version` is past `since`, or might be; False after `timeout` seconds.

        After `LOOK_AGAIN_S` it might: whatever keeps the counter from being looked at, such as a
        file that can't be read for a while, nobody waits for ever for what has happened.
        """
        self._watchers += 1
        try:
            self._put(self._reads, _LOOK_UP)
            async with asyncio.timeout(max(0.0, min(timeout, LOOK_AGAIN_S))):
                while self.version == since:
                    self._changed.clear()
                    await self._changed.wait()
            return True
        except TimeoutError:
            return timeout > LOOK_AGAIN_S
        finally:
            self._watchers -= 1

    def _note_change(self) -> None:
        self.version += 1
        self._changed.set()

    # --- the threads --------------------------------------------------------------------------

    def _write_forever(self, connection: ThreadConnection, inbox: Inbox) -> None:
        for calls in _groups(inbox):
            if calls:
                self._write(connection, calls)
            connection.give_way()

    def _write(self, connection: ThreadConnection, calls: list[_Call]) -> None:
        changes = connection.changes
        self._commit(connection, calls)
        changed = connection.changes != changes
        self._tell_loop(self._settle, calls, changed)
        if changed:
            for other in _open.copy():
                if other.place == self.place and other is not self:
                    other._tell_loop(other._note_change)

    def _commit(self, connection: ThreadConnection, calls: list[_Call]) -> None:
        """Commit the calls together; should that fail as a whole, each on its own.

        Not when the file was locked, though: each would wait as long as all have waited already.
        """
        if not self._commit_together(connection, calls) and len(calls) > 1:
            for call in calls:
                self._commit_together(connection, [call])

    def _commit_together(self, connection: ThreadConnection, calls: list[_Call]) -> bool:
        alone = len(calls) == 1
        db: sqlite3.Connection | None = None
        try:
            db = connection.patiently(self._begin)
            for call in calls:
                call.error = None
                if alone:
                    call.value = _run(db, call)
                else:
                    _run_in_savepoint(db, call)
            db.execute("COMMIT")
        except BaseException as error:
            if db is not None and db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            for call in calls:
                call.error = _told(error, self.path)
            return is_busy(error)
        return True

    def _begin(self, db: sqlite3.Connection) -> sqlite3.Connection:
        self._check_place()
        db.execute("BEGIN IMMEDIATE")
        return db

    def _read_forever(self, connection: ThreadConnection, inbox: Inbox) -> None:
        seen = _data_version(connection)
        check_at = time.monotonic() + CHECK_PLACE_S
        quiet = 0  # looks at the counter since something last happened
        while True:
            try:
                call = inbox.get(timeout=_pause(quiet) if self._watchers else None)
                if call is None:
                    return
                quiet = 0
                if call is not _LOOK_UP:
                    self._read(connection, call)
            except Empty:
                quiet += 1
            connection.give_way()
            if self._watchers:
                version, gone = _data_version(connection), False
                if time.monotonic() >= check_at:
                    check_at = time.monotonic() + CHECK_PLACE_S
                    gone = not self._is_in_place()
                if gone or version != seen:
                    seen, quiet = version, 0
                    self._tell_loop(self._note_change)

    def _read(self, connection: ThreadConnection, call: _Call) -> None:
        try:
            self._check_place()
            call.value = connection.patiently(
                lambda db: _run(db, call, told=(ValueError,))  # for a foreign cursor
            )
        except BaseException as error:
            call.error = _told(error, self.path)
        self._tell_loop(self._settle, [call], False)

    def _is_in_place(self) -> bool:
        """Whether the path still leads to the file that is open; also where that can't be told."""
        try:
            return _identity(self.path) == self._identity
        except OSError:
            return True

    def _check_place(self) -> None:
        """Refuse to use a file that was removed: what is written there is gone with it.

        Raises `QueueCorruptError`.
        """
        if not self._is_in_place():
            raise QueueCorruptError(
                f"{self.path} was removed or replaced while it was in use: restart all that uses "
                "it, the workers too"
            )

    def _tell_loop(self, callback: Callable[..., None], *args: object) -> None:
        loop = self._loop
        if loop is not None:
            _tell(loop, callback, *args)

    def _settle(self, calls: list[_Call], changed: bool) -> None:
        if changed:
            self._note_change()
        for call in calls:
            if call.future is not None:
                _answer(call.future, call.value, call.error)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: object) -> None:
    with suppress(RuntimeError):  # the loop was closed without closing the queue
        loop.call_soon_threadsafe(callback, *args)


def _told(error: BaseException, path: Path) -> BaseException:
    """What a caller is told. Who keeps the error mustn't keep a statement, and the file open."""
    traceback.clear_frames(error.__traceback__)
    return translate(error, path)


def _answer(future: asyncio.Future[Any], value: object, error: BaseException | None) -> None:
    if future.done():
        return  # whoever asked has been cancelled
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def _groups(inbox: Inbox) -> Generator[list[_Call]]:
    """Whatever has piled up, perhaps nothing, again and again, until a None comes."""
    stopping = False
    while not stopping:
        calls: list[_Call] = []
        call = inbox.get()
        with suppress(Empty):
            while call is not None:
                if call is _LOOK_UP:
                    break
                calls.append(call)
                if len(calls) == MAX_GROUP:
                    break
                call = inbox.get_nowait()
        stopping = call is None
        yield calls


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to; None where there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QueueUnavailableError(
            f"the folder {path.parent} can't be made: {error.strerror}; "
            "choose another with CONDUIT_DATA_DIR or CONDUIT_QUEUE_URL"
        ) from error


def _ensure_schema(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection, "BEGIN"):
        if _schema_of(connection, path) == SCHEMA_VERSION:
            return
    connection.execute("PRAGMA journal_mode = WAL")
    with _transaction(connection, "BEGIN EXCLUSIVE"):
        if _schema_of(connection, path) is None:
            _create_schema(connection)


def _schema_of(connection: sqlite3.Connection, path: Path) -> int | None:
    """The file's schema, which is ours; None where it is empty. Raises for all others."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and tables:
        raise QueueCorruptError(
            f"{path} is a SQLite file of some other program; name another file for the queue"
        )
    if application == APPLICATION_ID and version > SCHEMA_VERSION:
        raise QueueSchemaError(
            f"{path} was written by a newer Conduit (schema {version}, this one knows "
            f"{SCHEMA_VERSION}); upgrade Conduit here or name another file"
        )
    if application == APPLICATION_ID and version < SCHEMA_VERSION:
        raise QueueSchemaError(
            f"{path} was written by an older Conduit (schema {version}, this one needs "
            f"{SCHEMA_VERSION}); let that one finish its jobs, then move the file away"
        )
    return version if application == APPLICATION_ID else None


def _create_schema(connection: sqlite3.Connection) -> None:
    schema = resources.files("conduit.queue.sqlite").joinpath("schema.sql").read_text("utf-8")
    for statement in _statements(schema.replace("{fields}", DEFINITIONS)):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Generator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    statements: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def _run(
    connection: sqlite3.Connection, call: _Call, *, told: tuple[type[Exception], ...] = ()
) -> Any:
    """Run a call's piece. What isn't an error of SQLite's, or `told`, becomes a `QueueError`."""
    try:
        return call.piece(connection)
    except OverflowError as error:
        raise QueueError(f"a number of more than 64 bits can't be kept: {error}") from error
    except UnicodeError as error:
        raise QueueError(f"a text that isn't UTF-8 can't be kept: {error}") from error
    except (QueueError, sqlite3.Error, *told):
        raise
    except Exception as error:
        raise QueueError(f"the call was refused: {type(error).__name__}: {error}") from error


def _run_in_savepoint(connection: sqlite3.Connection, call: _Call) -> None:
    """Run a call's piece; what it raises is undone and told to its caller alone.

    Errors of SQLite itself, such as a full disk, end the transaction for all.
    """
    connection.execute("SAVEPOINT piece")
    try:
        call.value = _run(connection, call)
    except sqlite3.Error:
        raise
    except Exception as error:
        connection.execute("ROLLBACK TO piece")
        traceback.clear_frames(error.__traceback__)
        call.error = error
    connection.execute("RELEASE piece")


def _pause(quiet: int) -> float:
    """Seconds until the next look at the change counter, after so many looks in vain."""
    return WATCH_FIRST_S if quiet < WATCH_KEEN else WATCH_REST_S


def _data_version(connection: ThreadConnection) -> tuple[int, int]:
    """The file's change counter, which counts anew for each connection that was opened.

    -1 where it can't be read, which who asks next will be told.
    """
    try:
        (counter,) = connection.get().execute("PRAGMA data_version").fetchone()
    except (sqlite3.Error, QueueError):
        counter = -1
    return connection.opened, counter
